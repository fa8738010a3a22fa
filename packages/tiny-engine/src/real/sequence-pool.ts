import type { LlamaContextSequence } from "node-llama-cpp";

import { RequestError } from "../http/request-error.ts";

/** Requests that may wait for a sequence; the one after them is answered 503. */
const MAX_WAITING = 64;

/** The sequences of a context, lent to one request each. Who finds none free waits in line. */
export class SequencePool {
  readonly #free: LlamaContextSequence[];
  readonly #waiting: ((sequence: LlamaContextSequence) => void)[] = [];
  readonly total: number;

  constructor(sequences: readonly LlamaContextSequence[]) {
    this.#free = [...sequences];
    this.total = sequences.length;
  }

  get running(): number {
    return this.total - this.#free.length;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /**
   * A sequence without history, returned to the pool when `use` is over.
   *
   * @throws RequestError 503 when too many wait; the signal's reason when it is aborted while waiting.
   */
  async borrow<T>(use: (sequence: LlamaContextSequence) => Promise<T>, signal: AbortSignal): Promise<T> {
    const sequence = this.#free.pop() ?? (await this.#wait(signal));
    try {
      return await use(sequence);
    } finally {
      await sequence.clearHistory();
      this.#giveBack(sequence);
    }
  }

  #wait(signal: AbortSignal): Promise<LlamaContextSequence> {
    if (this.#waiting.length >= MAX_WAITING) {
      throw new RequestError(503, "engine_busy", "All sequences are busy and the queue is full. Try again soon.");
    }
    return new Promise((resolve, reject) => {
      const take = (sequence: LlamaContextSequence) => {
        signal.removeEventListener("abort", leave);
        resolve(sequence);
      };
      const leave = () => {
        const place = this.#waiting.indexOf(take);
        if (place >= 0) this.#waiting.splice(place, 1);
        reject(signal.reason instanceof Error ? signal.reason : new Error("The client went away."));
      };
      if (signal.aborted) return leave();
      signal.addEventListener("abort", leave, { once: true });
      this.#waiting.push(take);
    });
  }

  #giveBack(sequence: LlamaContextSequence): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(sequence);
    else next(sequence);
  }
}
