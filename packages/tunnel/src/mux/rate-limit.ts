/** A token bucket. Its clock is the caller's. */
export class RateLimit {
  readonly #perMs: number;
  readonly #burst: number;
  #tokens: number;
  #refilledAtMs = 0;

  /** Allows `burst` at once and `perSecond` for ever. */
  constructor(perSecond: number, burst: number = perSecond) {
    this.#perMs = perSecond / 1000;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** Takes one, or as many as it costs. False when there were too many. */
  take(nowMs: number, cost = 1): boolean {
    // What was earned by something else may stand above the burst; time adds nothing to it.
    if (this.#tokens < this.#burst) {
      this.#tokens = Math.min(this.#burst, this.#tokens + (nowMs - this.#refilledAtMs) * this.#perMs);
    }
    this.#refilledAtMs = nowMs;
    if (this.#tokens < cost) return false;
    this.#tokens -= cost;
    return true;
  }

  /** Allows `tokens` more, earned by something else than time. */
  earn(tokens: number): void {
    this.#tokens = Math.min(this.#burst * 100, this.#tokens + tokens);
  }
}
