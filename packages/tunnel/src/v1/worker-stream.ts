import type { TunnelLimits } from "../limits.ts";
import { CreditWindow, type WindowEnvironment } from "../mux/credit-window.ts";
import { ReceiveHalf, type ReceiveOwner } from "../mux/receive-half.ts";
import { TunnelError, type TunnelErrorCode } from "../tunnel-error.ts";
import type { ResetOptions, ResponseHead, StreamOpening, TunnelStream } from "../tunnel-stream.ts";
import { workerErrorCode } from "./answer-error.ts";
import {
  encodeAnswerChunk,
  encodeAnswerEnd,
  encodeAnswerError,
  encodeAnswerHead,
  type V1Request,
} from "./data-frame.ts";
import type { SmuxOutlet } from "./smux-outlet.ts";
import { StreamLife } from "./stream-life.ts";

/** What a stream needs of its session. */
export interface WorkerStreamHost {
  readonly nowMs: number;
  readonly limits: TunnelLimits;
  readonly windows: WindowEnvironment;
  queue(outlet: SmuxOutlet): void;
  /** All of it was handed to the connection. */
  onStreamClosed(stream: V1WorkerStream): void;
}

/** Raw bytes of one line of an answer, as the original reads and sends. */
const CHUNK_BYTES = 32_768;
/** Raw bytes of a request that the reader gets at a time: a filter in between need not hold all of it twice. */
const BODY_PIECE_BYTES = 256 * 1024;

/** One request of a v1 hub, which came whole in one line. */
export class V1WorkerStream implements TunnelStream, ReceiveOwner {
  readonly opening: StreamOpening;
  readonly outlet: SmuxOutlet;
  readonly #receive: ReceiveHalf;
  readonly #host: WorkerStreamHost;
  readonly #life = new StreamLife();
  #isEnding = false;

  constructor(host: WorkerStreamHost, options: { readonly outlet: SmuxOutlet; readonly request: V1Request }) {
    const { requestId, method, path, query, headers, body, model } = options.request;
    this.#host = host;
    this.outlet = options.outlet;
    this.opening = {
      requestId,
      // v1 names no target: whoever serves the stream knows who has the model.
      target: "",
      method,
      path,
      query,
      headers,
      bodyLength: body?.length ?? 0,
      ...(model !== "" && { model }),
      priority: "interactive",
    };
    this.#receive = new ReceiveHalf(this, new CreditWindow(host.windows, host.nowMs));
    for (let at = 0; body !== undefined && at < body.length; at += BODY_PIECE_BYTES) {
      this.#receive.deliver(body.subarray(at, at + BODY_PIECE_BYTES));
    }
    this.#receive.end();
  }

  get id(): number {
    return this.outlet.id;
  }

  get nowMs(): number {
    return this.#host.nowMs;
  }

  /** Memory of the request that was not read yet. */
  get storedBytes(): number {
    return this.#receive.queuedBytes;
  }

  get head(): Promise<ResponseHead> {
    return this.#life.head;
  }

  get body(): AsyncIterable<Uint8Array> {
    return this.#receive;
  }

  get trailers(): undefined {
    return undefined;
  }

  get signal(): AbortSignal {
    return this.#life.signal;
  }

  /** A v1 hub that does not want more cancels. */
  get isStopped(): boolean {
    return false;
  }

  respond(head: ResponseHead): void {
    if (this.#life.isClosed) return;
    if (this.#life.responseHead !== undefined) throw misuse("a stream has one response head");
    if (head.status < 200) throw misuse("interim heads are not sent");
    this.#life.onHead(head);
    this.#send(encodeAnswerHead(this.opening.requestId, head));
  }

  write(bytes: Uint8Array): boolean {
    if (this.#life.isClosed) return false;
    if (this.#isEnding) throw misuse("write after end");
    if (this.#life.responseHead === undefined) throw misuse("write before respond");
    if (this.outlet.queuedBytes > this.#host.limits.maxSendQueueBytes) {
      this.reset("internal", { message: "the writer ignores back-pressure" });
      return false;
    }
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at < view.length; at += CHUNK_BYTES) {
      this.outlet.push(encodeAnswerChunk(this.opening.requestId, view.subarray(at, at + CHUNK_BYTES)));
    }
    this.#host.queue(this.outlet);
    return this.outlet.hasRoom;
  }

  drained(): Promise<void> {
    return this.#life.drained(this.outlet.hasRoom);
  }

  /** Trailers are left out: v1 has none. */
  end(): void {
    if (this.#life.isClosed || this.#isEnding) return;
    if (this.#life.responseHead === undefined) throw misuse("end before respond");
    this.#isEnding = true;
    this.outlet.push(encodeAnswerEnd(this.opening.requestId));
    this.outlet.close();
    this.#host.queue(this.outlet);
  }

  /** The request is here already: what was not read is dropped. */
  stop(): void {
    this.#receive.dropAll();
  }

  reset(code: TunnelErrorCode, options?: ResetOptions): void {
    if (this.#life.isClosed) return;
    // What is not sent yet is no answer any more; without its last line what was sent is none either.
    if (this.#isEnding) this.outlet.abandon();
    else this.outlet.push(this.#errorLine(code, options?.message));
    this.#fail(new TunnelError(code, { ...options, isLocal: true }));
  }

  /** Ends it here: the hub does not want to hear of it, or cannot. */
  drop(error: TunnelError): void {
    if (this.#life.isClosed) return;
    this.outlet.abandon();
    this.#fail(error);
  }

  /** There is room again in the outlet. */
  onRoom(): void {
    this.#life.onRoom();
  }

  /** The stream's FIN left. */
  onSent(): void {
    if (!this.#life.isClosed) this.#life.close();
    this.#host.onStreamClosed(this);
  }

  onCreditDue(): void {
    // v1 has no credit.
  }

  onReaderGone(): void {
    // The request is here already.
  }

  onReadOut(): void {
    // Its memory is the reader's now.
  }

  #send(line: Buffer): void {
    this.outlet.push(line);
    this.#host.queue(this.outlet);
  }

  #errorLine(code: TunnelErrorCode, message: string | undefined): Buffer {
    const hasHead = this.#life.responseHead !== undefined;
    // What went wrong inside this program is not the peer's business.
    const text = code === "internal" ? code : (message ?? code);
    return encodeAnswerError(this.opening.requestId, workerErrorCode(code, { hasHead }), text);
  }

  #fail(error: TunnelError): void {
    this.#life.isClosed = true;
    this.outlet.close();
    this.#host.queue(this.outlet);
    this.#receive.fail(error);
    this.#life.fail(error);
  }
}

function misuse(message: string): TunnelError {
  return new TunnelError("internal", { message });
}
