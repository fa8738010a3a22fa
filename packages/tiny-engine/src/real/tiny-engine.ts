import type { IncomingMessage, ServerResponse } from "node:http";

import { type ListeningServer, type ListenOptions, listen } from "../http/listening-server.ts";
import { readJson } from "../http/read-json.ts";
import { RequestError, sendJson, sendText } from "../http/request-error.ts";
import { CONTEXT_LENGTH } from "./context-length.ts";
import { OLLAMA_VERSION, ollamaChat, ollamaGenerate, ollamaRunning, ollamaShow, ollamaTags } from "./ollama-routes.ts";
import { chat, completion, embeddings, modelEntry, type RouteContext } from "./openai-routes.ts";
import { sendFailure } from "./send-answer.ts";
import type { TinyModel } from "./tiny-model.ts";

/** How a tiny engine is set up. */
export interface TinyEngineOptions extends ListenOptions {
  /** Default "tiny". */
  readonly modelName?: string;
  /** Requests generated at the same time, 1 to 64; default 4. Up to 64 more wait; the next is answered 503. */
  readonly parallel?: number;
}

/** A real engine around a very small model. */
export interface TinyEngine extends ListeningServer {
  /** Requests that generate now, and that wait for their turn. */
  load(): { running: number; waiting: number };
}

type Route = (context: RouteContext, response: ServerResponse, json: unknown) => Promise<void> | object;

const POST_ROUTES: Readonly<Record<string, Route>> = {
  "/v1/chat/completions": chat,
  "/v1/completions": completion,
  "/v1/embeddings": embeddings,
  "/api/chat": ollamaChat,
  "/api/generate": ollamaGenerate,
  "/api/show": ollamaShow,
};

const GET_ROUTES: Readonly<Record<string, (context: RouteContext) => object | string>> = {
  "/": () => "llama.cpp, with a very small model",
  "/health": () => ({ status: "ok" }),
  "/v1/models": (context) => ({ object: "list", data: [modelEntry(context)] }),
  "/props": props,
  "/slots": slots,
  "/metrics": metrics,
  "/api/version": () => ({ version: OLLAMA_VERSION }),
  "/api/tags": ollamaTags,
  "/api/ps": ollamaRunning,
};

/**
 * Starts llama.cpp on the CPU with the model of this package: real tokens, about a thousand a second, in 0.3 s and
 * 150 MB. It answers as llama.cpp's own server does, and on Ollama's routes too.
 *
 * @throws Error in one sentence when llama.cpp does not run on this machine, or the port cannot be opened.
 */
export async function startTinyEngine(options: TinyEngineOptions = {}): Promise<TinyEngine> {
  const parallel = Math.min(64, Math.max(1, Math.floor(options.parallel ?? 4)));
  // Loaded here: who only wants the simulated engine does not wait for llama.cpp, nor need it.
  const { TinyModel } = await import("./tiny-model.ts").catch((cause: unknown) => {
    throw new Error("The tiny engine needs node-llama-cpp, which is not installed or does not load.", { cause });
  });
  const model = await TinyModel.open(parallel);
  const context = { model, modelName: options.modelName ?? "tiny" };
  const running = new Set<Promise<void>>();
  const server = await listen((request, response) => {
    const answer = handle(context, request, response).catch((thrown: unknown) => sendFailure(response, thrown));
    running.add(answer);
    void answer.finally(() => running.delete(answer));
  }, options).catch(async (cause: unknown) => {
    await model[Symbol.asyncDispose]();
    throw cause;
  });
  let closing: Promise<void> | undefined;
  const close = () => (closing ??= closeAll(server, running, model));
  const load = () => ({ running: model.sequences.running, waiting: model.sequences.waiting });
  return { url: server.url, port: server.port, load, close, [Symbol.asyncDispose]: close };
}

/** In this order: freeing the model under a running generation ends the process. */
async function closeAll(server: ListeningServer, running: ReadonlySet<Promise<void>>, model: TinyModel): Promise<void> {
  await server.close();
  await Promise.all(running);
  await model[Symbol.asyncDispose]();
}

async function handle(context: RouteContext, request: IncomingMessage, response: ServerResponse): Promise<void> {
  response.setHeader("server", "llama.cpp");
  const path = new URL(request.url ?? "/", "http://engine").pathname;
  if (request.method === "GET") return sendFixed(context, path, response);
  const route = Object.hasOwn(POST_ROUTES, path) ? POST_ROUTES[path] : undefined;
  if (request.method !== "POST" || route === undefined) throw notFound(request.method, path);
  const answer = await route(context, response, await readJson(request));
  if (answer !== undefined) sendJson(response, answer);
}

function sendFixed(context: RouteContext, path: string, response: ServerResponse): void {
  const route = Object.hasOwn(GET_ROUTES, path) ? GET_ROUTES[path] : undefined;
  const isModel = path === `/v1/models/${encodeURIComponent(context.modelName)}`;
  const answer = isModel ? modelEntry(context) : route?.(context);
  if (answer === undefined) throw notFound("GET", path);
  if (typeof answer === "string") sendText(response, 200, "text/plain; charset=utf-8", answer);
  else sendJson(response, answer);
}

function notFound(method: string | undefined, path: string): RequestError {
  return new RequestError(404, "not_found", `There is no ${method} ${path} here.`);
}

function props({ model, modelName }: RouteContext): object {
  return {
    default_generation_settings: { n_ctx: CONTEXT_LENGTH },
    total_slots: model.sequences.total,
    model_path: `${modelName}.gguf`,
    modalities: { vision: false, audio: false },
    build_info: model.release,
    chat_template: model.chatTemplate,
  };
}

function slots({ model }: RouteContext): object[] {
  const { total, running } = model.sequences;
  return Array.from({ length: total }, (_, id) => ({ id, n_ctx: CONTEXT_LENGTH, is_processing: id < running }));
}

function metrics({ model }: RouteContext): string {
  const { running, waiting } = model.sequences;
  return `llamacpp:requests_processing ${running}\nllamacpp:requests_deferred ${waiting}\n`;
}
