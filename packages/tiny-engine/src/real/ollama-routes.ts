import type { ServerResponse } from "node:http";

import { sendJson } from "../http/request-error.ts";
import { ollamaFormat } from "./answer-format.ts";
import { CONTEXT_LENGTH } from "./context-length.ts";
import type { GenerationRequest } from "./generate.ts";
import {
  chatMessages,
  ollamaChatBody,
  ollamaGenerateBody,
  type OllamaOptions,
  parseBody,
  samplingFields,
} from "./generation-fields.ts";
import { type RouteContext, servedModel } from "./openai-routes.ts";
import { sendAnswer } from "./send-answer.ts";

/** The version of Ollama's API that these routes follow. */
export const OLLAMA_VERSION = "0.9.0";

/** Ollama's `POST /api/chat`; streams unless told not to. */
export async function ollamaChat(context: RouteContext, response: ServerResponse, json: unknown): Promise<void> {
  const body = parseBody(ollamaChatBody, json);
  const model = servedModel(context, body.model);
  const content = (text: string) => ({ message: { role: "assistant", content: text } });
  if (body.messages.length === 0) return sendLoaded(response, model, content(""));
  const prompt = context.model.chatTokens(chatMessages(body.messages));
  const request = { ...requestOf(body.options), prompt, trimsStart: true };
  const format = ollamaFormat(model, content);
  await sendAnswer({ model: context.model, response, request, format, isStream: body.stream !== false });
}

/** Ollama's `POST /api/generate`: the prompt as one user message, or as it is with `raw`. */
export async function ollamaGenerate(context: RouteContext, response: ServerResponse, json: unknown): Promise<void> {
  const body = parseBody(ollamaGenerateBody, json);
  const model = servedModel(context, body.model);
  const content = (text: string) => ({ response: text });
  const text = body.prompt ?? "";
  if (text === "") return sendLoaded(response, model, content(""));
  const isRaw = body.raw === true;
  const prompt = isRaw ? context.model.textTokens(text) : context.model.chatTokens([{ role: "user", text }]);
  const request = { ...requestOf(body.options), prompt, trimsStart: !isRaw };
  const format = ollamaFormat(model, content);
  await sendAnswer({ model: context.model, response, request, format, isStream: body.stream !== false });
}

/** The answers of Ollama's routes that generate nothing. */
export function ollamaTags(context: RouteContext): object {
  return { models: [ollamaModel(context)] };
}

/** `GET /api/ps`: the model is always loaded. */
export function ollamaRunning(context: RouteContext): object {
  const loaded = { expires_at: "2099-01-01T00:00:00Z", size_vram: 0, context_length: CONTEXT_LENGTH };
  return { models: [{ ...ollamaModel(context), ...loaded }] };
}

/** `POST /api/show`. @throws RequestError 404 when another model is asked for. */
export function ollamaShow(context: RouteContext, json: unknown): object {
  const body = parseBody(ollamaGenerateBody, json);
  servedModel(context, body.model);
  return {
    details: DETAILS,
    capabilities: ["completion", "embedding"],
    model_info: { "general.architecture": "llama", "llama.context_length": CONTEXT_LENGTH },
    parameters: `num_ctx ${CONTEXT_LENGTH}`,
    template: "",
  };
}

const DETAILS = {
  format: "gguf",
  family: "llama",
  families: ["llama"],
  parameter_size: "1M",
  quantization_level: "F16",
};

function ollamaModel({ model, modelName }: RouteContext): object {
  const name = `${modelName}:latest`;
  const digest = "0".repeat(64);
  return { name, model: name, modified_at: "2026-01-01T00:00:00Z", size: model.bytes, digest, details: DETAILS };
}

/** Ollama's answer to a request without a prompt: the model is loaded, nothing is generated. */
function sendLoaded(response: ServerResponse, model: string, content: object): void {
  const created_at = new Date().toISOString();
  sendJson(response, { model, created_at, ...content, done: true, done_reason: "load" });
}

function requestOf(options: OllamaOptions): Omit<GenerationRequest, "prompt" | "trimsStart"> {
  // To Ollama -1 and -2 mean without an end.
  const limit = options?.num_predict ?? -1;
  return { ...samplingFields(options ?? {}), maxTokens: limit <= 0 ? undefined : limit, ignoresEnd: false };
}
