import { AppError } from "../errors.ts";

/** A timer that fires so much too late tells that this process stood still: nobody could be heard meanwhile. */
const STOOD_STILL_MS = 1_000;

/**
 * The time limits of one request: one on silence, which each sign of life renews, and one on the whole.
 *
 * One timer a phase. `touch` only notes the time, as it runs for each chunk; the timer that finds itself renewed sleeps
 * for the rest. Times are of the monotonic clock, so that a change of the wall clock ends nothing.
 */
export class Deadline {
  readonly #onExpire: (error: AppError) => void;
  readonly #endsAt: number;
  #touchedAt = 0;
  #silenceMs = Infinity;
  #silence: () => AppError = () => new AppError("upstream_timeout");
  #timer: NodeJS.Timeout | undefined;
  #firesAt = 0;

  constructor(totalMs: number, onExpire: (error: AppError) => void) {
    this.#onExpire = onExpire;
    this.#endsAt = performance.now() + totalMs;
  }

  /** Milliseconds left for the whole, at least 1. */
  get leftMs(): number {
    return Math.max(1, Math.ceil(this.#endsAt - performance.now()));
  }

  /** From now on `silenceMs` without a `touch` is too long, and `error` says what it means. */
  expect(silenceMs: number, error: () => AppError): void {
    this.#silenceMs = silenceMs;
    this.#silence = error;
    this.touch();
    // A timer that fires too early only finds out and sleeps on, which is cheaper than a new one each time.
    if (this.#timer === undefined || this.#dueAt() < this.#firesAt) this.#sleep();
  }

  touch(): void {
    this.#touchedAt = performance.now();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #sleep(): void {
    clearTimeout(this.#timer);
    this.#firesAt = this.#dueAt();
    // Longer ones would fire at once: a timer holds 31 bits.
    const ms = Math.min(Math.max(1, Math.ceil(this.#firesAt - performance.now())), 0x7fff_ffff);
    this.#timer = setTimeout(() => this.#check(), ms);
  }

  #dueAt(): number {
    return Math.min(this.#touchedAt + this.#silenceMs, this.#endsAt);
  }

  #check(): void {
    const now = performance.now();
    if (now - this.#firesAt > STOOD_STILL_MS) this.#touchedAt = now;
    if (now >= this.#endsAt) return this.#onExpire(new AppError("deadline"));
    if (now >= this.#touchedAt + this.#silenceMs) return this.#onExpire(this.#silence());
    this.#sleep();
  }
}
