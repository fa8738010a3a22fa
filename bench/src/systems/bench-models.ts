import type { Behaviour } from "@tokilake/tiny-engine";

/** Models of the simulated engine, one for each way of answering, so that all systems get the same bytes. */
export const BENCH_MODELS = {
  /** A whole answer of 1 KB. */
  "bench-answer": { tokens: 75 },
  /** 50 chunks of 100 bytes a second, as many as the request's `max_tokens` asks for. */
  "bench-paced": { tokens: 1_000_000, chunkBytes: 100, intervalMs: 20 },
  /** 500 chunks of 100 bytes, one whenever the engine comes round: at most one in a millisecond. */
  "bench-flat-out": { tokens: 500, chunkBytes: 100, intervalMs: 1 },
  /** A short stream whose first token is `token-0`. */
  "bench-short": { tokens: 5 },
  /** One chunk in two seconds: a stream that is open. */
  "bench-slow": { tokens: 1_000_000, chunkBytes: 100, intervalMs: 2000 },
} as const satisfies Record<string, Behaviour>;

/** Name of a bench model. */
export type BenchModel = keyof typeof BENCH_MODELS;

/** Chunks a second of a "bench-paced" stream. */
export const PACED_PER_SECOND = 50;

/** The text of the first token in every bench stream's body. */
export const FIRST_TOKEN = "token-0";

/** A chat request of 1 KB for this model. @param maxTokens Chunks after which a stream ends; undefined: as the model does. */
export function benchBody(model: BenchModel, maxTokens?: number): string {
  const isStream = model !== "bench-answer";
  const body = (text: string) =>
    JSON.stringify({ model, stream: isStream, max_tokens: maxTokens, messages: [{ role: "user", content: text }] });
  return body("The quick brown fox jumps over the lazy dog. ".repeat(30).slice(0, 1024 - body("").length));
}
