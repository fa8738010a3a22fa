import type { IncomingMessage, ServerResponse } from "node:http";

import { fastify, type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";

import { AppError, type ErrorCode, toAppError } from "../errors.ts";
import { dropBody, isStillSending } from "../http/early-answer.ts";
import { errorBody, errorStatus } from "../http/error-body.ts";
import { newId } from "../new-id.ts";
import { StoreError, type StoreErrorCode } from "../store/store-error.ts";
import { type AnswerDeps, answerRoute, type Bodies } from "./answer-route.ts";
import { BodyMemory } from "./body-memory.ts";
import type { Route } from "./route.ts";

export interface AdminApiDeps<Services> extends AnswerDeps<Services> {
  readonly routes: readonly Route<Services>[];
}

/** The admin API as the one HTTP server sees it. */
export interface AdminApi {
  /** Nothing can be handled before. Rejects when two routes are the same. */
  ready(): Promise<void>;
  /** @param waits The client sends its body only when it is told to (`Expect: 100-continue`). */
  handle(request: IncomingMessage, response: ServerResponse, client: { readonly waits: boolean }): void;
}

/** Whether a request belongs to the admin API, by its path as it came. */
export function isAdminPath(path: string): boolean {
  return path.startsWith("/api/");
}

/** With every answer. What is private is never kept by anything between, and no answer is taken for a page. */
const SAFE_HEADERS = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
} as const;

/** Every method there may be a route for; the others of a path are answered 405. */
const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const;

/**
 * Fastify finds the route and sends the answer; who may, what is valid and what is done is `answerRoute`. It has no server of its
 * own: the hub's gives it requests.
 */
export function createAdminApi<Services>(deps: AdminApiDeps<Services>): AdminApi {
  const waiting = new WeakSet<IncomingMessage>();
  const bodies = { ofUsers: new BodyMemory(), ofStrangers: new BodyMemory() };
  const app = fastify({
    genReqId: () => newId("req", deps.now()),
    frameworkErrors: (error, request, reply) => {
      answerError(deps, error, request, reply);
    },
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: 1_000 },
  });
  // The route reads its body itself, once it is known who asks: see answer-route.ts.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, _body, done) => done(null));
  app.addHook("onRequest", async (request, reply) => {
    reply.headers(SAFE_HEADERS).header("x-request-id", request.id);
  });
  app.addHook("onSend", async (request, reply) => endEarly(request.raw, reply, waiting));
  app.setErrorHandler<FastifyError>((error, request, reply) => answerError(deps, error, request, reply));
  app.setNotFoundHandler((request) => {
    deps.limits.count(`network ${deps.addresses.of(request.raw).network}`);
    throw new AppError("unknown_url", `There is no ${shown(request.method, request.url)}. See /api/openapi.json.`);
  });
  addRoutes(app, deps, { waiting, bodies });
  return {
    ready: async () => {
      await app.ready();
    },
    handle: (request, response, { waits }) => {
      if (waits) waiting.add(request);
      app.routing(request, response);
    },
  };
}

function addRoutes<S>(
  app: FastifyInstance,
  deps: AdminApiDeps<S>,
  { waiting, bodies }: { readonly waiting: WeakSet<IncomingMessage>; readonly bodies: Bodies },
): void {
  const methodsAt = new Map<string, string[]>();
  for (const route of deps.routes) {
    const url = route.path.replaceAll(/\{(\w+)\}/g, ":$1");
    const isStreamed = Object.values(route.response).some((body) => body !== null && "streams" in body);
    // The answer to a HEAD would have to be made and thrown away, and a stream of events never ends.
    const answersHead = route.method === "GET" && !isStreamed;
    const methods = answersHead ? ["GET", "HEAD"] : [route.method];
    methodsAt.set(url, [...(methodsAt.get(url) ?? []), ...methods]);
    app.route({
      method: methods,
      url,
      handler: (request, reply) => {
        const askForBody = (): void => {
          if (waiting.delete(request.raw)) reply.raw.writeContinue();
        };
        return answerRoute(deps, route, { request, reply, askForBody, bodies });
      },
    });
  }
  for (const [url, methods] of methodsAt) {
    const allow = methods.join(", ");
    app.route({
      method: METHODS.filter((each) => !methods.includes(each)),
      url,
      handler: (request) => {
        const message = `${shown(request.url)} answers ${allow}, not ${request.method}.`;
        throw new AppError("method_not_allowed", message, { headers: { allow } });
      },
    });
  }
}

/** An answer that overtakes the request's body ends the connection, and the body's rest is read so that the client sees it. */
async function endEarly(raw: IncomingMessage, reply: FastifyReply, waiting: WeakSet<IncomingMessage>): Promise<void> {
  if (!isStillSending(raw)) return;
  reply.header("connection", "close");
  if (!waiting.has(raw)) await dropBody(raw);
}

function answerError(
  { log }: Pick<AnswerDeps<never>, "log">,
  thrown: Error,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const error = toAppError(ofStore(ofFastify(thrown)));
  if (error.cause instanceof StoreError || error.code === "internal") {
    const { id: requestId, method, routeOptions } = request;
    log.error({ requestId, method, path: routeOptions.url, err: error.cause }, "request failed by our own fault");
  }
  if (error.retryAfter !== undefined) reply.header("retry-after", String(error.retryAfter));
  return reply
    .headers({ ...SAFE_HEADERS, "x-request-id": request.id, ...error.headers })
    .code(errorStatus(error))
    .type("application/json")
    .send(JSON.stringify(errorBody(error)));
}

/** What Fastify itself refuses, by its code. */
const FASTIFY_ERRORS: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  FST_ERR_BAD_URL: ["invalid_request", "The address is not encoded correctly."],
  FST_ERR_MAX_PARAM_LENGTH: ["not_found", "There is nothing with so long a name."],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: ["unsupported_media_type", "The header content-type is not one."],
};

function ofFastify(thrown: Error): unknown {
  const code = "code" in thrown ? String(thrown.code) : "";
  const known = Object.hasOwn(FASTIFY_ERRORS, code) ? FASTIFY_ERRORS[code] : undefined;
  return known === undefined ? thrown : new AppError(known[0], known[1], { cause: thrown });
}

/** States of a database that pass, or that the operator ends; nothing was done. */
const PASSING: readonly StoreErrorCode[] = ["locked", "disk-full", "read-only", "cannot-open", "connection-lost"];

function ofStore(thrown: unknown): unknown {
  if (!(thrown instanceof StoreError)) return thrown;
  if (thrown.code === "outcome-unknown") {
    const lost =
      "The hub lost its database while it did this, and nobody knows whether it was done. Look, and try again.";
    return new AppError("internal", lost, { cause: thrown });
  }
  if (!PASSING.includes(thrown.code)) return thrown;
  const message = "The hub's database takes nothing at the moment. Try again.";
  return new AppError("overloaded", message, { retryAfter: 5, cause: thrown });
}

/** Without the query, which may hold what is nobody's business. */
function shown(...words: readonly string[]): string {
  const text = words.join(" ").split("?", 1)[0] ?? "";
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}
