import { AppError } from "../errors.ts";

/**
 * Memory that request bodies and messages of WebSockets may take, of all requests together: `maxRequests` times the largest
 * would be far more.
 */
export class MemoryBudget {
  readonly #maxBytes: number;
  #usedBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** For what can do without: only while less than half is used, so that it never takes the place of a request. */
  readonly spare = {
    tryTake: (bytes: number): boolean => this.#usedBytes + bytes <= this.#maxBytes / 2 && this.tryTake(bytes),
    give: (bytes: number): void => this.give(bytes),
  };

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** @throws AppError `overloaded` when so many are not left. */
  take(bytes: number): void {
    if (!this.tryTake(bytes)) {
      throw new AppError("overloaded", "The hub holds as many request bodies as it may.", { retryAfter: 1 });
    }
  }

  /** False, and nothing is taken, when so many are not left. */
  tryTake(bytes: number): boolean {
    if (this.#usedBytes + bytes > this.#maxBytes) return false;
    this.#usedBytes += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#usedBytes -= bytes;
  }
}
