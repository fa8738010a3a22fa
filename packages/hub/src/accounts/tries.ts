import { AppError } from "../errors.ts";

interface Budget {
  /** So many in a row. */
  readonly burst: number;
  /** One more after so many seconds. */
  readonly seconds: number;
}

/**
 * What may be tried how often. Nothing is ever locked for good, and what an attacker uses up is his own: the owner of an account
 * has a budget for each device that signed in before, and other ways in (passkeys, providers, a new password by mail).
 */
const BUDGETS = {
  /** Sign-ins that fail, of one network, on devices that are not known. */
  "sign-in from": { burst: 30, seconds: 30 },
  /** Sign-ins to one address that fail, on devices that are not known, from wherever: 970 guesses a day. */
  "sign-in to": { burst: 10, seconds: 90 },
  /** Sign-ins that fail on a device that its owner has signed in on before. */
  "sign-in on device": { burst: 10, seconds: 90 },
  /** Wrong codes of one user, by whoever knows the password: 290 guesses of a million codes a day. */
  "code of": { burst: 5, seconds: 300 },
  "code on device": { burst: 5, seconds: 300 },
  /** Sign-ins that succeed, of one user: each is an entry of the audit log, which stays for ever. */
  "sign-ins of": { burst: 100, seconds: 60 },
  /** Wrong passwords and codes where somebody is signed in already. */
  "confirm on": { burst: 10, seconds: 90 },
  /** Passkeys that fail, of one network. They cannot be guessed: this is for what checking them costs. */
  "passkey from": { burst: 60, seconds: 10 },
  /**
   * Mails to one address, each for itself: whoever uses up the one for new passwords has sent its owner links for new passwords,
   * and the others do not touch it.
   */
  "reset mail to": { burst: 5, seconds: 720 },
  "verification mail to": { burst: 5, seconds: 720 },
  "registration mail to": { burst: 5, seconds: 720 },
  "change mail to": { burst: 5, seconds: 720 },
  /** Mails that one network asks for. */
  "mail from": { burst: 20, seconds: 180 },
  /** Accounts that one network asks for. */
  "register from": { burst: 10, seconds: 360 },
  /** Ways to another service and back, of one network. */
  "provider from": { burst: 30, seconds: 20 },
} as const satisfies Record<string, Budget>;

export type TryKind = keyof typeof BUDGETS;

export const TRIES = {
  /** Networks, accounts and devices that are counted. The one that was quiet longest is forgotten. Worst case: 15 MB. */
  maxCounted: 50_000,
} as const;

/** Counts what may not be tried without end. Each hub counts for itself. */
export class Tries {
  /** By kind and whom: when everything tried so far would be earned back. The longest quiet one first. */
  readonly #clearAtMs = new Map<string, number>();
  readonly #now: () => number;

  /** @param now Milliseconds of a clock that never goes back. */
  constructor(now: () => number) {
    this.#now = now;
  }

  get size(): number {
    return this.#clearAtMs.size;
  }

  /**
   * Counts one try of each kind, before it is made, so that many at once are not more. Returns how to take that back, for tries
   * that succeed.
   *
   * @throws AppError `rate_limit_exceeded` when one of them is used up; then none is counted.
   */
  take(...tries: readonly (readonly [kind: TryKind, whom: string])[]): () => void {
    const waitMs = Math.max(...tries.map(([kind, whom]) => this.#waitMs(kind, whom)));
    if (waitMs > 0) throw tooMany(Math.ceil(waitMs / 1000));
    for (const [kind, whom] of tries) this.#move(kind, whom, BUDGETS[kind].seconds * 1000);
    let isTaken = true;
    return () => {
      if (!isTaken) return;
      isTaken = false;
      for (const [kind, whom] of tries) this.#move(kind, whom, -BUDGETS[kind].seconds * 1000);
    };
  }

  #waitMs(kind: TryKind, whom: string): number {
    const { burst, seconds } = BUDGETS[kind];
    const aheadMs = (this.#clearAtMs.get(keyOf(kind, whom)) ?? 0) - this.#now();
    return aheadMs - (burst - 1) * seconds * 1000;
  }

  #move(kind: TryKind, whom: string, byMs: number): void {
    const key = keyOf(kind, whom);
    const nowMs = this.#now();
    const clearAtMs = Math.max(nowMs, this.#clearAtMs.get(key) ?? nowMs) + byMs;
    this.#clearAtMs.delete(key);
    if (clearAtMs > nowMs) this.#clearAtMs.set(key, clearAtMs);
    if (this.#clearAtMs.size > TRIES.maxCounted) this.#forgetOldest();
  }

  #forgetOldest(): void {
    for (const oldest of this.#clearAtMs.keys()) {
      this.#clearAtMs.delete(oldest);
      return;
    }
  }
}

function keyOf(kind: TryKind, whom: string): string {
  return `${kind} ${whom}`;
}

function tooMany(retryAfter: number): AppError {
  return new AppError("rate_limit_exceeded", `Too many tries. The next one may come in ${retryAfter} s.`, {
    retryAfter,
  });
}
