import type { WebSocket } from "ws";

import { TunnelError, type TunnelErrorCode } from "../tunnel-error.ts";
import type { TunnelStream } from "../tunnel-stream.ts";
import {
  closeReason,
  encodeClose,
  encodeMessage,
  type MessageRecord,
  RecordReader,
  WEBSOCKET_LIMITS,
  type WebSocketClose,
} from "./message-record.ts";

/**
 * What a `ws` server or client that is bridged must be made with. No deflate: it would hold a window of memory for each
 * socket, and a small message may unpack to a large one.
 */
export const BRIDGED_WEBSOCKET_OPTIONS = {
  perMessageDeflate: false,
  maxPayload: WEBSOCKET_LIMITS.maxMessageBytes,
  maxFragments: WEBSOCKET_LIMITS.maxFragments,
  maxBufferedChunks: WEBSOCKET_LIMITS.maxBufferedChunks,
  // The bridge answers, and only while the socket takes bytes.
  autoPong: false,
  closeTimeout: WEBSOCKET_LIMITS.closeGraceMs,
} as const;

/** One message that passes. `data` must not be changed or kept. */
export interface PassingMessage {
  readonly data: Uint8Array;
  readonly isText: boolean;
  /** It came from the socket; else from the stream. */
  readonly isFromSocket: boolean;
}

export interface BridgeOptions {
  /** With what the stream is reset when the socket is gone without a close frame. */
  readonly lostCode: TunnelErrorCode;
  /** How the socket is closed when the stream ended early. Absent: it is cut off at once. */
  closeFor?(error: TunnelError): WebSocketClose;
  onMessage?(message: PassingMessage): void;
  /**
   * What the socket gets instead of a message of the stream. A throw ends both as a failure of the stream does.
   *
   * @throws TunnelError
   */
  revise?(message: PassingMessage): Uint8Array;
  /** The socket's peer sent a ping. */
  onPing?(): void;
  /**
   * How many bytes of messages the bridge holds now: those that wait for the stream or the socket, and a message of the
   * stream that is not whole yet. Not what `ws` holds of a message of the socket: nobody is told that.
   */
  onHeld?(bytes: number): void;
  /** The socket is not read until the stream has taken what it sent. */
  onPaused?(): void;
}

/** How it ended. `lost`: the socket, without a close frame. `failed`: the stream. */
export type BridgeEnd =
  | { readonly is: "closed"; readonly by: "socket" | "stream"; readonly close: WebSocketClose }
  | { readonly is: "lost" }
  | { readonly is: "failed"; readonly error: TunnelError };

/**
 * Joins an open WebSocket and a stream of kind "ws" after its 101: messages and closes pass both ways, each as fast as the
 * other side takes them; pings are answered here. Takes over both. A paused socket is resumed, so none of its messages
 * is missed.
 *
 * Resolves when the socket is closed and the stream is over; never rejects.
 */
export function bridgeWebSocket(socket: WebSocket, stream: TunnelStream, options: BridgeOptions): Promise<BridgeEnd> {
  return new WebSocketBridge(socket, stream, options).run();
}

class WebSocketBridge {
  readonly #socket: WebSocket;
  readonly #stream: TunnelStream;
  readonly #options: BridgeOptions;
  readonly #socketClosed = Promise.withResolvers<void>();
  #end: BridgeEnd | undefined;
  #grace: NodeJS.Timeout | undefined;
  #wakeSender: (() => void) | undefined;
  readonly #reader = new RecordReader();
  /** Of the message that waits for the stream. */
  #waitingBytes = 0;

  constructor(socket: WebSocket, stream: TunnelStream, options: BridgeOptions) {
    this.#socket = socket;
    this.#stream = stream;
    this.#options = options;
  }

