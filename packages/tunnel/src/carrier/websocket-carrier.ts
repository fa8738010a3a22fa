import type { WebSocket } from "ws";

import { WIRE_LIMITS } from "../limits.ts";
import type { MuxCarrier } from "../mux/mux-carrier.ts";
import { TunnelError, type TunnelErrorCode } from "../tunnel-error.ts";

/** Name of this version of the protocol in `Sec-WebSocket-Protocol`. */
export const SUBPROTOCOL = "tokilake.v2";
/** Name of the original's protocol. */
export const V1_SUBPROTOCOL = "tokilake.v1";

/** A peer that does not answer our close frame is cut off after this. */
const CLOSE_GRACE_MS = 2000;

/** Options of `ws` for either end. No deflate: secrets of many users would share one compression window. */
export const WEBSOCKET_OPTIONS = {
  perMessageDeflate: false,
  maxPayload: WIRE_LIMITS.maxReceiveMessageBytes,
  maxFragments: WIRE_LIMITS.maxFragments,
  maxBufferedChunks: WIRE_LIMITS.maxBufferedChunks,
  // Answered below, and only while the socket takes bytes.
  autoPong: false,
  skipUTF8Validation: true,
  closeTimeout: CLOSE_GRACE_MS,
} as const;

const SEND_OPTIONS = { binary: true, compress: false } as const;
const MAX_PONG_BACKLOG_BYTES = 16 * 1024;

export interface WebSocketEvents {
  onMessage(message: Buffer): void;
  /** A text message came. Default: the connection is closed, as version 2 asks. */
  onText?(): void;
  /** Nothing gets through any more, though the connection may still be closing. Perhaps more than once. */
  onClose(error: TunnelError): void;
}

/** One session's WebSocket, already open. Owns it: whoever is done calls `finish` or `destroy`. */
export class WebSocketCarrier implements MuxCarrier {
  readonly #socket: WebSocket;
  readonly #tellClosed: (message: string) => void;

  constructor(socket: WebSocket, events: WebSocketEvents) {
    this.#socket = socket;
    this.#tellClosed = (message) => events.onClose(new TunnelError("worker-lost", { message, isLocal: false }));
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
      // `ws` says goodbye to a peer that breaks its rules, and waits for it to go. Nothing more is for that peer.
      this.#tellClosed(failure);
    });
    socket.on("close", (code) => this.#tellClosed(`${failure} (${code})`));
  }

  send(message: Buffer, onSent: () => void): void {
    // Of a close frame nobody is told until its sender is gone, too. Not at once: whoever sends is in the middle of it.
    if (this.#isClosing) process.nextTick(() => this.#tellClosed("the peer is closing the connection"));
    this.#socket.send(message, SEND_OPTIONS, onSent);
  }

  finish(error: TunnelError): void {
    this.#socket.close(CLOSE_CODES[error.code] ?? 1001, error.code);
  }

  /** A connection that is closing is left to it: the peer should read why, and has two seconds. */
  destroy(): void {
    if (!this.#isClosing) this.#socket.terminate();
  }

  get #isClosing(): boolean {
    return this.#socket.readyState === this.#socket.CLOSING;
  }

  #refuseText(): void {
    this.#socket.close(1003, "binary only");
    this.#tellClosed("a text message");
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
