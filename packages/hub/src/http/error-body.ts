import { type AppError, ERROR_KINDS } from "../errors.ts";

/** How a stream of server-sent events tells a failure. Each API has its own; `plain` is for those without a rule. */
export type SseDialect = "chat" | "responses" | "plain";

/** The error object of the OpenAI API, as its clients parse it. */
export interface OpenAiErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly code: string;
    readonly param: string | null;
  };
}

export function errorStatus(error: AppError): number {
  return ERROR_KINDS[error.code].status;
}

export function errorBody(error: AppError): OpenAiErrorBody {
  const { type } = ERROR_KINDS[error.code];
  return { error: { message: error.message, type, code: error.code, param: error.param ?? null } };
}

/**
 * The event that ends a stream which failed after its head was sent. No `[DONE]` follows it: a client that looks only for
 * `[DONE]` must not take the answer as complete.
 *
 * Chat and completions: one data line with a top-level `error`, on which OpenAI's SDKs raise. Responses API: an event
 * `error` in the form of OpenAI's API reference ("Streaming events", `error`).
 */
export function sseErrorEvent(error: AppError, dialect: SseDialect): string {
  const body = errorBody(error);
  if (dialect !== "responses") return `data: ${JSON.stringify(body)}\n\n`;
  const { code, message, param } = body.error;
  return `event: error\ndata: ${JSON.stringify({ type: "error", code, message, param, error: body.error })}\n\n`;
}
