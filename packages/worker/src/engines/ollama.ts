import * as z from "zod";

import type { EngineKind, ModelMemory, ServedModel } from "./engine.ts";
import type { EngineProbe } from "./probe.ts";

const version = z.looseObject({ version: z.string().max(64) });

const tags = z.looseObject({
  models: z.array(
    z.looseObject({
      name: z.string().min(1).max(512),
      digest: z.string().optional(),
      remote_host: z.string().optional(),
      remote_model: z.string().optional(),
    }),
  ),
});

const running = z.looseObject({
  models: z.array(z.looseObject({ name: z.string(), context_length: z.number().int().positive().optional() })),
});

const shown = z.looseObject({
  capabilities: z.array(z.string()).optional(),
  parameters: z.string().optional(),
});

/** Ollama's words for what a model can do, in ours. */
const CAPABILITIES: Readonly<Record<string, string>> = {
  completion: "chat",
  embedding: "embeddings",
  tools: "tools",
  vision: "vision",
  thinking: "reasoning",
};

/** Ollama's own default when `OLLAMA_NUM_PARALLEL` is not known: it then chooses 1 to 4 by memory. */
const DEFAULT_SLOTS = 4;

/** https://github.com/ollama/ollama/blob/main/docs/api.md */
export const ollama: EngineKind = {
  name: "ollama",
  title: "Ollama",

  async recognise(probe) {
    const root = await probe.get("/");
    if (root?.text.startsWith("Ollama is running") !== true) return undefined;
    const parsed = version.safeParse(await probe.getJson("/api/version"));
    return parsed.success ? { score: 1, version: parsed.data.version, slots: DEFAULT_SLOTS } : { score: 0.5 };
  },

  async listModels(probe, memory) {
    const parsed = tags.safeParse(await probe.getJson("/api/tags"));
    if (!parsed.success) return undefined;
    const loaded = await loadedModels(probe);
    // Models with a remote host run on somebody else's machine, on the owner's account: they are not ours to share.
    const local = parsed.data.models.filter((model) => !model.remote_host && !model.remote_model);
    const models: ServedModel[] = [];
    for (const { name, digest } of local) {
      const facts = await factsOf(probe, memory, { name, digest });
      const contextLength = loaded?.get(name);
      models.push({
        id: name,
        upstream: name,
        ...facts,
        // The window that is in use, not the largest that the model could have.
        ...(contextLength !== undefined && { contextLength }),
        ...(loaded !== undefined && { loaded: loaded.has(name) }),
      });
    }
    return models;
  },
};

async function loadedModels(probe: EngineProbe): Promise<Map<string, number | undefined> | undefined> {
  const parsed = running.safeParse(await probe.getJson("/api/ps"));
  return parsed.success ? new Map(parsed.data.models.map((model) => [model.name, model.context_length])) : undefined;
}

async function factsOf(
  probe: EngineProbe,
  memory: ModelMemory,
  model: { name: string; digest: string | undefined },
): Promise<Partial<ServedModel>> {
  const key = `ollama ${model.digest ?? model.name}`;
  const known = memory.get(key);
  if (known !== undefined) return known;
  const parsed = shown.safeParse(await probe.postJson("/api/show", { model: model.name }));
  if (!parsed.success) return {};
  const { capabilities, parameters } = parsed.data;
  const window = /^num_ctx\s+(\d{1,9})\s*$/m.exec(parameters ?? "")?.[1];
  const facts: Partial<ServedModel> = {
    ...(window !== undefined && { contextLength: Number(window) }),
    ...(capabilities !== undefined && { capabilities: capabilities.flatMap((word) => CAPABILITIES[word] ?? []) }),
  };
  memory.set(key, facts);
  return facts;
}
