import type { TunnelLimits } from "../limits.ts";
import { TunnelError, type TunnelErrorCode, type TunnelErrorOptions } from "../tunnel-error.ts";
import type { ResetOptions, ResponseHead, StreamOpening, TunnelStream } from "../tunnel-stream.ts";
import { encodeStop } from "../wire/control-frame.ts";
import { FRAME } from "../wire/frame.ts";
import { encodeOpening, encodeResponseHead, encodeTrailers } from "../wire/head-codec.ts";
import { CreditWindow, type WindowEnvironment } from "./credit-window.ts";
import { ReceiveHalf, type ReceiveOwner } from "./receive-half.ts";
import { SendHalf, type SendOwner } from "./send-half.ts";
import type { CreditSource } from "./send-scheduler.ts";

/** What a stream needs of its session. */
export interface StreamHost extends WindowEnvironment {
  readonly nowMs: number;
  readonly limits: TunnelLimits;
  /** The first credit that the peer gives to each stream. */
  readonly peerWindowBytes: number;
  queueStream(half: SendHalf): void;
  queueCredit(source: CreditSource): void;
  queueUrgent(frame: Buffer): void;
  /** The stream was ended by us: tell the peer. */
  sendReset(stream: MuxStream, code: TunnelErrorCode, options: ResetOptions | undefined): void;
  /** Both directions ended, or it was reset. */
  onStreamClosed(stream: MuxStream): void;
  /** Closed, and nothing is left to read. */
  onStreamRead(stream: MuxStream): void;
}

interface HeadWaiter {
  readonly promise: Promise<ResponseHead>;
  resolve(head: ResponseHead): void;
  reject(error: TunnelError): void;
}

interface RoomWaiter {
  readonly promise: Promise<void>;
  resolve(): void;
  reject(error: TunnelError): void;
}

/** One stream of a session, at either end: joins the halves and keeps the rules of its life. Frames come from the mux. */
export class MuxStream implements TunnelStream, ReceiveOwner, SendOwner, CreditSource {
  readonly id: number;
  readonly opening: StreamOpening;
  readonly isOpener: boolean;
  readonly send: SendHalf;
  readonly receive: ReceiveHalf;
  /** OPEN was handed to the carrier, or came from the peer: the peer may know of the request. */
  isKnownToPeer: boolean;
  hasPeerEnded = false;
  interimHeads = 0;
  /** Empty DATA frames since `emptySinceMs`. */
  emptyFrames = 0;
  emptySinceMs = 0;
  /** Since when data waits for the peer's credit; 0 when none does. */
  blockedSinceMs = 0;
  readonly #host: StreamHost;
  #responseHead: ResponseHead | undefined;
  #headWaiter: HeadWaiter | undefined;
  #roomWaiter: RoomWaiter | undefined;
  #trailers: Readonly<Record<string, unknown>> | undefined;
  #error: TunnelError | undefined;
  #abort: AbortController | undefined;
  #isClosed = false;
  #isEnding = false;
  #isStopped = false;
  #isCreditQueued = false;

  constructor(host: StreamHost, options: { id: number; opening: StreamOpening; isOpener: boolean }) {
    this.#host = host;
    this.id = options.id;
    this.opening = options.opening;
    this.isOpener = options.isOpener;
    this.isKnownToPeer = !options.isOpener;
    this.send = new SendHalf(this, {
      id: options.id,
      isBulk: options.opening.priority === "bulk",
      maxOffset: host.peerWindowBytes,
      limits: host.limits,
    });
    this.receive = new ReceiveHalf(this, new CreditWindow(host, host.nowMs));
    if (options.isOpener) {
      this.send.setHead(FRAME.open, encodeOpening(options.opening));
      host.queueStream(this.send);
    }
  }

  get nowMs(): number {
    return this.#host.nowMs;
  }

  get error(): TunnelError | undefined {
    return this.#error;
  }

