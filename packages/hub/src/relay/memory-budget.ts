import { AppError } from "../errors.ts";

/** Memory that request bodies may take, of all requests together: `maxRequests` times the largest body would be far more. */
export class MemoryBudget {
  readonly #maxBytes: number;
  #usedBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** @throws AppError `overloaded` when so many are not left. */
  take(bytes: number): void {
    if (this.#usedBytes + bytes > this.#maxBytes) {
      throw new AppError("overloaded", "The hub holds as many request bodies as it may.", { retryAfter: 1 });
    }
    this.#usedBytes += bytes;
  }

  give(bytes: number): void {
    this.#usedBytes -= bytes;
  }
}
