import { type IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";

import { type WebSocket, WebSocketServer } from "ws";

import { RequestError, sendError } from "../http/request-error.ts";
import { type Behaviour, parseBehaviourHeader } from "./behaviour.ts";
import type { RecordedRequest, RequestRecorder } from "./request-record.ts";

export const REALTIME_PATH = "/v1/realtime";

/** The only subprotocol that the engine takes when it is offered. */
const SUBPROTOCOL = "realtime";
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;
/** The echo stops reading while so much of it waits. */
const MAX_WAITING_BYTES = 256 * 1024;

export interface RealtimeOptions {
  readonly recorder: RequestRecorder;
  readonly behaviour?: Behaviour;
  readonly behaviours?: Readonly<Record<string, Behaviour>>;
}

/** One WebSocket handshake, before it is answered. */
interface Handshake {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly record: RecordedRequest;
  readonly behaviour: Behaviour;
}

/**
 * `GET /v1/realtime` as a WebSocket that sends every message back as it came. `{"type":"response.create"}` is answered
 * with a `response.done` that has a usage. How it misbehaves is said by the query's `simulate` (JSON), else as for other
 * requests; what counts tokens there counts messages here.
 */
export class RealtimeRoute {
  readonly #options: RealtimeOptions;
  readonly #open = new Set<Duplex>();
  readonly #timers = new Set<NodeJS.Timeout>();

  constructor(options: RealtimeOptions) {
    this.#options = options;
  }

  /** Takes over the socket of an upgrade. */
  handle(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const record = this.#options.recorder.begin(request);
    this.#open.add(socket);
    socket.on("error", () => socket.destroy());
    socket.once("close", () => {
      this.#open.delete(socket);
      // Once it is open, the WebSocket tells how it was closed; that comes right behind this.
      setImmediate(() => this.#options.recorder.end(record, "cancelled"));
    });
    try {
      this.#answer({ request, socket, head, record, behaviour: this.#behaviourOf(request, record) });
    } catch (thrown) {
      const error = thrown instanceof RequestError ? thrown : new RequestError(500, "internal", String(thrown));
      refuseUpgrade(request, socket, error);
    }
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    for (const socket of this.#open) socket.destroy();
  }

  #answer(handshake: Handshake): void {
    const { request, socket, record, behaviour } = handshake;
    if (behaviour.stallAfter === -1) {
      // Nothing is read or sent any more, but the end of the connection is still seen.
      socket.resume();
      return;
    }
    if (behaviour.cutAfter === -1 || behaviour.resetAfter === -1) return this.#breakOff(handshake);
    if (behaviour.status !== undefined) {
      this.#options.recorder.end(record, "completed");
      const message = `The engine answers ${behaviour.status}, as it was told to.`;
      return refuseUpgrade(request, socket, new RequestError(behaviour.status, "simulated", message));
    }
    if (behaviour.headMs === undefined) return this.#accept(handshake);
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (!socket.destroyed) this.#accept(handshake);
    }, behaviour.headMs);
    this.#timers.add(timer);
  }

  #accept(handshake: Handshake): void {
    const server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: MAX_MESSAGE_BYTES,
      handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
    });
    server.handleUpgrade(handshake.request, handshake.socket, handshake.head, (webSocket) => {
      this.#serve(webSocket, handshake);
    });
  }

  #serve(webSocket: WebSocket, handshake: Handshake): void {
    const { record, behaviour } = handshake;
    webSocket.on("error", () => webSocket.terminate());
    webSocket.on("close", (code) => {
      if (code !== NOT_CLOSED_IN_ORDER) this.#options.recorder.end(record, "completed");
    });
    webSocket.on("message", (data, isBinary) => {
      // With the binary type "nodebuffer", the default, a message is one Buffer.
      const answer = answerTo(data as Buffer, isBinary);
      webSocket.send(answer, { binary: isBinary }, () => webSocket.resume());
      if (webSocket.bufferedAmount > MAX_WAITING_BYTES) webSocket.pause();
      record.tokensSent += 1;
      this.#misbehave(webSocket, handshake);
    });
    if (behaviour.stallAfter === 0) webSocket.pause();
    else this.#misbehave(webSocket, handshake);
  }

  #misbehave(webSocket: WebSocket, handshake: Handshake): void {
    const { record, behaviour } = handshake;
    const sent = record.tokensSent;
    if (behaviour.stallAfter === sent) webSocket.removeAllListeners("message").pause();
    if (behaviour.closeAfter === sent) webSocket.close(behaviour.closeCode ?? 1000, behaviour.closeReason ?? "");
    if (behaviour.cutAfter === sent || behaviour.resetAfter === sent) this.#breakOff(handshake);
  }

  #breakOff({ socket, record, behaviour }: Handshake): void {
    this.#options.recorder.end(record, "cut");
    if (behaviour.resetAfter !== undefined && socket instanceof Socket) socket.resetAndDestroy();
    else socket.destroy();
  }

  #behaviourOf(request: IncomingMessage, record: RecordedRequest): Behaviour {
    const query = new URL(request.url ?? "/", "http://engine").searchParams;
    record.model = query.get("model") ?? undefined;
    const own = query.get("simulate") ?? request.headers["x-simulate"];
    if (typeof own === "string") return parseBehaviourHeader(own);
    const ofModel = record.model === undefined ? undefined : this.#options.behaviours?.[record.model];
    return ofModel ?? this.#options.behaviour ?? {};
  }
}

/** What `ws` reports when there was no close frame. */
const NOT_CLOSED_IN_ORDER = 1006;

/** Answers an upgrade with an ordinary error. */
export function refuseUpgrade(request: IncomingMessage, socket: Duplex, error: RequestError): void {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  // An upgrade's socket is a net.Socket; Node's types say Duplex for its own tests' sake.
  response.assignSocket(socket as Socket);
  response.on("finish", () => socket.end());
  sendError(response, error);
}

function answerTo(data: Buffer, isBinary: boolean): Buffer {
  if (isBinary || !data.includes('"response.create"')) return data;
  const usage = {
    input_tokens: 7,
    output_tokens: 20,
    total_tokens: 27,
    input_token_details: { cached_tokens: 2 },
    output_token_details: {},
  };
  return Buffer.from(JSON.stringify({ type: "response.done", response: { status: "completed", usage } }));
}
