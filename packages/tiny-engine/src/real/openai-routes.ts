import type { ServerResponse } from "node:http";

import { RequestError, sendJson } from "../http/request-error.ts";
import { chatFormat, completionFormat } from "./answer-format.ts";
import { CONTEXT_LENGTH } from "./context-length.ts";
import type { GenerationRequest } from "./generate.ts";
import {
  chatBody,
  chatMessages,
  completionBody,
  embeddingBody,
  type OpenAiFields,
  parseBody,
  samplingFields,
} from "./generation-fields.ts";
import { sendAnswer } from "./send-answer.ts";
import type { TinyModel } from "./tiny-model.ts";

/** What a route answers from. */
export interface RouteContext {
  readonly model: TinyModel;
  readonly modelName: string;
}

/** `POST /v1/chat/completions`. */
export async function chat(context: RouteContext, response: ServerResponse, json: unknown): Promise<void> {
  const body = parseBody(chatBody, json);
  const model = servedModel(context, body.model);
  const prompt = context.model.chatTokens(chatMessages(body.messages));
  const format = chatFormat({ model, includesUsage: body.stream_options?.include_usage === true });
  const request = { ...requestOf(body), prompt, trimsStart: true };
  await sendAnswer({ model: context.model, response, request, format, isStream: body.stream === true });
}

/** `POST /v1/completions`. */
export async function completion(context: RouteContext, response: ServerResponse, json: unknown): Promise<void> {
  const body = parseBody(completionBody, json);
  const model = servedModel(context, body.model);
  const prompt = context.model.textTokens(typeof body.prompt === "string" ? body.prompt : body.prompt.join(""));
  const format = completionFormat({ model, includesUsage: body.stream_options?.include_usage === true });
  const request = { ...requestOf(body), prompt, trimsStart: false };
  await sendAnswer({ model: context.model, response, request, format, isStream: body.stream === true });
}

/** `POST /v1/embeddings`, as floats or, as OpenAI's own clients ask, as base64 of little-endian 32-bit floats. */
export async function embeddings(context: RouteContext, response: ServerResponse, json: unknown): Promise<void> {
  const body = parseBody(embeddingBody, json);
  const { model } = context;
  if (body.dimensions !== undefined && body.dimensions !== null && body.dimensions !== model.embeddingLength) {
    throw new RequestError(400, "invalid_request", `The model has ${model.embeddingLength} dimensions only.`);
  }
  const inputs = typeof body.input === "string" ? [body.input] : body.input;
  const prompts = inputs.map((input) => model.textTokens(input));
  if (prompts.some((prompt) => prompt.length > CONTEXT_LENGTH)) {
    throw new RequestError(400, "context_length_exceeded", `An input has more than ${CONTEXT_LENGTH} tokens.`);
  }
  const data: object[] = [];
  for (const [index, prompt] of prompts.entries()) {
    if (response.destroyed) return;
    const vector = await model.embed(prompt);
    const embedding = body.encoding_format === "base64" ? Buffer.from(vector.buffer).toString("base64") : [...vector];
    data.push({ object: "embedding", index, embedding });
  }
  const tokens = prompts.reduce((sum, prompt) => sum + prompt.length, 0);
  const usage = { prompt_tokens: tokens, total_tokens: tokens };
  sendJson(response, { object: "list", data, model: servedModel(context, body.model), usage });
}

/** The one model, as llama.cpp lists it. */
export function modelEntry({ model, modelName }: RouteContext): object {
  return {
    id: modelName,
    object: "model",
    created: 1_700_000_000,
    owned_by: "llamacpp",
    meta: {
      vocab_type: 1,
      n_vocab: model.vocabularySize,
      n_ctx_train: CONTEXT_LENGTH,
      n_embd: model.embeddingLength,
      n_params: Math.round(model.bytes / 2),
      size: model.bytes,
    },
  };
}

/** The model's name. @throws RequestError 404 when another one is asked for. */
export function servedModel({ modelName }: RouteContext, asked: string | null | undefined): string {
  // Ollama's clients add the tag that Ollama would.
  if (asked === undefined || asked === null || asked === modelName || asked === `${modelName}:latest`) return modelName;
  throw new RequestError(
    404,
    "model_not_found",
    `The model ${JSON.stringify(asked)} does not exist; there is "${modelName}".`,
  );
}

function requestOf(body: OpenAiFields): Omit<GenerationRequest, "prompt" | "trimsStart"> {
  const maxTokens = body.max_completion_tokens ?? body.max_tokens ?? undefined;
  return { ...samplingFields(body), maxTokens, ignoresEnd: body.ignore_eos === true };
}
