import type { MemberLimits } from "../store/member-limits.ts";

/** Limits are counted over so long. A bucket that nobody used for this time is full again. */
export const WINDOW_MS = 60_000;

/** What stands in a request's way. */
export interface LimitReached {
  readonly limit: keyof MemberLimits;
  readonly allowed: number;
  /** Until a request can get in; undefined: when another one ends. */
  readonly waitMs: number | undefined;
}

/** What is left of a limit. */
export interface LimitLeft {
  readonly limit: number;
  readonly remaining: number;
  /** Until all of it is there again. */
  readonly resetMs: number;
}

/**
 * A bucket that fills evenly: all of a minute's allowance may be used at once, then it comes back bit by bit. It may go
 * below nothing, as what a request used is only known afterwards.
 */
class Bucket {
  #used = 0;
  #atMs = 0;

  use(amount: number, limit: number, nowMs: number): void {
    this.#settle(limit, nowMs);
    this.#used = Math.max(0, this.#used + amount);
  }

  /** Until `amount` is there; 0: it is. */
  waitMs(amount: number, limit: number, nowMs: number): number {
    this.#settle(limit, nowMs);
    const missing = this.#used + amount - limit;
    return missing <= 0 ? 0 : (missing * WINDOW_MS) / limit;
  }

  left(limit: number, nowMs: number): LimitLeft {
    this.#settle(limit, nowMs);
    const remaining = Math.max(0, Math.floor(limit - this.#used));
    return { limit, remaining, resetMs: limit === 0 ? WINDOW_MS : (this.#used * WINDOW_MS) / limit };
  }

  #settle(limit: number, nowMs: number): void {
    const backSince = ((nowMs - this.#atMs) * limit) / WINDOW_MS;
    this.#used = Math.max(0, this.#used - backSince);
    this.#atMs = nowMs;
  }
}

/** What one key, or one member of a group, uses now. The limits may be others each time. */
export class Meter {
  readonly #requests = new Bucket();
  readonly #tokens = new Bucket();
  /** Requests that are in now. */
  running = 0;
  lastUsedMs = 0;

  /** Why a request may not come in; undefined: it may. */
  refusal(limits: MemberLimits, nowMs: number): LimitReached | undefined {
    const { concurrency, requestsPerMinute, tokensPerMinute } = limits;
    if (concurrency !== undefined && this.running >= concurrency) {
      return { limit: "concurrency", allowed: concurrency, waitMs: undefined };
    }
    const forRequest = requestsPerMinute === undefined ? 0 : this.#requests.waitMs(1, requestsPerMinute, nowMs);
    if (forRequest > 0) return { limit: "requestsPerMinute", allowed: requestsPerMinute ?? 0, waitMs: forRequest };
    // Less than one token left: what the next one uses is not known before.
    const forToken = tokensPerMinute === undefined ? 0 : this.#tokens.waitMs(1, tokensPerMinute, nowMs);
    return forToken > 0 ? { limit: "tokensPerMinute", allowed: tokensPerMinute ?? 0, waitMs: forToken } : undefined;
  }

  enter({ requestsPerMinute }: MemberLimits, nowMs: number): void {
    this.running += 1;
    this.lastUsedMs = nowMs;
    if (requestsPerMinute !== undefined) this.#requests.use(1, requestsPerMinute, nowMs);
  }

  leave(): void {
    this.running -= 1;
  }

  /** A request that came in did nothing here. */
  undo({ requestsPerMinute }: MemberLimits, nowMs: number): void {
    this.running -= 1;
    if (requestsPerMinute !== undefined) this.#requests.use(-1, requestsPerMinute, nowMs);
  }

  charge(tokens: number, { tokensPerMinute }: MemberLimits, nowMs: number): void {
    this.lastUsedMs = nowMs;
    if (tokensPerMinute !== undefined) this.#tokens.use(tokens, tokensPerMinute, nowMs);
  }

  left(
    { requestsPerMinute, tokensPerMinute }: MemberLimits,
    nowMs: number,
  ): {
    readonly requests: LimitLeft | undefined;
    readonly tokens: LimitLeft | undefined;
  } {
    return {
      requests: requestsPerMinute === undefined ? undefined : this.#requests.left(requestsPerMinute, nowMs),
      tokens: tokensPerMinute === undefined ? undefined : this.#tokens.left(tokensPerMinute, nowMs),
    };
  }
}
