import * as z from "zod";

import type { EngineKind } from "./engine.ts";
import { metricValue } from "./metrics.ts";
import { isOwnedBy, listedModels, servedModel } from "./openai-compatible.ts";

const version = z.looseObject({ version: z.string().max(64) });

/** Its batches are larger than any hub sends to one worker; it queues the rest itself. */
const DEFAULT_SLOTS = 64;

/** https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html */
export const vllm: EngineKind = {
  name: "vllm",
  title: "vLLM",

  async recognise(probe) {
    if (!(await isOwnedBy(probe, "vllm"))) return undefined;
    const parsed = version.safeParse(await probe.getJson("/version"));
    if (!parsed.success) return { score: 0.8, slots: DEFAULT_SLOTS };
    return { score: 1, version: parsed.data.version, slots: DEFAULT_SLOTS };
  },

  async listModels(probe) {
    return (await listedModels(probe))?.map((model) => ({ ...servedModel(model), loaded: true }));
  },

  async readLoad(probe) {
    const waiting = metricValue((await probe.get("/metrics"))?.text, "vllm:num_requests_waiting");
    return waiting === undefined ? undefined : { waiting };
  },
};
