import { AppError } from "../errors.ts";
import type { Actor } from "../identity/actor.ts";
import { FailedAttempts } from "../identity/failed-attempts.ts";
import { networkOf } from "../network.ts";

/**
 * Counts wrong codes by who tries and from where, so that trying on is no use. A right code is taken however many wrong ones
 * came before: a neighbour cannot lock anybody out. Each hub counts for itself.
 */
export class Guesses {
  readonly #failed: FailedAttempts;

  /** @param nowMs A monotonic clock. */
  constructor(nowMs: () => number) {
    this.#failed = new FailedAttempts(nowMs);
  }

  /**
   * What to throw for a code that is wrong.
   *
   * @param by Who tried; a string: nobody known, from this address.
   */
  wrong(by: Actor | string, message: string): AppError {
    const address = typeof by === "string" ? by : by.address;
    const waits = [
      // The operator's commands come from nowhere, and may try as often as they like.
      ...(address === "" ? [] : [this.#failed.count(`network ${networkOf(address)}`)]),
      ...(typeof by === "string" || by.kind === "operator" ? [] : [this.#failed.count(by.user.id)]),
    ];
    const retryAfter = Math.max(0, ...waits.map((wait) => wait ?? 0));
    if (retryAfter === 0) return new AppError("not_found", message);
    return new AppError("rate_limit_exceeded", `Too many wrong codes. The next one may come in ${retryAfter} s.`, {
      retryAfter,
    });
  }
}
