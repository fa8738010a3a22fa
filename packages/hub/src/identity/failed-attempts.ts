/** Attempts to get in without a valid key, of each network. */
export const FAILED_ATTEMPTS = {
  /** In a row. What comes above the rate is answered 429. A valid key always gets in, so neighbours do not notice. */
  burst: 10,
  perMinute: 5,
  /** Networks remembered; the one that was quiet longest goes. Worst case: about 2 MB. */
  maxNetworks: 10_000,
} as const;

/** Counts failed attempts, so that who goes on failing learns nothing more and fills no log. */
export class FailedAttempts {
  /** By network: when all its attempts so far would be earned back. The longest quiet one first. */
  readonly #clearAtMs = new Map<string, number>();
  readonly #nowMs: () => number;

  /** @param nowMs A monotonic clock. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Networks remembered now. */
  get size(): number {
    return this.#clearAtMs.size;
  }

  /** Counts one of `network`. Returns undefined when it may be told why it failed, else in how many seconds it may again. */
  count(network: string): number | undefined {
    const nowMs = this.#nowMs();
    const clearAtMs = Math.max(nowMs, this.#clearAtMs.get(network) ?? nowMs);
    const tooEarlyMs = clearAtMs - nowMs - (FAILED_ATTEMPTS.burst - 1) * MS_FOR_ONE;
    this.#clearAtMs.delete(network);
    this.#clearAtMs.set(network, tooEarlyMs > 0 ? clearAtMs : clearAtMs + MS_FOR_ONE);
    this.#forgetOldest();
    return tooEarlyMs > 0 ? Math.ceil(tooEarlyMs / 1000) : undefined;
  }

  #forgetOldest(): void {
    if (this.#clearAtMs.size <= FAILED_ATTEMPTS.maxNetworks) return;
    for (const oldest of this.#clearAtMs.keys()) {
      this.#clearAtMs.delete(oldest);
      return;
    }
  }
}

const MS_FOR_ONE = 60_000 / FAILED_ATTEMPTS.perMinute;
