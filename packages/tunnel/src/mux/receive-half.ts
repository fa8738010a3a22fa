import type { TunnelError } from "../tunnel-error.ts";
import type { CreditWindow } from "./credit-window.ts";

/** A queued view smaller than this part of its memory is copied out, so that it does not keep the rest alive. */
const PINNING_SHARE = 4;
const FIRST_TAIL_BYTES = 1024;
const LARGEST_TAIL_BYTES = 16 * 1024;
const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };

/** What the receiving half tells its stream. */
export interface ReceiveOwner {
  readonly nowMs: number;
  /** Send a CREDIT with `window.grantedOffset`. */
  onCreditDue(): void;
  /** The reader left before the end. */
  onReaderGone(): void;
  /** Nothing is left to read, in whatever way. */
  onReadOut(): void;
}

interface Waiter {
  resolve(result: IteratorResult<Uint8Array, undefined>): void;
  reject(error: TunnelError): void;
}

/**
 * The bytes that came in on one stream, and the iterator that hands them out. Written by hand: an async generator
 * cannot be ended while its `next()` is pending, and a web stream costs several times more per chunk.
 */
export class ReceiveHalf implements AsyncIterableIterator<Uint8Array, undefined> {
  readonly window: CreditWindow;
  /** When data began to wait for the reader, or the reader last took some. */
  waitingSinceMs = 0;
  readonly #owner: ReceiveOwner;
  #queue: Uint8Array[] | undefined;
  #queueAt = 0;
  /** Memory that small chunks are gathered in, always behind `#queue`. */
  #tail: Buffer | undefined;
  #tailUsed = 0;
  #queuedBytes = 0;
  #heldBytes = 0;
  /** Bytes that the reader has and did not finish. */
  #lentBytes = 0;
  #waiter: Waiter | undefined;
  #state: "open" | "ended" | "dropped" = "open";
  #error: TunnelError | undefined;

  constructor(owner: ReceiveOwner, window: CreditWindow) {
    this.#owner = owner;
    this.window = window;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Memory that the queue keeps alive. */
  get heldBytes(): number {
    return this.#heldBytes + (this.#tail?.length ?? 0);
  }

  /** The peer ended its direction. */
  get isEnded(): boolean {
    return this.#state === "ended";
  }

  /** Nothing is left that could still fail: dropped, or ended and read. */
  get isReadOut(): boolean {
    return this.#state === "dropped" || (this.#state === "ended" && this.#queuedBytes === 0);
  }

  /** Bytes that come now are thrown away. */
  get isDropped(): boolean {
    return this.#state === "dropped";
  }

  /** Takes a view into a carrier message. Credit was checked. */
  deliver(bytes: Buffer): void {
    if (this.#state !== "open") return;
    const waiter = this.#waiter;
    if (waiter !== undefined) {
      this.#waiter = undefined;
      this.#lentBytes = bytes.length;
      waiter.resolve({ done: false, value: bytes });
      return;
    }
    if (this.#queuedBytes === 0) this.waitingSinceMs = this.#owner.nowMs;
    this.#queuedBytes += bytes.length;
    if (bytes.length * PINNING_SHARE < bytes.buffer.byteLength) this.#gather(bytes);
    else this.#enqueue(bytes);
  }

  /** The peer's direction is complete. What is queued stays readable. */
  end(): void {
    if (this.#state !== "open") return;
    this.#state = "ended";
    if (this.#queuedBytes === 0) this.#finish();
  }

  /** The stream failed: what is queued is dropped, a pending `next()` rejects now. A body that was read to its end stays so. */
  fail(error: TunnelError): void {
    if (this.isReadOut) return;
    this.#error = error;
    this.#drop();
    const waiter = this.#waiter;
    this.#waiter = undefined;
    if (waiter !== undefined) {
      this.#error = undefined;
      waiter.reject(error);
    }
    this.#owner.onReadOut();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#giveBack();
    if (this.#queuedBytes > 0) return Promise.resolve({ done: false, value: this.#take() });
    if (this.#error !== undefined) {
      const error = this.#error;
      this.#error = undefined;
      return Promise.reject(error);
    }
    if (this.#state !== "open") return Promise.resolve(DONE);
    if (this.#waiter !== undefined) return Promise.reject(new TypeError("a next() of this body is pending already"));
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
    });
  }

  return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#lentBytes = 0;
    this.#error = undefined;
    const wasOpen = this.#state === "open";
    this.dropAll();
    if (wasOpen) this.#owner.onReaderGone();
    return Promise.resolve(DONE);
  }

  /** Throws away what is queued and what comes; the reader sees the end. */
  dropAll(): void {
    if (this.#state === "dropped") return;
    this.#drop();
    this.#waiter?.resolve(DONE);
    this.#waiter = undefined;
    this.#owner.onReadOut();
  }

  #giveBack(): void {
    const bytes = this.#lentBytes;
    if (bytes === 0) return;
    this.#lentBytes = 0;
    if (this.#state === "open" && this.window.consume(bytes, this.#owner.nowMs)) this.#owner.onCreditDue();
  }

  #take(): Uint8Array {
    this.waitingSinceMs = this.#owner.nowMs;
    const bytes = this.#shift();
    this.#queuedBytes -= bytes.length;
    this.#lentBytes = bytes.length;
    if (this.#queuedBytes === 0 && this.#state === "ended") this.#owner.onReadOut();
    return bytes;
  }

  #shift(): Uint8Array {
    const bytes = this.#queue?.[this.#queueAt];
    if (bytes === undefined || this.#queue === undefined) {
      const tail = this.#tail?.subarray(0, this.#tailUsed) ?? new Uint8Array();
      this.#tail = undefined;
      return tail;
    }
    this.#queueAt += 1;
    this.#heldBytes -= bytes.buffer.byteLength;
    if (this.#queueAt === this.#queue.length) {
      this.#queue = undefined;
      this.#queueAt = 0;
    }
    return bytes;
  }

  #enqueue(bytes: Uint8Array): void {
    this.#closeTail();
    this.#queue ??= [];
    this.#queue.push(bytes);
    this.#heldBytes += bytes.buffer.byteLength;
  }

  /** Copies small chunks one behind the other: little memory for a thousand tiny frames, and fewer reads later. */
  #gather(bytes: Buffer): void {
    let tail = this.#tail;
    if (tail === undefined || this.#tailUsed + bytes.length > tail.length) {
      const size = Math.min(LARGEST_TAIL_BYTES, (tail?.length ?? FIRST_TAIL_BYTES / 2) * 2);
      this.#closeTail();
      tail = Buffer.allocUnsafeSlow(Math.max(size, bytes.length));
      this.#tail = tail;
      this.#tailUsed = 0;
    }
    tail.set(bytes, this.#tailUsed);
    this.#tailUsed += bytes.length;
  }

  #closeTail(): void {
    const tail = this.#tail;
    if (tail === undefined) return;
    this.#tail = undefined;
    this.#queue ??= [];
    this.#queue.push(tail.subarray(0, this.#tailUsed));
    this.#heldBytes += tail.buffer.byteLength;
  }

  #finish(): void {
    this.#waiter?.resolve(DONE);
    this.#waiter = undefined;
    this.#owner.onReadOut();
  }

  #drop(): void {
    this.#state = "dropped";
    this.#queue = undefined;
    this.#queueAt = 0;
    this.#tail = undefined;
    this.#queuedBytes = 0;
    this.#heldBytes = 0;
  }
}
