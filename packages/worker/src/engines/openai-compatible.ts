import * as z from "zod";

import type { EngineKind, ServedModel } from "./engine.ts";
import type { EngineProbe } from "./probe.ts";

const positive = z.number().int().positive();

const modelList = z.looseObject({
  data: z.array(
    z.looseObject({
      id: z.string().min(1).max(512),
      owned_by: z.unknown().optional(),
      max_model_len: positive.optional().catch(undefined),
      context_length: positive.optional().catch(undefined),
    }),
  ),
});

export type ListedModel = z.infer<typeof modelList>["data"][number];

/** `GET /v1/models`, as every OpenAI-compatible server has it. Undefined when it is not one, or wants a key. */
export async function listedModels(probe: EngineProbe): Promise<readonly ListedModel[] | undefined> {
  const parsed = modelList.safeParse(await probe.getJson("/v1/models"));
  return parsed.success ? parsed.data.data : undefined;
}

/** True when a listed model says that `owner` made the list. */
export async function isOwnedBy(probe: EngineProbe, owner: string): Promise<boolean> {
  return (await listedModels(probe))?.some((model) => model.owned_by === owner) ?? false;
}

export function servedModel(model: ListedModel): ServedModel {
  const contextLength = model.max_model_len ?? model.context_length;
  return { id: model.id, upstream: model.id, ...(contextLength !== undefined && { contextLength }) };
}

/**
 * Any other server with `/v1/models`. It may as well be a proxy to paid or foreign engines, so that it is shared only
 * when the owner says so.
 */
export const openAiCompatible: EngineKind = {
  name: "openai",
  title: "OpenAI-compatible server",

  async recognise(probe) {
    const answer = await probe.get("/v1/models");
    if (answer?.status === 401 || answer?.status === 403) return { score: 0.2, needsKey: true };
    return (await listedModels(probe)) === undefined ? undefined : { score: 0.5 };
  },

  async listModels(probe) {
    return (await listedModels(probe))?.map(servedModel);
  },
};
