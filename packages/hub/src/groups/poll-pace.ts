import { AppError } from "../errors.ts";
import { GROUP_LIMITS } from "./group-limits.ts";

/** Keeps machines that wait from asking too often. Each hub counts for itself. */
export class PollPace {
  /** By the hash of what a machine asks with: when it may ask again. The one that asked longest ago first. */
  readonly #nextMs = new Map<string, number>();
  readonly #nowMs: () => number;

  /** @param nowMs A monotonic clock. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Machines remembered now. */
  get size(): number {
    return this.#nextMs.size;
  }

  /** Counts one question. @throws AppError `rate_limit_exceeded` when it comes too early; then it does not count. */
  take(secretHash: string): void {
    const nowMs = this.#nowMs();
    const nextMs = this.#nextMs.get(secretHash) ?? nowMs;
    if (nextMs > nowMs) {
      const retryAfter = Math.ceil((nextMs - nowMs) / 1000);
      throw new AppError("rate_limit_exceeded", `Ask again in ${retryAfter} s.`, { retryAfter });
    }
    this.#nextMs.delete(secretHash);
    this.#nextMs.set(secretHash, nowMs + GROUP_LIMITS.devicePollMs);
    if (this.#nextMs.size <= GROUP_LIMITS.maxDeviceJoins) return;
    for (const oldest of this.#nextMs.keys()) {
      this.#nextMs.delete(oldest);
      return;
    }
  }
}
