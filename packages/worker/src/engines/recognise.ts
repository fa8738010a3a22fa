import type { EngineKind, Recognition } from "./engine.ts";
import { llamaCpp } from "./llama-cpp.ts";
import { lmStudio } from "./lm-studio.ts";
import { ollama } from "./ollama.ts";
import { openAiCompatible } from "./openai-compatible.ts";
import type { EngineProbe } from "./probe.ts";
import { sglang } from "./sglang.ts";
import { vllm } from "./vllm.ts";

/** In the order of asking. llama.cpp comes before Ollama, whose routes it can speak too; the generic one is last. */
const ENGINES: readonly EngineKind[] = [llamaCpp, ollama, vllm, sglang, lmStudio, openAiCompatible];

export interface RecognisedEngine {
  readonly kind: EngineKind;
  readonly recognition: Recognition;
}

/** The make of the server behind `probe`: the first that is certain, else the likeliest. */
export async function recognise(probe: EngineProbe): Promise<RecognisedEngine | undefined> {
  // Nothing answers on most ports. Two quick questions spare the others.
  if ((await probe.get("/")) === undefined && (await probe.get("/v1/models")) === undefined) return undefined;
  let best: RecognisedEngine | undefined;
  for (const kind of ENGINES) {
    const recognition = await kind.recognise(probe);
    if (recognition === undefined) continue;
    if (recognition.score >= 1) return { kind, recognition };
    if (recognition.score > (best?.recognition.score ?? 0)) best = { kind, recognition };
  }
  return best;
}
