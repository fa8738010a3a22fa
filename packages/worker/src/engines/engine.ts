import type { EngineProbe } from "./probe.ts";

/**
 * What we know of one make of inference server. To support another one, add a file with this interface and name it in
 * `recognise.ts`.
 */
export interface EngineKind {
  /** The word in announcements and configs: "ollama". */
  readonly name: string;
  /** For people: "Ollama". */
  readonly title: string;
  /** Says how sure it is that the server is of this make; undefined when it is not. Free of side effects. */
  recognise(probe: EngineProbe): Promise<Recognition | undefined>;
  /** The models that the owner may share; undefined when the server does not answer. */
  listModels(probe: EngineProbe, memory: ModelMemory): Promise<readonly ServedModel[] | undefined>;
  /** The engine's own view of its load, where it has one. */
  readLoad?(probe: EngineProbe): Promise<EngineLoad | undefined>;
}

/** A model as an engine offers it. Absent fields are unknown, never zero or false. */
export interface ServedModel {
  /** The public name. */
  readonly id: string;
  /** The engine's own name. */
  readonly upstream: string;
  /** Tokens. */
  readonly contextLength?: number;
  /** "chat", "tools", "vision", "embeddings", "reasoning", "audio". */
  readonly capabilities?: readonly string[];
  /** In the engine's memory now. */
  readonly loaded?: boolean;
}

export interface Recognition {
  /** 1: the make's own endpoint answered. 0.9: its metrics or header. 0.8: `owned_by`. Below: a guess. */
  readonly score: number;
  readonly version?: string;
  /** Requests that it works on at the same time. */
  readonly slots?: number;
  /** It asks for an API key. */
  readonly needsKey?: boolean;
}

export interface EngineLoad {
  readonly waiting?: number;
}

/** Facts of models that do not change, by digest, so that they are asked once. */
export type ModelMemory = Map<string, Partial<ServedModel>>;

/** From this score on a found engine is published without asking its owner. */
export const PUBLISHED_SCORE = 0.8;
