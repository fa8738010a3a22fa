import type { TunnelLimits } from "../limits.ts";
import { CreditWindow, type WindowEnvironment } from "../mux/credit-window.ts";
import { ReceiveHalf, type ReceiveOwner } from "../mux/receive-half.ts";
import { TunnelError, type TunnelErrorCode } from "../tunnel-error.ts";
import type { ResetOptions, ResponseHead, StreamOpening, TunnelStream } from "../tunnel-stream.ts";
import { errorOfWorker } from "./answer-error.ts";
import {
  decodeAnswer,
  REQUEST_BODY,
  REQUEST_BODY_END,
  REQUEST_END,
  requestStart,
  type V1Answer,
} from "./data-frame.ts";
import { LineReader } from "./json-lines.ts";
import { SmuxOutlet } from "./smux-outlet.ts";
import { StreamLife } from "./stream-life.ts";
import type { UploadTurns } from "./upload-turns.ts";

/** What a stream needs of its session. */
export interface HubStreamHost {
  readonly nowMs: number;
  readonly limits: TunnelLimits;
  readonly windows: WindowEnvironment;
  readonly uploads: UploadTurns;
  /** Something of `outlet` may leave. */
  queue(outlet: SmuxOutlet): void;
  /** Closed on the wire. `isRunning`: the worker has the request and did not end it, so it must be told. */
  onStreamClosed(stream: V1HubStream, options: { readonly isRunning: boolean }): void;
  /** Closed, and nothing is left to read. */
  onStreamRead(stream: V1HubStream): void;
}

/** The original's hub reads a missing status so. */
const BAD_GATEWAY = 502;

/**
 * One request to a v1 worker. The body goes out as it comes, in base64 inside the request's one line: our memory holds
 * what waits for the socket, whatever the body's size.
 */
export class V1HubStream implements TunnelStream, ReceiveOwner {
  readonly id: number;
  readonly opening: StreamOpening;
  readonly outlet: SmuxOutlet;
  readonly receive: ReceiveHalf;
  readonly #host: HubStreamHost;
  readonly #life = new StreamLife();
  readonly #lines: LineReader;
  /** Bytes of the body that do not fill a group of three yet. */
  #carry: Buffer = NO_BYTES;
  #bodyBytes = 0;
  #isLarge = false;
  #isEnding = false;
  #isStopped = false;

