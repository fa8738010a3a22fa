import type { WebSocket } from "ws";

import { WIRE_LIMITS } from "../limits.ts";
import type { MuxCarrier } from "../mux/mux-carrier.ts";
import { TunnelError, type TunnelErrorCode } from "../tunnel-error.ts";

/** Name of this version of the protocol in `Sec-WebSocket-Protocol`. */
export const SUBPROTOCOL = "tokilake.v2";
/** Name of the original's protocol. */
export const V1_SUBPROTOCOL = "tokilake.v1";

/** Options of `ws` for either end. No deflate: secrets of many users would share one compression window. */
export const WEBSOCKET_OPTIONS = {
  perMessageDeflate: false,
  maxPayload: WIRE_LIMITS.maxReceiveMessageBytes,
  maxFragments: WIRE_LIMITS.maxFragments,
  maxBufferedChunks: WIRE_LIMITS.maxBufferedChunks,
  // Answered below, and only while the socket takes bytes.
  autoPong: false,
  skipUTF8Validation: true,
} as const;

const SEND_OPTIONS = { binary: true, compress: false } as const;
/** A peer that does not answer our close frame is cut off after this. */
const CLOSE_GRACE_MS = 2000;
const MAX_PONG_BACKLOG_BYTES = 16 * 1024;

export interface WebSocketEvents {
  onMessage(message: Buffer): void;
  /** A text message came. Default: the connection is closed, as version 2 asks. */
  onText?(): void;
  onClose(error: TunnelError): void;
}

/** One session's WebSocket, already open. Owns it: whoever is done calls `finish` or `destroy`. */
export class WebSocketCarrier implements MuxCarrier {
  readonly #socket: WebSocket;

  constructor(socket: WebSocket, events: WebSocketEvents) {
    this.#socket = socket;
    socket.on("message", (data, isBinary) => {
      // With the binary type "nodebuffer", the default, a message is one Buffer.
      if (isBinary) events.onMessage(data as Buffer);
      else if (events.onText === undefined) this.#refuseText();
      else events.onText();
    });
    socket.on("ping", (data) => {
      if (socket.bufferedAmount < MAX_PONG_BACKLOG_BYTES) socket.pong(data);
    });
    let failure = "the connection closed";
    socket.on("error", (error) => {
      failure = error.message;
    });
    socket.on("close", (code) => {
      events.onClose(new TunnelError("worker-lost", { message: `${failure} (${code})`, isLocal: false }));
    });
  }

  send(message: Buffer, onSent: () => void): void {
    this.#socket.send(message, SEND_OPTIONS, onSent);
  }

  finish(error: TunnelError): void {
    this.#socket.close(CLOSE_CODES[error.code] ?? 1001, error.code);
    setTimeout(() => this.#socket.terminate(), CLOSE_GRACE_MS).unref();
  }

  destroy(): void {
    this.#socket.terminate();
  }

  #refuseText(): void {
    this.#socket.close(1003, "binary only");
    setTimeout(() => this.#socket.terminate(), CLOSE_GRACE_MS).unref();
  }
}

/** RFC 6455 §7.4.1, where it is not 1001, "going away". The GOAWAY before it says more. */
const CLOSE_CODES: { readonly [code in TunnelErrorCode]?: number } = {
  "no-error": 1000,
  protocol: 1002,
  unsupported: 1002,
  "flow-control": 1002,
  auth: 1008,
  revoked: 1008,
  forbidden: 1008,
  refused: 1008,
  abuse: 1008,
  internal: 1011,
};
