import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";

import { AppError, type ErrorCode } from "../errors.ts";
import { newId } from "../new-id.ts";
import type { Log } from "../observe/log.ts";
import type { ClientAddresses } from "./client-address.ts";
import { CORS_HEADERS, isCrossOrigin, preflightHeaders } from "./cors.ts";
import { answering } from "./door.ts";
import { errorBody, errorStatus } from "./error-body.ts";
import type { Exchange } from "./exchange.ts";
import { Reply } from "./reply.ts";
import type { Router } from "./router.ts";
import type { StrangerSockets } from "./stranger-sockets.ts";
import { Turns } from "./turns.ts";

export const HTTP_LIMITS = {
  /** All of a request's headers, its address included. Larger: 431. */
  maxHeaderBytes: 16 * 1024,
  /** A client must have sent its headers by then (slow loris). */
  headersMs: 10_000,
  /** An idle connection is kept so long: more than the 60 s of common proxies, so that they close first. */
  keepAliveMs: 75_000,
  /** Sockets, tunnels included. Each costs about 20 KB. */
  maxConnections: 65_536,
} as const;

/** Whoever answers paths that are not the router's. */
export interface MountedApi {
  /** By the path as it came. */
  readonly owns: (path: string) => boolean;
  readonly api: {
    /** @param client `waits`: it sends its body only when it is told to. */
    handle(request: IncomingMessage, response: ServerResponse, client: { readonly waits: boolean }): void;
  };
}

export interface HttpDeps {
  readonly router: Router;
  readonly admin: MountedApi | undefined;
  readonly log: Log;
  readonly now: () => number;
  readonly addresses: ClientAddresses;
  readonly strangers: StrangerSockets;
  /** While true, each answer closes its connection. */
  readonly isDraining: () => boolean;
  /** While true, new requests are refused. */
  readonly isOver: () => boolean;
  /** Takes over an `Upgrade` request, or refuses it. Owns the socket from there. */
  readonly upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
}

/** With every answer: a worker's bytes are never taken for a page or a script of this address. */
const SAFE_HEADERS = ["x-content-type-options", "nosniff"] as const;

