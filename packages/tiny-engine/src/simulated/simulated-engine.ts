import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";

import { type ListenOptions, type ListeningServer, listen } from "../http/listening-server.ts";
import { RequestError, sendError, sendJson, sendText } from "../http/request-error.ts";
import type { Behaviour } from "./behaviour.ts";
import {
  ENGINE_IDENTITIES,
  type EngineFacts,
  type EngineIdentityName,
  modelEntry,
  modelList,
} from "./engine-identity.ts";
import { GenerationRoutes } from "./generation-routes.ts";
import { REALTIME_PATH, RealtimeRoute, refuseUpgrade } from "./realtime-route.ts";
import { type RecordedRequest, type RequestCounts, type RequestPredicate, RequestRecorder } from "./request-record.ts";

/** How a simulated engine is set up. */
export interface SimulatedEngineOptions extends ListenOptions {
  /** Models it lists; default `["simulated"]`. Any other model is served too, unless `refusesUnknownModels`. */
  readonly models?: readonly string[];
  /** The engine it passes for; default `"generic"`. */
  readonly identity?: EngineIdentityName;
  /** How it answers when a request does not say. */
  readonly behaviour?: Behaviour;
  /** How it answers requests for a model, by the model's name, when a request does not say. */
  readonly behaviours?: Readonly<Record<string, Behaviour>>;
  /** Answers 404 to models that it does not list. */
  readonly refusesUnknownModels?: boolean;
  /** Requests without `Authorization: Bearer` and this key are answered 401. */
  readonly apiKey?: string;
  /** Reported, not enforced; default 4. */
  readonly slots?: number;
  /** Reported, not enforced; default 8192. */
  readonly contextLength?: number;
}

/** An engine without a model: deterministic, fast, and as bad as it is told to be. */
export interface SimulatedEngine extends ListeningServer {
  /** The last thousand requests that generate something, oldest first. Probes (model lists, health) are not among them. */
  readonly requests: readonly RecordedRequest[];
  counts(): RequestCounts;
  /** Resolves when `predicate` holds. @throws Error after `timeoutMs`, 5,000 by default. */
  waitFor(predicate: RequestPredicate, options?: { timeoutMs?: number }): Promise<void>;
  /** Forgets records and counts. */
  reset(): void;
}

/**
 * Starts a simulated engine. A request says how it is answered in its JSON field `simulate` (or `x_simulate`), else in
 * its header `x-simulate`; see `Behaviour`. `/__sim/counts`, `/__sim/requests` and `POST /__sim/reset` do the same as
 * the methods, for other processes.
 *
 * @throws Error when the port cannot be opened.
 */
export async function startSimulatedEngine(options: SimulatedEngineOptions = {}): Promise<SimulatedEngine> {
  const recorder = new RequestRecorder();
  const generation = new GenerationRoutes({ recorder, ...withModels(options) });
  const realtime = new RealtimeRoute({ recorder, ...options });
  const front = new EngineFront(options, { recorder, generation, realtime });
  const server = await listen(
    (request, response) => front.handle(request, response),
    options,
    (...upgrade) => front.upgrade(...upgrade),
  );
  const close = async () => {
    recorder.cutAll();
    generation.close();
    realtime.close();
    await server.close();
  };
  return {
    url: server.url,
    port: server.port,
    get requests() {
      return recorder.requests;
    },
    counts: () => recorder.counts(),
    waitFor: (predicate, wait = {}) => recorder.waitFor(predicate, wait.timeoutMs ?? 5000),
    reset: () => recorder.reset(),
    close,
    [Symbol.asyncDispose]: close,
  };
}

function withModels<T extends { models?: readonly string[] }>(options: T): T & { models: readonly string[] } {
  return { ...options, models: options.models ?? ["simulated"] };
}

/** Everything before a request generates: control, key, probes. */
class EngineFront {
  readonly #options: SimulatedEngineOptions & { models: readonly string[] };
  readonly #recorder: RequestRecorder;
  readonly #generation: GenerationRoutes;
  readonly #realtime: RealtimeRoute;
  readonly #identityName: EngineIdentityName;

  constructor(
    options: SimulatedEngineOptions,
    parts: { recorder: RequestRecorder; generation: GenerationRoutes; realtime: RealtimeRoute },
  ) {
    this.#options = withModels(options);
    this.#recorder = parts.recorder;
    this.#generation = parts.generation;
    this.#realtime = parts.realtime;
    this.#identityName = options.identity ?? "generic";
  }

  handle(request: IncomingMessage, response: ServerResponse): void {
    const url = request.url ?? "/";
    const query = url.indexOf("?");
    const path = query < 0 ? url : url.slice(0, query);
    if (path.startsWith("/__sim/")) return this.#control(`${request.method} ${path}`, response);
    const identity = ENGINE_IDENTITIES[this.#identityName];
    if (identity.serverHeader !== undefined) response.setHeader("server", identity.serverHeader);
    if (!this.#isAllowed(request)) return sendError(response, new RequestError(401, "invalid_api_key", "Wrong key."));
    if (request.method === "POST" && this.#generation.serves(path)) {
      this.#generation.handle(path, request, response);
      return;
    }
    this.#probe(`${request.method} ${path}`, request, response);
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const [path] = (request.url ?? "/").split("?", 1);
    if (!this.#isAllowed(request)) {
      refuseUpgrade(request, socket, new RequestError(401, "invalid_api_key", "Wrong key."));
    } else if (path !== REALTIME_PATH) {
      refuseUpgrade(request, socket, new RequestError(404, "not_found", `There is no WebSocket at ${path}.`));
    } else this.#realtime.handle(request, socket, head);
  }

  #isAllowed(request: IncomingMessage): boolean {
    return this.#options.apiKey === undefined || request.headers.authorization === `Bearer ${this.#options.apiKey}`;
  }

  #probe(route: string, request: IncomingMessage, response: ServerResponse): void {
    const identity = ENGINE_IDENTITIES[this.#identityName];
    const facts = this.#facts();
    this.#recorder.probed();
    request.resume();
    const answer = identity.routes[route]?.(facts, {});
    if (typeof answer === "string") return sendText(response, 200, "text/plain; charset=utf-8", answer);
    if (answer !== undefined) return sendJson(response, answer);
    if (route === "GET /v1/models") return sendJson(response, modelList(identity, facts));
    const id = route.startsWith("GET /v1/models/") ? decodeURIComponent(route.slice("GET /v1/models/".length)) : "";
    if (facts.models.includes(id)) return sendJson(response, modelEntry(identity, facts, id));
    sendError(response, new RequestError(404, "not_found", `There is no ${route} here.`));
  }

  #control(route: string, response: ServerResponse): void {
    if (route === "GET /__sim/counts") return sendJson(response, this.#recorder.counts());
    if (route === "GET /__sim/requests") return sendJson(response, this.#recorder.requests);
    if (route !== "POST /__sim/reset")
      return sendError(response, new RequestError(404, "not_found", "No such control."));
    this.#recorder.reset();
    sendJson(response, this.#recorder.counts());
  }

  #facts(): EngineFacts {
    const { models, contextLength = 8192, slots = 4 } = this.#options;
    return { models, contextLength, slots, running: this.#recorder.counts().active };
  }
}