  async run(): Promise<BridgeEnd> {
    const socket = this.#socket;
    // With the binary type "nodebuffer", the default, a message is one Buffer.
    socket.on("message", (data, isBinary) => this.#onMessage(data as Buffer, !isBinary));
    socket.on("ping", (data) => this.#onPing(data));
    socket.on("error", (error) => this.#onError(error));
    socket.on("close", (code, reason) => this.#onClose(code, reason.toString()));
    const { signal } = this.#stream;
    const onAbort = (): void => this.#fail(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    socket.resume();
    await this.#deliver();
    await this.#socketClosed.promise;
    clearTimeout(this.#grace);
    signal.removeEventListener("abort", onAbort);
    // Whoever lets the socket close has said why.
    return this.#end ?? { is: "lost" };
  }

  /** From the stream to the socket, until the stream is over. */
  async #deliver(): Promise<void> {
    try {
      for await (const chunk of this.#stream.body) {
        for (const record of this.#reader.push(chunk)) this.#onRecord(record);
        this.#tellHeld();
        if (this.#socket.bufferedAmount > WEBSOCKET_LIMITS.socketBytes) await this.#room();
      }
      if (this.#end === undefined) throw new TunnelError("protocol", { message: "the messages end without a close" });
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  #onRecord(record: MessageRecord): void {
    // The socket is closed or closing already: what still comes is for nobody.
    if (this.#end !== undefined) return;
    if (record.is === "close") {
      this.#end = { is: "closed", by: "stream", close: record.close };
      this.#closeSocket(record.close);
      return;
    }
    const { isText } = record;
    const message = { data: record.data, isText, isFromSocket: false };
    this.#options.onMessage?.(message);
    const data = this.#options.revise?.(message) ?? message.data;
    this.#socket.send(data, { binary: !isText, compress: false }, () => this.#onSent());
  }

  #room(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wakeSender = resolve;
    return this.#socket.readyState === this.#socket.CLOSED ? Promise.resolve() : promise;
  }

  #onSent(): void {
    this.#tellHeld();
    if (this.#socket.bufferedAmount <= WEBSOCKET_LIMITS.socketBytes) this.#wakeSender?.();
  }

  #onMessage(data: Buffer, isText: boolean): void {
    if (this.#end !== undefined) return;
    this.#options.onMessage?.({ data, isText, isFromSocket: true });
    if (this.#stream.write(encodeMessage(data, isText))) return;
    this.#socket.pause();
    this.#waitingBytes += data.length;
    this.#tellHeld();
    this.#options.onPaused?.();
    // A stream that ends meanwhile closes the socket through its signal.
    this.#stream.drained().then(() => this.#onDrained(), ignore);
  }

  #onDrained(): void {
    this.#waitingBytes = 0;
    this.#tellHeld();
    this.#socket.resume();
  }

  #tellHeld(): void {
    this.#options.onHeld?.(this.#reader.heldBytes + this.#socket.bufferedAmount + this.#waitingBytes);
  }

  #onPing(data: Buffer): void {
    this.#options.onPing?.();
    if (this.#socket.bufferedAmount < WEBSOCKET_LIMITS.pongBacklogBytes) this.#socket.pong(data);
  }

  /** The peer broke the rules of WebSockets. `ws` has sent it the close frame for that. */
  #onError(error: Error): void {
    if (this.#end !== undefined) return;
    this.#end = { is: "lost" };
    const isTooLarge = "code" in error && error.code === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH";
    this.#stream.reset(isTooLarge ? "too-large" : this.#options.lostCode, { message: closeReason(error.message) });
    this.#cutOffLater();
  }

  #onClose(code: number, reason: string): void {
    if (this.#end === undefined && code === NOT_CLOSED_IN_ORDER) {
      this.#end = { is: "lost" };
      this.#stream.reset(this.#options.lostCode, { message: "the WebSocket was lost" });
    } else if (this.#end === undefined) {
      const close = { code: code === NO_CODE ? undefined : code, reason };
      this.#end = { is: "closed", by: "socket", close };
      this.#endStream(close);
    } else if (this.#end.is === "closed") this.#endStream(this.#end.close);
    this.#socketClosed.resolve();
    this.#wakeSender?.();
  }

  #endStream(close: WebSocketClose): void {
    clearTimeout(this.#grace);
    if (this.#stream.signal.aborted) return;
    this.#stream.write(encodeClose(close));
    this.#stream.end();
    // The other end closes its socket and ends, too. It does not hold this one up for ever.
    this.#grace = setTimeout(() => this.#stream.reset("cancelled"), WEBSOCKET_LIMITS.endGraceMs).unref();
  }

  /** The stream ended early, or breaks the rules. */
  #fail(thrown: unknown): void {
    const error = thrown instanceof TunnelError ? thrown : new TunnelError("internal", { message: String(thrown) });
    // Behind a close, too: nobody reads on, and a peer that never ends would keep its stream for ever.
    this.#stream.reset(error.code, { message: closeReason(error.detail) });
    if (this.#end !== undefined) return;
    this.#end = { is: "failed", error };
    const close = this.#options.closeFor?.(error);
    if (close === undefined) this.#socket.terminate();
    else this.#closeSocket(close);
  }

  #closeSocket({ code, reason }: WebSocketClose): void {
    // A paused socket would not see the answer.
    this.#socket.resume();
    if (code === undefined) this.#socket.close();
    else this.#socket.close(code, closeReason(reason));
    this.#cutOffLater();
  }

  #cutOffLater(): void {
    clearTimeout(this.#grace);
    this.#grace = setTimeout(() => this.#socket.terminate(), WEBSOCKET_LIMITS.closeGraceMs).unref();
  }
}

/** What `ws` reports when there was no close frame, and when it had no code (RFC 6455 §7.1.5). */
const NOT_CLOSED_IN_ORDER = 1006;
const NO_CODE = 1005;

function ignore(): void {
  // The stream's signal tells the same.
}
