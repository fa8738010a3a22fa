import { randomUUID } from "node:crypto";

import type { GenerationEnd } from "./generate.ts";

/** How one API writes an answer, piece by piece or whole. */
export interface AnswerFormat {
  readonly streamType: string;
  opening(): string;
  piece(text: string): string;
  closing(end: GenerationEnd): string;
  /** An error after the head is sent; nothing follows it. */
  failure(message: string): string;
  whole(text: string, end: GenerationEnd): object;
}

/** Whether a stream ends with its usage, as `stream_options.include_usage` asks. */
export interface OpenAiFormatOptions {
  readonly model: string;
  readonly includesUsage: boolean;
}

/** `POST /v1/chat/completions`. */
export function chatFormat({ model, includesUsage }: OpenAiFormatOptions): AnswerFormat {
  const id = `chatcmpl-${randomUUID()}`;
  const created = Math.floor(Date.now() / 1000);
  const event = (choices: readonly object[], usage?: object) =>
    sse({ id, object: "chat.completion.chunk", created, model, system_fingerprint: "tiny", choices, usage });
  const choice = (delta: object, finish: string | null) => [{ index: 0, delta, finish_reason: finish }];
  return {
    ...OPEN_AI_STREAM,
    opening: () => event(choice({ role: "assistant", content: "" }, null)),
    piece: (text) => event(choice({ content: text }, null)),
    closing: (end) =>
      event(choice({}, end.reason)) + (includesUsage ? event([], openAiUsage(end)) : "") + "data: [DONE]\n\n",
    whole: (text, end) => ({
      id,
      object: "chat.completion",
      created,
      model,
      system_fingerprint: "tiny",
      choices: [{ index: 0, message: { role: "assistant", content: text }, logprobs: null, finish_reason: end.reason }],
      usage: openAiUsage(end),
      timings: llamaTimings(end),
    }),
  };
}

/** `POST /v1/completions`. */
export function completionFormat({ model, includesUsage }: OpenAiFormatOptions): AnswerFormat {
  const id = `cmpl-${randomUUID()}`;
  const created = Math.floor(Date.now() / 1000);
  const event = (choices: readonly object[], usage?: object) =>
    sse({ id, object: "text_completion", created, model, choices, usage });
  const choice = (text: string, finish: string | null) => [{ index: 0, text, logprobs: null, finish_reason: finish }];
  return {
    ...OPEN_AI_STREAM,
    opening: () => "",
    piece: (text) => event(choice(text, null)),
    closing: (end) =>
      event(choice("", end.reason)) + (includesUsage ? event([], openAiUsage(end)) : "") + "data: [DONE]\n\n",
    whole: (text, end) => ({
      id,
      object: "text_completion",
      created,
      model,
      choices: choice(text, end.reason),
      usage: openAiUsage(end),
      timings: llamaTimings(end),
    }),
  };
}

/** Ollama's `/api/chat` and `/api/generate`: one object a line. `content` puts text where the route has it. */
export function ollamaFormat(model: string, content: (text: string) => object): AnswerFormat {
  const line = (fields: object) => `${JSON.stringify({ model, created_at: new Date().toISOString(), ...fields })}\n`;
  const counts = (end: GenerationEnd) => ({ done: true, done_reason: end.reason, ...ollamaCounts(end) });
  return {
    streamType: "application/x-ndjson",
    opening: () => "",
    piece: (text) => line({ ...content(text), done: false }),
    closing: (end) => line({ ...content(""), ...counts(end) }),
    failure: (message) => line({ error: message }),
    whole: (text, end) => ({ model, created_at: new Date().toISOString(), ...content(text), ...counts(end) }),
  };
}

const OPEN_AI_STREAM = {
  streamType: "text/event-stream; charset=utf-8",
  failure: (message: string) =>
    sse({ error: { message, type: "server_error", code: "generation_failed", param: null } }),
};

function sse(value: object): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

function openAiUsage({ inputTokens, outputTokens }: GenerationEnd): object {
  const total = inputTokens + outputTokens;
  return { prompt_tokens: inputTokens, completion_tokens: outputTokens, total_tokens: total };
}

function llamaTimings(end: GenerationEnd): object {
  return {
    cache_n: 0,
    prompt_n: end.inputTokens,
    prompt_ms: end.promptMs,
    prompt_per_second: perSecond(end.inputTokens, end.promptMs),
    predicted_n: end.outputTokens,
    predicted_ms: end.outputMs,
    predicted_per_second: perSecond(end.outputTokens, end.outputMs),
  };
}

function ollamaCounts(end: GenerationEnd): object {
  return {
    total_duration: nanoseconds(end.promptMs + end.outputMs),
    load_duration: 0,
    prompt_eval_count: end.inputTokens,
    prompt_eval_duration: nanoseconds(end.promptMs),
    eval_count: end.outputTokens,
    eval_duration: nanoseconds(end.outputMs),
  };
}

function perSecond(count: number, ms: number): number {
  return ms > 0 ? (count / ms) * 1000 : 0;
}

function nanoseconds(ms: number): number {
  return Math.round(ms * 1_000_000);
}