/** The one HTTP server, not yet listening. */
export function createHttpServer(deps: HttpDeps): Server {
  const server = createServer({
    maxHeaderSize: HTTP_LIMITS.maxHeaderBytes,
    headersTimeout: HTTP_LIMITS.headersMs,
    // Uploads take as long as they take; `SLOW_UPLOAD` is the rule for them.
    requestTimeout: 0,
    keepAliveTimeout: HTTP_LIMITS.keepAliveMs,
    connectionsCheckingInterval: 5_000,
    noDelay: true,
    // Answered in the API's shape instead of by Node, with nothing in it.
    requireHostHeader: false,
    // An offer to speak something else, such as the `h2c` of Java's HTTP client, is not taken: the request is served as it is.
    // Nor is one behind a request that is not answered: both would write to one socket.
    shouldUpgradeCallback: (request) => asksWebSocket(request) && answerOf(request.socket) === undefined,
  });
  server.maxConnections = HTTP_LIMITS.maxConnections;
  server.on("connection", (socket) => deps.strangers.add(socket, deps.addresses.ofSocket(socket).network));
  const turns = new Turns();
  const inTurn = (request: IncomingMessage, response: ServerResponse, client: { readonly waits: boolean }): void => {
    toOriginForm(request);
    turns.take(request, response, () => void serve(deps, request, response, client));
  };
  server.on("request", (request, response) => inTurn(request, response, { waits: false }));
  server.on("checkContinue", (request, response) => inTurn(request, response, { waits: true }));
  // RFC 9110 §10.1.1 leaves it to the server whether it minds what it does not know.
  server.on("checkExpectation", (request, response) => inTurn(request, response, { waits: false }));
  server.on("upgrade", (request, socket, head) => {
    toOriginForm(request);
    deps.upgrade(request, socket, head);
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => refuseBadRequest(error, socket, deps.now()));
  return server;
}

/**
 * RFC 9112 §3.2.2: a server takes `GET http://host/path` as well. Its host has to be the header's, as of every client that keeps
 * to §3.2; another one is somebody's try to have the hub call it, and stays an address that is not here.
 */
function toOriginForm(request: IncomingMessage): void {
  const { url = "/", headers } = request;
  if (url.startsWith("/")) return;
  const [, host, rest = ""] = ABSOLUTE_FORM.exec(url) ?? [];
  if (host === undefined || host !== headers.host) return;
  request.url = rest.startsWith("/") ? rest : `/${rest}`;
}

const ABSOLUTE_FORM = /^https?:\/\/([^/?#]+)(.*)$/i;

/** `waits`: the client sends its body only when it is told to. */
async function serve(
  deps: HttpDeps,
  request: IncomingMessage,
  response: ServerResponse,
  client: { readonly waits: boolean },
): Promise<void> {
  const url = request.url ?? "/";
  const mark = url.indexOf("?");
  const path = mark < 0 ? url : url.slice(0, mark);
  const hasHost = request.headers.host !== undefined || request.httpVersion === "1.0";
  if (hasHost && deps.admin?.owns(path) === true) {
    if (deps.isDraining()) response.shouldKeepAlive = false;
    return deps.admin.api.handle(request, response, client);
  }
  const common = isCrossOrigin(path, request.headers.origin) ? [...SAFE_HEADERS, ...CORS_HEADERS] : SAFE_HEADERS;
  const exchange: Exchange = {
    request,
    reply: new Reply(response, newId("req", deps.now()), common),
    path,
    query: mark < 0 ? "" : url.slice(mark + 1),
    askForBody: () => {
      if (client.waits) response.writeContinue();
      exchange.reply.isBodyHeldBack = false;
    },
  };
  exchange.reply.isBodyHeldBack = client.waits;
  // Behind an upgrade that was passed over Node's parser may have dropped what the client sent.
  if (deps.isDraining() || asksWebSocket(request)) exchange.reply.endConnection();
  await answering((each) => (hasHost ? route(deps, each) : refuseWithoutHost(each)), exchange, deps.log);
}

function asksWebSocket({ headers }: IncomingMessage): boolean {
  return headers.upgrade?.toLowerCase() === "websocket";
}

/** RFC 9112 §3.2: a server must. */
function refuseWithoutHost({ reply }: Exchange): never {
  reply.endConnection();
  throw new AppError("invalid_request", "The request has no Host header.");
}

function route(deps: HttpDeps, exchange: Exchange): Promise<void> | void {
  const { request, path } = exchange;
  const method = request.method ?? "GET";
  if (deps.isOver() && path.startsWith("/v1/")) throw new AppError("shutting_down", undefined, { retryAfter: 5 });
  if (method === "OPTIONS" && deps.router.allowedAt(path) !== "") return answerOptions(deps, exchange);
  return deps.router.find(method, path)(exchange);
}

function answerOptions(deps: HttpDeps, { request, reply, path }: Exchange): void {
  const allow = deps.router.allowedAt(path);
  const headers = ["allow", allow];
  if (isCrossOrigin(path, request.headers.origin)) {
    headers.push(...preflightHeaders(allow, request.headers["access-control-request-headers"]));
  }
  reply.head(204, headers);
  reply.end();
}

/** What Node's parser refused, so that there is no request to answer. */
function refuseBadRequest(error: NodeJS.ErrnoException, socket: Duplex, nowMs: number): void {
  // Behind a request with `connection: close` a server reads nothing (RFC 9112 §9.6); its answer ends the connection.
  if (error.code === "HPE_CLOSED_CONNECTION" && answerOf(socket) !== undefined) return;
  // An error written into the middle of an answer would be taken for a part of it.
  const isAnswering = answerOf(socket)?.headersSent === true;
  if (!socket.writable || socket.destroyed || isAnswering || error.code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  const refusal = parserRefusal(error.code);
  const body = JSON.stringify(errorBody(refusal));
  const status = errorStatus(refusal);
  socket.end(
    `HTTP/1.1 ${status} ${REASONS[status] ?? "Bad Request"}\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nx-request-id: ${newId("req", nowMs)}\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n${body}`,
    // What still comes is not read; without this a client that goes on sending would keep the socket.
    () => socket.destroy(),
  );
}

/** The answer that a socket is giving. Node keeps it in this field, and its own handler of this event looks there, too. */
function answerOf(socket: Duplex): { readonly headersSent?: unknown } | undefined {
  const answer = "_httpMessage" in socket ? socket._httpMessage : undefined;
  return typeof answer === "object" && answer !== null ? answer : undefined;
}

const REASONS: Readonly<Record<number, string>> = { 408: "Request Timeout", 431: "Request Header Fields Too Large" };

function parserRefusal(code: string | undefined): AppError {
  const refusals: Readonly<Record<string, readonly [ErrorCode, string]>> = {
    HPE_HEADER_OVERFLOW: [
      "header_too_large",
      `The request's address and headers are larger than ${HTTP_LIMITS.maxHeaderBytes} bytes.`,
    ],
    HPE_CHUNK_EXTENSIONS_OVERFLOW: ["request_too_large", "The request's chunk extensions are too large."],
    ERR_HTTP_REQUEST_TIMEOUT: ["request_timeout", "The request's headers came too slowly."],
  };
  const [kind, message] = refusals[code ?? ""] ?? ["invalid_request", "This is not a valid HTTP request."];
  return new AppError(kind, message);
}