  /** Both directions ended, or it was reset. The reader may still have bytes to read. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  get hasResponse(): boolean {
    return this.#responseHead !== undefined;
  }

  /** An answer of this kind has no body (RFC 9110 §6.4.1). */
  get isBodyless(): boolean {
    const status = this.#responseHead?.status;
    return this.opening.method === "HEAD" || status === 204 || status === 304;
  }

  get trailers(): Readonly<Record<string, unknown>> | undefined {
    return this.#trailers;
  }

  get body(): AsyncIterable<Uint8Array> {
    return this.receive;
  }

  get head(): Promise<ResponseHead> {
    if (this.#headWaiter === undefined) {
      this.#headWaiter = Promise.withResolvers<ResponseHead>();
      // A head that nobody awaits must not end the process.
      this.#headWaiter.promise.catch(ignore);
      if (this.#responseHead !== undefined) this.#headWaiter.resolve(this.#responseHead);
      else if (this.#error !== undefined) this.#headWaiter.reject(this.#error);
    }
    return this.#headWaiter.promise;
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#error !== undefined) this.#abort.abort(this.#error);
    }
    return this.#abort.signal;
  }

  respond(head: ResponseHead): void {
    if (this.isOpener) throw misuse("only the acceptor of a stream responds");
    if (this.#isClosed) return;
    if (this.#responseHead !== undefined) throw misuse("a stream has one response head");
    if (!isFinalStatus(head.status, this.opening)) throw misuse("interim heads are not sent");
    const json = encodeResponseHead(head);
    this.#responseHead = head;
    this.#headWaiter?.resolve(head);
    this.send.setHead(FRAME.head, json);
    if (this.#isStopped) this.send.end(undefined);
    this.#host.queueStream(this.send);
  }

  write(bytes: Uint8Array): boolean {
    if (this.#isClosed || this.#error !== undefined) return false;
    if (this.#isStopped) return true;
    this.#checkMayWrite();
    if (bytes.byteLength === 0) return this.send.hasRoom;
    if (!this.isOpener && this.isBodyless) throw misuse("this answer has no body");
    this.send.push(bytes);
    if (this.send.isOverfull && this.send.queuedBytes > bytes.byteLength) {
      this.reset("internal", { message: "the writer ignores back-pressure" });
      return false;
    }
    if (this.send.isBlocked) this.onBlocked();
    else this.#host.queueStream(this.send);
    return this.send.hasRoom;
  }

  drained(): Promise<void> {
    if (this.#error !== undefined) return rejectedQuietly(this.#error);
    if (this.send.hasRoom || this.#isStopped || this.#isClosed) return Promise.resolve();
    if (this.#roomWaiter === undefined) {
      this.#roomWaiter = Promise.withResolvers<void>();
      this.#roomWaiter.promise.catch(ignore);
    }
    return this.#roomWaiter.promise;
  }

  end(trailers?: Readonly<Record<string, unknown>>): void {
    if (this.#isClosed || this.#isEnding) return;
    this.#checkMayWrite();
    const json = trailers === undefined ? undefined : encodeTrailers(trailers);
    this.#isEnding = true;
    if (this.send.isEndSent) return;
    this.send.end(json);
    this.#host.queueStream(this.send);
  }

  stop(code: TunnelErrorCode): void {
    const isNeeded = !this.#isClosed && !this.hasPeerEnded && !this.receive.isDropped;
    this.receive.dropAll();
    if (isNeeded) this.#sendStop(code);
  }

  reset(code: TunnelErrorCode, options?: ResetOptions & Pick<TunnelErrorOptions, "isPeersFault">): void {
    if (this.#isClosed) {
      // Read to the end: the usual case, as programs reset when their client goes. An error's stack costs 4 µs.
      if (this.receive.isReadOut) return;
      // Closed on the wire, but not read yet: the reader must not take what it has for all.
      this.receive.fail(new TunnelError(code, options));
      return;
    }
    this.#host.sendReset(this, code, options);
    this.fail(new TunnelError(code, { ...options, isLocal: true }), { keepsCompleteBody: false });
  }

  /** Ends the stream on this side only. The mux tells the peer where that is due. */
  fail(error: TunnelError, options: { readonly keepsCompleteBody: boolean }): void {
    if (this.#isClosed) return;
    this.#error = error;
    this.#isClosed = true;
    this.send.close();
    this.#headWaiter?.reject(error);
    this.#roomWaiter?.reject(error);
    this.#host.onStreamClosed(this);
    if (!(options.keepsCompleteBody && this.receive.isEnded)) this.receive.fail(error);
    this.#abort?.abort(error);
  }

  /** A HEAD came. */
  onHead(head: ResponseHead): void {
    this.#responseHead = head;
    this.#headWaiter?.resolve(head);
  }

  /** The peer's direction is complete. */
  onEnd(trailers: Readonly<Record<string, unknown>> | undefined): void {
    this.hasPeerEnded = true;
    this.#trailers = trailers;
    this.receive.end();
    this.#closeWhenDone();
  }

  /** The peer does not want more. What it wanted so far may be cut: it knows. */
  onStop(): void {
    if (this.#isStopped || this.#isClosed) return;
    this.#isStopped = true;
    this.blockedSinceMs = 0;
    this.send.dropData();
    this.#roomWaiter?.resolve();
    this.#roomWaiter = undefined;
    if (this.send.isEndSent || (!this.isOpener && this.#responseHead === undefined)) return;
    if (!this.#isEnding) this.send.end(undefined);
    this.#host.queueStream(this.send);
  }

  /** A CREDIT came. */
  onCredit(maxOffset: number): void {
    if (!this.send.raise(maxOffset)) return;
    this.blockedSinceMs = 0;
    this.#host.queueStream(this.send);
  }

  onHeadSent(): void {
    this.isKnownToPeer = true;
  }

  onRoom(): void {
    this.#roomWaiter?.resolve();
    this.#roomWaiter = undefined;
  }

  onEndSent(): void {
    this.onRoom();
    this.#closeWhenDone();
  }

  /** Remembers since when the peer lets us wait. */
  onBlocked(): void {
    if (this.blockedSinceMs === 0) this.blockedSinceMs = this.#host.nowMs;
  }

  onCreditDue(): void {
    if (this.#isCreditQueued || this.#isClosed) return;
    this.#isCreditQueued = true;
    this.#host.queueCredit(this);
  }

  takeCreditOffset(): number | undefined {
    this.#isCreditQueued = false;
    return this.#isClosed || this.hasPeerEnded ? undefined : this.receive.window.grantedOffset;
  }

  onReaderGone(): void {
    if (!this.#isClosed) this.#sendStop("cancelled");
  }

  onReadOut(): void {
    if (this.#isClosed) this.#host.onStreamRead(this);
  }

  #sendStop(code: TunnelErrorCode): void {
    const frame = encodeStop(this.id, code);
    if (this.isKnownToPeer) {
      this.#host.queueUrgent(frame);
      return;
    }
    this.send.addFrame(frame);
    this.#host.queueStream(this.send);
  }

  #checkMayWrite(): void {
    if (this.#isEnding && !this.#isStopped) throw misuse("write after end");
    if (!this.isOpener && this.#responseHead === undefined && !this.#isStopped) throw misuse("write before respond");
  }

  #closeWhenDone(): void {
    if (this.#isClosed || !this.send.isEndSent) return;
    // After STOP the peer's rest is dropped, but its END or RESET still has to come.
    if (!this.hasPeerEnded) return;
    this.#isClosed = true;
    this.#host.onStreamClosed(this);
  }
}

/** 101 ends a WebSocket handshake, and nothing else (RFC 9110 §15.2.2). */
export function isFinalStatus(status: number, opening: StreamOpening): boolean {
  return status >= 200 || (status === SWITCHING_PROTOCOLS && opening.kind === "ws");
}

export const SWITCHING_PROTOCOLS = 101;

function misuse(message: string): TunnelError {
  return new TunnelError("internal", { message });
}

function rejectedQuietly(error: TunnelError): Promise<never> {
  const promise = Promise.reject(error);
  promise.catch(ignore);
  return promise;
}

function ignore(): void {
  // The stream's own state tells the same.
}
