import type { SseDialect } from "../http/error-body.ts";

/** One route of the API that a worker answers. */
export interface Operation {
  /** Also the path that the worker is asked for. */
  readonly path: string;
  /** How its server-sent events are read, and told of a failure. */
  readonly dialect: SseDialect;
  readonly body: "json" | "multipart" | "either";
  /** The engine is asked for `stream_options.include_usage`. OpenAI API reference, "Streaming". */
  readonly asksUsage: boolean;
}

/** Every operation. Paths are compared as they came, never repaired: nothing else reaches a worker. */
export const OPERATIONS: readonly Operation[] = [
  { path: "/v1/chat/completions", dialect: "chat", body: "json", asksUsage: true },
  { path: "/v1/completions", dialect: "chat", body: "json", asksUsage: true },
  { path: "/v1/responses", dialect: "responses", body: "json", asksUsage: false },
  { path: "/v1/embeddings", dialect: "plain", body: "json", asksUsage: false },
  { path: "/v1/rerank", dialect: "plain", body: "json", asksUsage: false },
  { path: "/v1/moderations", dialect: "plain", body: "json", asksUsage: false },
  { path: "/v1/images/generations", dialect: "plain", body: "json", asksUsage: false },
  { path: "/v1/images/edits", dialect: "plain", body: "either", asksUsage: false },
  { path: "/v1/images/variations", dialect: "plain", body: "either", asksUsage: false },
  { path: "/v1/audio/speech", dialect: "plain", body: "json", asksUsage: false },
  { path: "/v1/audio/transcriptions", dialect: "plain", body: "multipart", asksUsage: false },
  { path: "/v1/audio/translations", dialect: "plain", body: "multipart", asksUsage: false },
];
