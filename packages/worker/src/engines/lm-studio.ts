import * as z from "zod";

import type { EngineKind, ServedModel } from "./engine.ts";
import type { EngineProbe } from "./probe.ts";

const length = z.number().int().positive().optional();

/** Version 0.4 and later. */
const modelsV1 = z.looseObject({
  models: z.array(
    z.looseObject({
      key: z.string().min(1).max(512),
      type: z.string().optional(),
      max_context_length: length,
      loaded_instances: z.array(z.looseObject({ config: z.looseObject({ context_length: length }).optional() })),
    }),
  ),
});

const modelsV0 = z.looseObject({
  data: z.array(
    z.looseObject({
      id: z.string().min(1).max(512),
      type: z.string().optional(),
      state: z.string(),
      loaded_context_length: length,
    }),
  ),
});

/** LM Studio's types of models, in our words. */
const CAPABILITIES: ReadonlyMap<string, readonly string[]> = new Map([
  ["llm", ["chat"]],
  ["vlm", ["chat", "vision"]],
  ["embedding", ["embeddings"]],
  ["embeddings", ["embeddings"]],
]);

/** It answers one request at a time per loaded model and queues a few. */
const DEFAULT_SLOTS = 4;

/** https://lmstudio.ai/docs/developer/rest. A request for a model that is not loaded loads it. */
export const lmStudio: EngineKind = {
  name: "lm-studio",
  title: "LM Studio",

  async recognise(probe) {
    return (await modelsOf(probe)) === undefined ? undefined : { score: 1, slots: DEFAULT_SLOTS };
  },

  async listModels(probe) {
    return modelsOf(probe);
  },
};

async function modelsOf(probe: EngineProbe): Promise<readonly ServedModel[] | undefined> {
  const newer = modelsV1.safeParse(await probe.getJson("/api/v1/models"));
  if (newer.success) {
    return newer.data.models.map((model) =>
      served(model.key, model.type, {
        loaded: model.loaded_instances.length > 0,
        contextLength: model.loaded_instances[0]?.config?.context_length,
      }),
    );
  }
  const older = modelsV0.safeParse(await probe.getJson("/api/v0/models"));
  if (!older.success) return undefined;
  return older.data.data.map((model) =>
    served(model.id, model.type, { loaded: model.state === "loaded", contextLength: model.loaded_context_length }),
  );
}

function served(
  id: string,
  type: string | undefined,
  state: { loaded: boolean; contextLength: number | undefined },
): ServedModel {
  const capabilities = capabilitiesOf(type);
  const { loaded, contextLength } = state;
  return {
    id,
    upstream: id,
    loaded,
    ...(contextLength !== undefined && { contextLength }),
    ...(capabilities !== undefined && { capabilities }),
  };
}

function capabilitiesOf(type: string | undefined): readonly string[] | undefined {
  return type === undefined ? undefined : CAPABILITIES.get(type);
}
