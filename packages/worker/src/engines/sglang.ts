import * as z from "zod";

import type { EngineKind } from "./engine.ts";
import { isOwnedBy, listedModels, servedModel } from "./openai-compatible.ts";
import type { EngineProbe } from "./probe.ts";

const modelInfo = z.looseObject({ model_path: z.string() });
const serverInfo = z.looseObject({ version: z.string().max(64).optional() });
const load = z.array(z.looseObject({ num_waiting_reqs: z.number().int().nonnegative() }));

/** Its batches are larger than any hub sends to one worker; it queues the rest itself. */
const DEFAULT_SLOTS = 64;

/** https://docs.sglang.ai. `/health_generate` is never asked: it generates. */
export const sglang: EngineKind = {
  name: "sglang",
  title: "SGLang",

  async recognise(probe) {
    const isNamed = await isOwnedBy(probe, "sglang");
    if (!isNamed) return undefined;
    if (!(await hasModelInfo(probe))) return { score: 0.8, slots: DEFAULT_SLOTS };
    const info = serverInfo.safeParse(await probe.getJson("/get_server_info"));
    const version = info.success ? info.data.version : undefined;
    return { score: 1, slots: DEFAULT_SLOTS, ...(version !== undefined && { version }) };
  },

  async listModels(probe) {
    return (await listedModels(probe))?.map((model) => ({ ...servedModel(model), loaded: true }));
  },

  async readLoad(probe) {
    const parsed = load.safeParse(await probe.getJson("/get_load"));
    if (!parsed.success) return undefined;
    return { waiting: parsed.data.reduce((sum, rank) => sum + rank.num_waiting_reqs, 0) };
  },
};

async function hasModelInfo(probe: EngineProbe): Promise<boolean> {
  for (const path of ["/get_model_info", "/model_info"]) {
    if (modelInfo.safeParse(await probe.getJson(path)).success) return true;
  }
  return false;
}
