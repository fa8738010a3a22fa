import * as z from "zod";

import type { EngineKind, ServedModel } from "./engine.ts";
import { metricValue } from "./metrics.ts";
import { isOwnedBy, type ListedModel, listedModels } from "./openai-compatible.ts";
import type { EngineProbe } from "./probe.ts";

const props = z.looseObject({
  default_generation_settings: z.looseObject({ n_ctx: z.number().int().positive().optional() }),
  total_slots: z.number().int().positive().optional(),
  build_info: z.string().max(64).optional(),
  chat_template: z.string().optional(),
  modalities: z.looseObject({ vision: z.boolean().optional(), audio: z.boolean().optional() }).optional(),
});

type Props = z.infer<typeof props>;

const status = z.looseObject({ status: z.looseObject({ value: z.string() }) });

/** https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md */
export const llamaCpp: EngineKind = {
  name: "llama.cpp",
  title: "llama.cpp",

  async recognise(probe) {
    const facts = await propsOf(probe);
    if (facts !== undefined) {
      const { build_info: version, total_slots: slots } = facts;
      return { score: 1, ...(version !== undefined && { version }), ...(slots !== undefined && { slots }) };
    }
    if ((await probe.get("/"))?.header("server") === "llama.cpp") return { score: 0.9 };
    return (await isOwnedBy(probe, "llamacpp")) ? { score: 0.8 } : undefined;
  },

  async listModels(probe) {
    const listed = await listedModels(probe);
    const facts = await propsOf(probe);
    return listed?.map((model) => servedByLlamaCpp(model, facts));
  },

  async readLoad(probe) {
    const waiting = metricValue((await probe.get("/metrics"))?.text, "llamacpp:requests_deferred");
    return waiting === undefined ? undefined : { waiting };
  },
};

async function propsOf(probe: EngineProbe): Promise<Props | undefined> {
  const parsed = props.safeParse(await probe.getJson("/props"));
  return parsed.success ? parsed.data : undefined;
}

function servedByLlamaCpp(model: ListedModel, facts: Props | undefined): ServedModel {
  const contextLength = facts?.default_generation_settings.n_ctx;
  const capabilities = facts === undefined ? undefined : capabilitiesOf(facts);
  const state = status.safeParse(model);
  return {
    // Without --alias the id is the path of the file, which tells of the owner's disk.
    id: model.id.replace(/^.*[/\\]/, "").replace(/\.gguf$/i, ""),
    upstream: model.id,
    ...(contextLength !== undefined && { contextLength }),
    ...(capabilities !== undefined && { capabilities }),
    // Only a router lists models that are not loaded, and it says so.
    loaded: state.success ? state.data.status.value === "loaded" : true,
  };
}

function capabilitiesOf(facts: Props): string[] | undefined {
  const words = [
    ...(facts.chat_template === undefined ? [] : ["chat"]),
    ...(facts.modalities?.vision === true ? ["vision"] : []),
    ...(facts.modalities?.audio === true ? ["audio"] : []),
  ];
  return words.length > 0 ? words : undefined;
}
