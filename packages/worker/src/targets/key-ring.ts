const LIMITED_REST_MS = 30_000;
const MAX_LIMITED_REST_MS = 3_600_000;
const REFUSED_REST_MS = 300_000;

interface Key {
  readonly value: string;
  /** Not used before this time, unless every key rests. */
  restsUntilMs: number;
}

export interface KeyRingOptions {
  readonly keys: readonly string[];
  /** Default "authorization". */
  readonly header?: string;
  /** Default "Bearer " for `authorization`, "" for another header. */
  readonly prefix?: string;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
}

/** An owner's API keys for one engine: used in turn; one that the engine refused rests for a while. */
export class KeyRing {
  readonly #keys: readonly Key[];
  readonly #header: string;
  readonly #prefix: string;
  readonly #now: () => number;
  #turn = 0;

  constructor(options: KeyRingOptions) {
    this.#keys = options.keys.map((value) => ({ value, restsUntilMs: 0 }));
    this.#header = (options.header ?? "authorization").toLowerCase();
    this.#prefix = options.prefix ?? (this.#header === "authorization" ? "Bearer " : "");
    this.#now = options.now;
  }

  /** The key for the next request. When all rest, the one that is rested soonest. */
  next(): UsedKey | undefined {
    const key = this.#choose();
    if (key === undefined) return undefined;
    return {
      header: [this.#header, this.#prefix + key.value],
      report: (status, retryAfter) => this.#report(key, status, retryAfter),
    };
  }

  #choose(): Key | undefined {
    const now = this.#now();
    for (let step = 0; step < this.#keys.length; step++) {
      const key = this.#keys[(this.#turn + step) % this.#keys.length];
      if (key === undefined || key.restsUntilMs > now) continue;
      this.#turn = (this.#turn + step + 1) % this.#keys.length;
      return key;
    }
    return this.#keys.toSorted((one, other) => one.restsUntilMs - other.restsUntilMs)[0];
  }

  #report(key: Key, status: number, retryAfter: string | undefined): void {
    if (status === 429) key.restsUntilMs = this.#now() + limitedRestMs(retryAfter);
    else if (status === 401 || status === 403) key.restsUntilMs = this.#now() + REFUSED_REST_MS;
    else key.restsUntilMs = 0;
  }
}

export interface UsedKey {
  readonly header: readonly [name: string, value: string];
  /** What the engine answered to it. */
  report(status: number, retryAfter: string | undefined): void;
}

/** `Retry-After` in seconds (RFC 9110 §10.2.3); a date or nonsense counts as absent. */
function limitedRestMs(retryAfter: string | undefined): number {
  if (retryAfter === undefined || !/^\d{1,6}$/.test(retryAfter)) return LIMITED_REST_MS;
  return Math.min(Number(retryAfter) * 1000, MAX_LIMITED_REST_MS);
}