  /** @throws TunnelError "unsupported" or "too-large": nothing was sent. */
  constructor(host: HubStreamHost, options: { readonly id: number; readonly opening: StreamOpening }) {
    const { id, opening } = options;
    const start = requestStart(opening);
    checkBodyLength(opening.bodyLength ?? 0, host.limits);
    this.#host = host;
    this.id = id;
    this.opening = opening;
    this.#lines = new LineReader(host.limits.v1AnswerLineBytes);
    // Nobody is told of this window's credit: v1 has none.
    this.receive = new ReceiveHalf(this, new CreditWindow(host.windows, host.nowMs));
    this.outlet = new SmuxOutlet({
      id,
      opens: true,
      roomBytes: host.limits.sendQueueBytes,
      onRoom: () => this.#life.onRoom(),
      onEmpty: () => {
        if (this.#isEnding) host.uploads.release(this);
      },
    });
    this.outlet.push(Buffer.from(start));
    this.#waitForTurn(opening.bodyLength ?? 0);
    host.queue(this.outlet);
  }

  get nowMs(): number {
    return this.#host.nowMs;
  }

  get isClosed(): boolean {
    return this.#life.isClosed;
  }

  /** The whole line was handed to the connection: the worker may have begun. */
  get isRequestSent(): boolean {
    return this.#isEnding && this.outlet.queuedBytes === 0;
  }

  /** Memory held for the reader: unread bytes and half a line. */
  get storedBytes(): number {
    return this.receive.heldBytes + this.#lines.heldBytes;
  }

  get head(): Promise<ResponseHead> {
    return this.#life.head;
  }

  get body(): AsyncIterable<Uint8Array> {
    return this.receive;
  }

  /** v1 has none. */
  get trailers(): undefined {
    return undefined;
  }

  get signal(): AbortSignal {
    return this.#life.signal;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  respond(): void {
    throw misuse("only the acceptor of a stream responds");
  }

  write(bytes: Uint8Array): boolean {
    if (this.#life.isClosed) return false;
    if (this.#isEnding) throw misuse("write after end");
    this.#bodyBytes += bytes.byteLength;
    try {
      checkBodyLength(this.#bodyBytes, this.#host.limits);
    } catch (error) {
      // What is thrown here is always a TunnelError.
      this.#end(error as TunnelError);
      return false;
    }
    if (bytes.byteLength === 0) return this.outlet.hasRoom;
    if (this.outlet.queuedBytes > this.#host.limits.maxSendQueueBytes) {
      this.reset("internal", { message: "the writer ignores back-pressure" });
      return false;
    }
    if (this.#bodyBytes === bytes.byteLength) this.outlet.push(Buffer.from(REQUEST_BODY));
    this.#pushBase64(bytes);
    this.#waitForTurn(this.#bodyBytes);
    this.#host.queue(this.outlet);
    return this.outlet.hasRoom;
  }

  drained(): Promise<void> {
    return this.#life.drained(this.outlet.hasRoom);
  }

  /** Trailers are left out: v1 has none. */
  end(): void {
    if (this.#life.isClosed || this.#isEnding) return;
    this.#isEnding = true;
    const body = this.#bodyBytes === 0 ? "" : this.#carry.toString("base64") + REQUEST_BODY_END;
    this.#carry = NO_BYTES;
    this.outlet.push(Buffer.from(body + REQUEST_END));
    this.#host.queue(this.outlet);
  }

  stop(): void {
    this.receive.dropAll();
    this.onReaderGone();
  }

  reset(code: TunnelErrorCode, options?: ResetOptions): void {
    // Read to the end: nothing to do, and an error's stack costs 4 µs.
    if (this.#life.isClosed && this.receive.isReadOut) return;
    const error = new TunnelError(code, { ...options, isLocal: true });
    // Closed on the wire, but not read yet: the reader must not take what it has for all.
    if (this.#life.isClosed) this.receive.fail(error);
    else this.#end(error);
  }

  /** Data of the worker. @throws TunnelError when it breaks a rule. */
  onData(bytes: Buffer): void {
    this.#lines.push(bytes, (line) => this.#onAnswer(decodeAnswer(line)));
  }

  /** The worker closed the stream. Only a line with `eof` makes an answer complete. */
  onPeerClose(): void {
    if (this.#life.isClosed) return;
    this.#fail(new TunnelError("target-reset", { message: "the worker broke off its answer", isLocal: false }), {
      isRunning: false,
    });
  }

  /** The session ended. What the worker cannot have seen in full may be sent elsewhere. */
  onSessionEnd(error: TunnelError): void {
    if (this.#life.isClosed) return;
    const { code, detail: message, isLocal } = error;
    this.#fail(new TunnelError(code, { message, isLocal, retrySafe: !this.isRequestSent }), { isRunning: false });
  }

  onCreditDue(): void {
    // v1 has no credit.
  }

  /** v1 has no way to say "no more": the request is cancelled, as nobody wants the rest. */
  onReaderGone(): void {
    if (this.#life.isClosed) return;
    this.#isStopped = true;
    this.#close({ isRunning: this.isRequestSent });
    this.#life.close();
  }

  onReadOut(): void {
    if (this.#life.isClosed) this.#host.onStreamRead(this);
  }

  #onAnswer(answer: V1Answer): void {
    if (this.#life.isClosed) return;
    if (answer.error !== undefined) {
      const error = errorOfWorker(answer.error, { hasHead: this.#life.responseHead !== undefined });
      this.#fail(error, { isRunning: false });
      return;
    }
    if (this.#life.responseHead === undefined) this.#onHead(answer);
    if (answer.chunk !== undefined) this.#onChunk(answer.chunk);
    if (answer.isEnd && !this.#life.isClosed) this.#onEnd();
  }

  #onHead({ status, headers }: V1Answer): void {
    const isStatus = Number.isInteger(status) && status >= 200 && status <= 599;
    this.#life.onHead({ status: isStatus ? status : BAD_GATEWAY, headers });
  }

  #onChunk(chunk: Buffer): void {
    const { v1StreamStoreBytes } = this.#host.limits;
    this.receive.deliver(chunk);
    // One chunk alone may be larger: old workers send a video in one line.
    if (this.receive.queuedBytes <= Math.max(v1StreamStoreBytes, chunk.length)) return;
    this.reset("slow-consumer", { message: "data waits and nobody reads it" });
  }

  #onEnd(): void {
    // The worker answers in full without the rest of the request: whoever still writes it may stop.
    this.#isStopped = true;
    this.#close({ isRunning: false });
    this.receive.end();
    this.#life.close();
    if (this.receive.queuedBytes === 0) this.#host.onStreamRead(this);
  }

  /** Ends it from our side. A worker that has the request must be told. */
  #end(error: TunnelError): void {
    this.#fail(error, { isRunning: this.isRequestSent });
  }

  #fail(error: TunnelError, options: { readonly isRunning: boolean }): void {
    this.#close(options);
    this.receive.fail(error);
    this.#life.fail(error);
    this.#host.onStreamRead(this);
  }

  #close(options: { readonly isRunning: boolean }): void {
    this.#lines.close();
    this.#carry = NO_BYTES;
    this.#host.uploads.release(this);
    this.#life.isClosed = true;
    this.#host.onStreamClosed(this, options);
  }

  #pushBase64(bytes: Uint8Array): void {
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const all = this.#carry.length === 0 ? view : Buffer.concat([this.#carry, view]);
    const whole = all.length - (all.length % 3);
    this.#carry = Buffer.from(all.subarray(whole));
    this.outlet.push(Buffer.from(all.toString("base64", 0, whole), "latin1"));
  }

  /** Large bodies go to one worker two at a time: it holds each of them in memory several times. */
  #waitForTurn(bodyBytes: number): void {
    if (this.#isLarge || bodyBytes <= this.#host.limits.v1LargeBodyBytes) return;
    this.#isLarge = true;
    this.outlet.isHeld = !this.#host.uploads.take(this, () => {
      this.outlet.isHeld = false;
      this.#host.queue(this.outlet);
    });
  }
}

const NO_BYTES = Buffer.alloc(0);

function checkBodyLength(bytes: number, limits: TunnelLimits): void {
  if (bytes <= limits.v1RequestBodyBytes) return;
  const message = `a worker of protocol v1 takes bodies up to ${limits.v1RequestBodyBytes} bytes`;
  throw new TunnelError("too-large", { message });
}

function misuse(message: string): TunnelError {
  return new TunnelError("internal", { message });
}
