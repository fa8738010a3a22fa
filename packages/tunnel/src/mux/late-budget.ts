/**
 * How many bytes of closed streams the peer may still send: the credit those streams had when we reset them. So data
 * that was under way is never punished, and no memory is kept per closed stream. Entries last one to two periods.
 */
export class LateBudget {
  readonly #periodMs: number;
  #current = 0;
  #previous = 0;
  #startedAtMs = 0;

  constructor(periodMs: number) {
    this.#periodMs = periodMs;
  }

  add(bytes: number, nowMs: number): void {
    this.#age(nowMs);
    this.#current += bytes;
  }

  /** False when the peer had no right to these bytes. */
  spend(bytes: number, nowMs: number): boolean {
    this.#age(nowMs);
    const fromPrevious = Math.min(bytes, this.#previous);
    this.#previous -= fromPrevious;
    this.#current -= bytes - fromPrevious;
    return this.#current >= 0;
  }

  #age(nowMs: number): void {
    const age = nowMs - this.#startedAtMs;
    if (age < this.#periodMs) return;
    this.#previous = age < 2 * this.#periodMs ? this.#current : 0;
    this.#current = 0;
    this.#startedAtMs = nowMs;
  }
}
