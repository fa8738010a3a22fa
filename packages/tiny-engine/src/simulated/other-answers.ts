import { createHash } from "node:crypto";

import { RequestError } from "../http/request-error.ts";
import { type AnswerPlan, recordOf, type RequestBody, textOf } from "./answer-plan.ts";

/** What an answer that is never streamed event by event is made from. */
export interface OtherRequest {
  readonly body: RequestBody;
  readonly bodyBytes: number;
  readonly plan: AnswerPlan;
}

/** The body of an answer and its type. */
export interface OtherAnswer {
  readonly contentType: string;
  readonly body: Buffer;
}

/** The answer of each route that does not generate text token by token. */
export const OTHER_ROUTES: Readonly<Record<string, (request: OtherRequest) => OtherAnswer>> = {
  "/v1/embeddings": (request) => json(embeddings(request)),
  "/v1/rerank": (request) => json(rerank(request)),
  "/v1/moderations": (request) => json(moderations(request)),
  "/v1/images/generations": (request) => json(images(request)),
  "/v1/images/edits": (request) => json(images(request)),
  "/v1/images/variations": (request) => json(images(request)),
  "/v1/audio/speech": speech,
  "/v1/audio/transcriptions": (request) => json(transcription(request)),
  "/v1/audio/translations": (request) => json(transcription(request)),
};

/** The most vectors, documents or images in one answer. */
const MAX_ITEMS = 2048;
const MAX_DIMENSIONS = 4096;
const DEFAULT_DIMENSIONS = 8;

/** A PNG of one transparent pixel. */
const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

function json(value: object): OtherAnswer {
  return { contentType: "application/json", body: Buffer.from(JSON.stringify(value)) };
}

function embeddings({ body, plan }: OtherRequest): object {
  const inputs = inputsOf(body["input"]);
  const dimensions = integerOf(body["dimensions"], DEFAULT_DIMENSIONS, MAX_DIMENSIONS);
  const isBase64 = body["encoding_format"] === "base64";
  const vectors = inputs.map((input) => vectorOf(input, dimensions));
  const tokens = plan.usage.input;
  return {
    object: "list",
    model: plan.model,
    data: vectors.map((vector, index) => ({
      object: "embedding",
      index,
      embedding: isBase64 ? Buffer.from(vector.buffer).toString("base64") : [...vector],
    })),
    ...(plan.behaviour.usage === false ? {} : { usage: { prompt_tokens: tokens, total_tokens: tokens } }),
  };
}

function rerank({ body, plan }: OtherRequest): object {
  const query = typeof body["query"] === "string" ? body["query"] : "";
  const documents = inputsOf(body["documents"]);
  const scored = documents.map((document, index) => ({ index, relevance_score: scoreOf(query, document) }));
  scored.sort((one, other) => other.relevance_score - one.relevance_score || one.index - other.index);
  const results = scored.slice(0, integerOf(body["top_n"], documents.length, MAX_ITEMS));
  return { id: "rerank-simulated", model: plan.model, results, usage: { total_tokens: plan.usage.input } };
}

function moderations({ body, plan }: OtherRequest): object {
  const result = { flagged: false, categories: { violence: false }, category_scores: { violence: 0 } };
  return { id: "modr-simulated", model: plan.model, results: inputsOf(body["input"]).map(() => result) };
}

function images({ body, plan }: OtherRequest): object {
  const count = integerOf(body["n"], 1, 16);
  const { input } = plan.usage;
  const usage = { input_tokens: input, output_tokens: count, total_tokens: input + count };
  return { created: 1_700_000_000, data: Array.from({ length: count }, () => ({ b64_json: PIXEL })), usage };
}

/** 100 bytes of sound for every token; not a playable file. */
function speech({ plan }: OtherRequest): OtherAnswer {
  const body = Buffer.alloc(plan.tokens * 100);
  for (let index = 0; index < body.length; index += 1) body[index] = index % 251;
  return { contentType: "audio/mpeg", body };
}

function transcription({ bodyBytes, plan }: OtherRequest): object {
  const { input, output } = plan.usage;
  const usage = { type: "tokens", input_tokens: input, output_tokens: output, total_tokens: input + output };
  return { text: textOf(0, plan.tokens), received_bytes: bodyBytes, usage };
}

/** One text an input: a string, an array of strings, of token arrays, or one array of tokens. */
function inputsOf(value: unknown): string[] {
  if (!Array.isArray(value)) return [typeof value === "string" ? value : JSON.stringify(value ?? "")];
  if (value.length > MAX_ITEMS) throw new RequestError(400, "too_many_inputs", `At most ${MAX_ITEMS} inputs.`);
  if (value.every((item) => typeof item === "number")) return [value.join(" ")];
  return value.map((item) => (typeof item === "string" ? item : JSON.stringify(recordOf(item)["text"] ?? item)));
}

function integerOf(value: unknown, otherwise: number, maximum: number): number {
  if (value === undefined || value === null) return otherwise;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= maximum) return value;
  throw new RequestError(400, "bad_number", `A whole number from 0 to ${maximum} was expected.`);
}

/** The same text always has the same unit vector. */
function vectorOf(text: string, dimensions: number): Float32Array {
  const vector = new Float32Array(dimensions);
  for (let start = 0; start < dimensions; start += 32) {
    const digest = createHash("sha256").update(`${start} ${text}`).digest();
    for (let index = start; index < Math.min(dimensions, start + 32); index += 1) {
      vector[index] = (digest[index - start] ?? 0) / 127.5 - 1;
    }
  }
  const length = Math.hypot(...vector) || 1;
  return vector.map((value) => value / length);
}

/** Share of the query's words that the document has. */
function scoreOf(query: string, document: string): number {
  const words = query.toLowerCase().split(/\W+/).filter(Boolean);
  const found = new Set(document.toLowerCase().split(/\W+/));
  return words.length === 0 ? 0 : words.filter((word) => found.has(word)).length / words.length;
}
