import { AppError } from "../errors.ts";

/** Requests to the admin API, of one actor or, for whoever is not known, of one network. */
export const RATE_LIMITS = {
  /** So many at once, when nothing came for a while. A page of a dashboard asks for about twenty things. */
  burst: 300,
  /** So many more each second. */
  perSecond: 10,
  /** Actors and networks that are counted. Beyond it the one that was silent longest is forgotten. Worst case: 2 MB. */
  maxCounted: 10_000,
} as const;

/**
 * Requests of one user that may change something; whoever runs the hub is not counted so. Keys and groups stay for ever, in memory
 * as well, and so does the audit log: what one user may add to them has to have an end.
 */
export const CHANGE_LIMITS = {
  /** So many at once, when nothing was changed for a while. */
  burst: 1_000,
  /** So many more each second: 8,640 a day, 4 MB of keys or of the audit log. */
  perSecond: 0.1,
} as const;

/** Counts requests, each caller for himself, so that one who asks too much is slowed down and nobody else. */
export class RateLimit {
  /** What each has left, and when that was true; who asked last stands last. */
  readonly #callers = new Map<string, { left: number; atMs: number }>();
  readonly #limits: { readonly burst: number; readonly perSecond: number; readonly maxCounted: number };
  readonly #now: () => number;

  /** @param now Milliseconds of a clock that never goes back. */
  constructor(now: () => number, limits: Partial<Record<keyof typeof RATE_LIMITS, number>> = {}) {
    this.#now = now;
    this.#limits = { ...RATE_LIMITS, ...limits };
  }

  /** @throws AppError `rate_limit_exceeded` */
  count(caller: string): void {
    const { burst, perSecond, maxCounted } = this.#limits;
    const nowMs = this.#now();
    const known = this.#callers.get(caller);
    this.#callers.delete(caller);
    const left = known === undefined ? burst : Math.min(burst, known.left + ((nowMs - known.atMs) / 1000) * perSecond);
    this.#callers.set(caller, { left: left < 1 ? left : left - 1, atMs: nowMs });
    if (this.#callers.size > maxCounted) this.#forgetOldest();
    if (left >= 1) return;
    const retryAfter = Math.ceil((1 - left) / perSecond);
    throw new AppError("rate_limit_exceeded", `Too many requests. The next one may come in ${retryAfter} s.`, {
      retryAfter,
    });
  }

  #forgetOldest(): void {
    for (const oldest of this.#callers.keys()) {
      this.#callers.delete(oldest);
      return;
    }
  }
}
