import { type IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";

import { BRIDGED_WEBSOCKET_OPTIONS } from "@tokilake/tunnel";
import { type WebSocket, WebSocketServer } from "ws";

import { AppError } from "../errors.ts";
import { newId } from "../new-id.ts";
import type { Log } from "../observe/log.ts";
import { answering } from "./door.ts";
import type { Exchange } from "./exchange.ts";
import { Reply } from "./reply.ts";
import type { UpgradeHandler } from "./upgrading.ts";

export interface HandshakeChoice {
  readonly protocol: string | undefined;
  readonly headers: readonly string[];
  readonly onBytes: (count: number) => void;
}

/** A WebSocket handshake that is not answered yet. Until `accept` the reply gives ordinary answers. */
export interface HandshakeExchange extends Exchange {
  /**
   * Sends the 101. Nothing that the client sends is missed when its messages are listened to in the same turn.
   *
   * @param choice.protocol One of those that the client offered.
   * @param choice.headers Lines such as "x-name: value".
   * @param choice.onBytes How many bytes the client sent, before the messages in them are told.
   * @throws AppError `client_closed`.
   */
  accept(choice: HandshakeChoice): WebSocket;
}

export interface WebSocketDoorDeps {
  readonly log: Log;
  readonly now: () => number;
  readonly isDraining: () => boolean;
}

/** After an answer other than 101 the client gets so long to close. */
const LINGER_MS = 2_000;
const SAFE_HEADERS = ["x-content-type-options", "nosniff"] as const;

/**
 * Takes upgrades for one path. A handshake that fails is answered as any other request of the API, and its connection
 * ends: no bytes of the client ever pass before the 101 (as they did in Kubernetes' CVE-2018-1002105).
 */
export function webSocketDoor(
  deps: WebSocketDoorDeps,
  handler: (exchange: HandshakeExchange) => Promise<void>,
): UpgradeHandler {
  return (request, socket, head) => {
    const exchange = exchangeOf(deps, { request, socket, head });
    void answering(
      () => {
        if (deps.isDraining()) throw new AppError("shutting_down", undefined, { retryAfter: 5 });
        checkHandshake(request);
        return handler(exchange);
      },
      exchange,
      deps.log,
    );
  };
}

interface Upgrade {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
}

function exchangeOf(deps: WebSocketDoorDeps, { request, socket, head }: Upgrade): HandshakeExchange {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  // Node's types say Duplex, as somebody may emit the event himself; a server's own is always a socket.
  response.assignSocket(socket as Socket);
  socket.on("error", () => socket.destroy());
  const stopWatching = watchEnd(socket);
  response.once("finish", () => {
    stopWatching();
    socket.resume();
    socket.end();
    setTimeout(() => socket.destroy(), LINGER_MS).unref();
  });
  const url = request.url ?? "/";
  const mark = url.indexOf("?");
  const reply = new Reply(response, newId("req", deps.now()), SAFE_HEADERS);
  return {
    request,
    reply,
    path: mark < 0 ? url : url.slice(0, mark),
    query: mark < 0 ? "" : url.slice(mark + 1),
    askForBody: () => undefined,
    accept: (choice) => {
      stopWatching();
      response.detachSocket(socket as Socket);
      reply.handOver();
      const opened = acceptWebSocket({ request, socket, head }, choice);
      if (opened === undefined) throw new AppError("client_closed");
      return opened;
    },
  };
}

function acceptWebSocket(
  { request, socket, head }: Upgrade,
  { protocol, headers, onBytes }: HandshakeChoice,
): WebSocket | undefined {
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    ...BRIDGED_WEBSOCKET_OPTIONS,
    handleProtocols: () => protocol ?? false,
  });
  server.on("headers", (lines) => lines.push(...headers));
  const opened: WebSocket[] = [];
  // In front of the listener of `ws`, which tells of messages. Unlike `on` it does not make the socket flow.
  socket.prependListener("data", (chunk: Buffer) => onBytes(chunk.length));
  // Calls back in this turn, or never when the client is gone.
  server.handleUpgrade(request, socket, head, (webSocket) => opened.push(webSocket));
  return opened[0];
}

/** Notices a client that goes away before the 101. Node tells the end of a socket that nobody reads when it sent nothing. */
function watchEnd(socket: Duplex): () => void {
  const onEnd = (): void => void socket.destroy();
  socket.on("end", onEnd);
  return () => void socket.off("end", onEnd);
}

const KEY = /^[+/0-9A-Za-z]{22}==$/;

/** RFC 6455 §4.2.1. @throws AppError `invalid_request`. */
function checkHandshake({ method, headers }: IncomingMessage): void {
  const isWebSocket = headers.upgrade?.toLowerCase() === "websocket";
  const isComplete = KEY.test(headers["sec-websocket-key"] ?? "") && headers["sec-websocket-version"] === "13";
  if (method === "GET" && isWebSocket && isComplete) return;
  throw new AppError("invalid_request", "This address takes WebSocket connections (RFC 6455, version 13).");
}
