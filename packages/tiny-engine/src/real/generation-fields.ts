import * as z from "zod";

import { RequestError } from "../http/request-error.ts";
import type { GenerationRequest } from "./generate.ts";
import type { ChatMessage } from "./tiny-model.ts";

const tokens = z.int().min(1).max(1_000_000).nullish();
const stop = z.union([z.string(), z.array(z.string()).max(16)]).nullish();

/** The sampling fields that OpenAI's and Ollama's requests have in common. */
const sampling = {
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.int().min(0).max(1000).nullish(),
  seed: z.int().nullish(),
  stop,
};

const openAiShared = {
  ...sampling,
  model: z.string().nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  max_tokens: tokens,
  max_completion_tokens: tokens,
  n: z.literal(1, "this engine gives one answer a request").nullish(),
  ignore_eos: z.boolean().nullish(),
};

/** What the bodies of both OpenAI routes that generate have in common. */
export type OpenAiFields = z.infer<z.ZodObject<typeof openAiShared>>;

const part = z.looseObject({ type: z.string(), text: z.string().nullish() });
const message = z.looseObject({
  role: z.enum(["system", "developer", "user", "assistant", "tool", "function"]),
  content: z.union([z.string(), z.array(part).max(1000)]).nullish(),
});
const messages = z.array(message).min(1).max(10_000);

/** The body of `POST /v1/chat/completions`, as far as it is acted on. */
export const chatBody = z.looseObject({ ...openAiShared, messages });
/** The body of `POST /v1/completions`. */
export const completionBody = z.looseObject({
  ...openAiShared,
  prompt: z.union([z.string(), z.array(z.string()).length(1)]),
});
const inputs = z.union([z.string(), z.array(z.string()).min(1).max(512)]);

/** The body of `POST /v1/embeddings`. */
export const embeddingBody = z.looseObject({
  model: z.string().nullish(),
  input: inputs,
  encoding_format: z.enum(["float", "base64"]).nullish(),
  dimensions: z.int().nullish(),
});

const options = z.looseObject({ ...sampling, num_predict: z.int().nullish() }).nullish();
/** The `options` of Ollama's requests. */
export type OllamaOptions = z.infer<typeof options>;

const ollamaShared = { model: z.string().nullish(), stream: z.boolean().nullish(), options };
/** The body of Ollama's `POST /api/chat`. */
export const ollamaChatBody = z.looseObject({ ...ollamaShared, messages: z.array(message).max(10_000) });
/** The body of Ollama's `POST /api/generate`. */
export const ollamaGenerateBody = z.looseObject({
  ...ollamaShared,
  prompt: z.string().nullish(),
  raw: z.boolean().nullish(),
});

/** `body`, checked. @throws RequestError naming every bad field. */
export function parseBody<T>(schema: z.ZodType<T>, body: unknown): T {
  const result = schema.safeParse(body);
  if (!result.success) throw new RequestError(400, "invalid_request", z.prettifyError(result.error));
  return result.data;
}

/** The messages of a chat with their text. Parts that are not text are left out: the model cannot see. */
export function chatMessages(list: z.infer<typeof messages>): ChatMessage[] {
  return list.map(({ role, content }) => ({
    role: role === "assistant" ? role : role === "system" || role === "developer" ? "system" : "user",
    text: typeof content === "string" ? content : (content ?? []).map((piece) => piece.text ?? "").join(""),
  }));
}

/** How the fields of a request say to sample, with the defaults of an engine. */
export function samplingFields(
  fields: z.infer<z.ZodObject<typeof sampling>>,
): Pick<GenerationRequest, "temperature" | "topP" | "topK" | "seed" | "stops"> {
  const stops = typeof fields.stop === "string" ? [fields.stop] : (fields.stop ?? []);
  return {
    temperature: fields.temperature ?? 0.8,
    topP: fields.top_p ?? 0.95,
    topK: fields.top_k ?? 40,
    seed: Math.abs(fields.seed ?? Math.floor(Math.random() * 2 ** 31)) % 2 ** 32,
    stops: stops.filter((text) => text !== ""),
  };
}
