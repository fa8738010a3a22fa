import type { IncomingMessage } from "node:http";

import { AppError } from "../errors.ts";

/** A client must send its body at least this fast, or it holds a connection and memory for nothing (slow loris). */
export const SLOW_UPLOAD = { windowMs: 10_000, minBytes: 16 * 1024 } as const;

export const HELD_BACK = {
  /**
   * While nobody takes the body, so much is read ahead, as far as the memory for bodies reaches. A client that sent the rest
   * of its body and goes away is noticed at once, as its FIN is behind what it sent.
   */
  readAheadBytes: 1024 * 1024,
  /**
   * Beyond that nobody reads. A reset of the connection is then noticed by asking this often. An orderly end is not: the
   * client's machine keeps its FIN until ours has room for what stands before it. The bound is `creditWaitMs` then.
   */
  askMs: 200,
} as const;

/** Memory that is shared with other bodies. */
export interface BodyRoom {
  /** False: it has no more. */
  tryTake(bytes: number): boolean;
  give(bytes: number): void;
}

const STOOD_STILL_MS = 1_000;

/**
 * A request's body, chunk by chunk, with its limits. Pulling is what reads: while nobody asks, the socket is paused and
 * the client's TCP slows down. Holds what one read of the socket gave, and what it reads ahead into `room`.
 *
 * `next` throws AppError: `client_closed`, `request_too_large`, `request_timeout`.
 */
export class IncomingBody {
  readonly #request: IncomingMessage;
  readonly #maxBytes: number;
  readonly #room: BodyRoom | undefined;
  readonly #queue: Uint8Array[] = [];
  /** Of the queue, taken of the room. */
  #roomBytes = 0;
  #asking: NodeJS.Timeout | undefined;
  #waiting: PromiseWithResolvers<Uint8Array | undefined> | undefined;
  #received = 0;
  #isComplete = false;
  #failure: AppError | undefined;
  #timer: NodeJS.Timeout | undefined;
  #windowStart = 0;
  #windowEndsAt = 0;
  /** The reader was slower than the client in this window, so the client is not to blame. */
  #wasPaused = false;

  constructor(request: IncomingMessage, options: { readonly maxBytes: number; readonly room?: BodyRoom }) {
    this.#request = request;
    this.#maxBytes = options.maxBytes;
    this.#room = options.room;
    request.on("data", (chunk: Uint8Array) => this.#onData(chunk));
    request.on("end", () => this.#onEnd());
    // Without "end" before it, "close" means that the client went away.
    request.on("close", () => this.#fail(gone));
    request.on("error", () => this.#fail(gone));
  }

  /** Bytes that came so far. */
  get received(): number {
    return this.#received;
  }

  /** The next chunk, or undefined at the end. One caller at a time. */
  next(): Promise<Uint8Array | undefined> {
    const chunk = this.#queue.shift();
    if (chunk !== undefined) {
      this.#giveBack(chunk.length);
      if (this.#roomBytes < RESUME_BELOW && this.#roomBytes > 0 && this.#request.isPaused()) this.#request.resume();
      return Promise.resolve(chunk);
    }
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#isComplete) return Promise.resolve(undefined);
    this.#watchProgress();
    this.#waiting = Promise.withResolvers();
    if (this.#request.isPaused()) this.#request.resume();
    return this.#waiting.promise;
  }

  /** Nobody wants the rest. Needed, as Node tells a request nothing any more once its answer is complete. */
  stop(): void {
    this.#fail(gone);
  }

  /** The request was given up: `next` throws `reason`. */
  cancel(reason: AppError): void {
    this.#fail(() => reason);
  }

  #onData(chunk: Uint8Array): void {
    if (this.#failure !== undefined) return;
    this.#received += chunk.length;
    if (this.#received > this.#maxBytes) return this.#fail(() => tooLarge(this.#maxBytes));
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) return waiting.resolve(chunk);
    this.#queue.push(chunk);
    this.#wasPaused = true;
    if (this.#readsAhead(chunk.length)) return;
    this.#request.pause();
    this.#asking ??= setInterval(() => this.#ask(), HELD_BACK.askMs).unref();
  }

  #readsAhead(bytes: number): boolean {
    if (this.#room === undefined || this.#roomBytes + bytes > HELD_BACK.readAheadBytes) return false;
    if (!this.#room.tryTake(bytes)) return false;
    this.#roomBytes += bytes;
    return true;
  }

  #giveBack(bytes: number): void {
    const given = Math.min(bytes, this.#roomBytes);
    this.#roomBytes -= given;
    this.#room?.give(given);
  }

  /** Nothing is heard of a socket that is not read. A write of no bytes sends nothing, and fails on one that was reset. */
  #ask(): void {
    const { socket } = this.#request;
    if (this.#request.isPaused()) {
      if (socket.writable && socket.writableLength === 0) socket.write(NOTHING);
      return;
    }
    clearInterval(this.#asking);
    this.#asking = undefined;
  }

  #onEnd(): void {
    this.#isComplete = true;
    clearTimeout(this.#timer);
    clearInterval(this.#asking);
    this.#waiting?.resolve(undefined);
    this.#waiting = undefined;
  }

  /** @param why A function, as every request closes and an error with its stack costs 10 µs. */
  #fail(why: () => AppError): void {
    clearTimeout(this.#timer);
    clearInterval(this.#asking);
    this.#giveBack(this.#roomBytes);
    if (this.#isComplete || this.#failure !== undefined) return;
    const error = why();
    this.#failure = error;
    this.#queue.length = 0;
    this.#waiting?.reject(error);
    this.#waiting = undefined;
  }

  #watchProgress(): void {
    if (this.#timer === undefined) this.#openWindow();
  }

  #openWindow(): void {
    this.#windowEndsAt = performance.now() + SLOW_UPLOAD.windowMs;
    this.#timer = setTimeout(() => this.#checkProgress(), SLOW_UPLOAD.windowMs);
  }

  #checkProgress(): void {
    // Much too late: this process stood still, and what the client sent was not read yet.
    const stoodStill = performance.now() - this.#windowEndsAt > STOOD_STILL_MS;
    const isSlow = this.#received - this.#windowStart < SLOW_UPLOAD.minBytes && !this.#wasPaused && !stoodStill;
    if (isSlow) return this.#fail(tooSlow);
    this.#windowStart = this.#received;
    this.#wasPaused = this.#waiting === undefined;
    this.#openWindow();
  }
}

const NOTHING = new Uint8Array(0);
const RESUME_BELOW = HELD_BACK.readAheadBytes / 2;

/** @throws AppError when the announced length is over the limit, before a byte is read. */
export function checkAnnouncedLength(request: IncomingMessage, maxBytes: number): void {
  const announced = request.headers["content-length"];
  if (announced !== undefined && Number(announced) > maxBytes) throw tooLarge(maxBytes);
}

function gone(): AppError {
  return new AppError("client_closed");
}

function tooLarge(maxBytes: number): AppError {
  return new AppError(
    "request_too_large",
    `The request body is larger than ${maxBytes} bytes, the limit of this route.`,
  );
}

function tooSlow(): AppError {
  const seconds = SLOW_UPLOAD.windowMs / 1000;
  return new AppError(
    "request_timeout",
    `The request body came too slowly: fewer than ${SLOW_UPLOAD.minBytes} bytes in ${seconds} s.`,
  );
}
