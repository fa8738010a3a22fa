import type { MemoryPool } from "./memory-pool.ts";

/** The sender may be blocked when less than one full DATA frame of credit is left: then do not wait for a quarter. */
const BLOCKED_BELOW_BYTES = 16 * 1024;
/** A window consumed in less than so many round trips limits the sender. */
const GROW_BELOW_ROUND_TRIPS = 4;

/** What a window needs to know of its surroundings. */
export interface WindowEnvironment {
  readonly initialWindowBytes: number;
  readonly maxWindowBytes: number;
  readonly pool: MemoryPool;
  /** Milliseconds, or undefined while unknown: then no window grows. */
  readonly roundTripMs: number | undefined;
}

/**
 * The receiver's side of one stream's credit. Offsets are absolute, so a repeated CREDIT does no harm. Credit once
 * given is never taken back.
 */
export class CreditWindow {
  readonly #environment: WindowEnvironment;
  #size: number;
  #received = 0;
  #consumed = 0;
  #granted: number;
  #measureFrom = 0;
  #measureFromMs: number;

  constructor(environment: WindowEnvironment, nowMs: number) {
    this.#environment = environment;
    this.#size = environment.initialWindowBytes;
    this.#granted = environment.initialWindowBytes;
    this.#measureFromMs = nowMs;
  }

  get sizeBytes(): number {
    return this.#size;
  }

  get received(): number {
    return this.#received;
  }

  /** The absolute offset up to which the peer may send. */
  get grantedOffset(): number {
    return this.#granted;
  }

  get unusedBytes(): number {
    return this.#granted - this.#received;
  }

  /** False when the peer sent more than it may. */
  receive(bytes: number): boolean {
    if (this.#received + bytes > this.#granted) return false;
    this.#received += bytes;
    return true;
  }

  /** The reader is done with `bytes`. True: a CREDIT with the new `grantedOffset` is due. */
  consume(bytes: number, nowMs: number): boolean {
    this.#consumed += bytes;
    if (this.#consumed - this.#measureFrom >= this.#size) this.#tune(nowMs);
    const target = this.#consumed + this.#size;
    const gain = target - this.#granted;
    const isDue = gain * 4 >= this.#size || (gain >= BLOCKED_BELOW_BYTES && this.unusedBytes < BLOCKED_BELOW_BYTES);
    if (isDue) this.#granted = target;
    return isDue;
  }

  /** Gives back what the pool lent. The window must not be used for receiving any more. */
  close(): void {
    this.#environment.pool.release(this.#size - this.#environment.initialWindowBytes);
    this.#size = this.#environment.initialWindowBytes;
  }

  #tune(nowMs: number): void {
    const { roundTripMs, pool, maxWindowBytes, initialWindowBytes } = this.#environment;
    const elapsed = nowMs - this.#measureFromMs;
    this.#measureFrom = this.#consumed;
    this.#measureFromMs = nowMs;
    if (roundTripMs === undefined || elapsed >= GROW_BELOW_ROUND_TRIPS * roundTripMs) return;
    const growth = Math.min(this.#size, maxWindowBytes - this.#size);
    if (growth > 0 && pool.tryReserve(growth, this.#size - initialWindowBytes)) this.#size += growth;
  }
}
