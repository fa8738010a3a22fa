import { AppError } from "../errors.ts";

/** How many requests may wait for a slot, and how long each in all. Worst case: their bodies stay in memory meanwhile. */
export const QUEUE_LIMITS = { maxWaiting: 1_024, maxWaitMs: 30_000 } as const;

/** What a waiting request needs. */
export interface SlotWish<T> {
  readonly model: string;
  /** Whether this request may run on `target`. */
  accepts(target: T): boolean;
  readonly maxWaitMs: number;
  /** What a wait that was too long ends with. Default: `worker_busy`. */
  tooLong?(): AppError;
}

interface Waiter<T> extends Pick<SlotWish<T>, "model" | "accepts"> {
  readonly order: number;
  readonly resolve: (target: T) => void;
}

/** Requests that wait until a target of their model has a free slot. First come, first served, for each model. */
export class SlotQueue<T extends { readonly models: ReadonlySet<string> }> {
  readonly #waiters = new Map<string, Set<Waiter<T>>>();
  #size = 0;
  #order = 0;

  get size(): number {
    return this.#size;
  }

  /** Somebody waits for `model` already, so a newcomer must not overtake. */
  hasWaiters(model: string): boolean {
    return this.#size > 0 && this.#waiters.has(model);
  }

  /**
   * Waits for a slot. The target it resolves with was given by `offer` and is to be taken in the same tick.
   *
   * @throws AppError `worker_busy` when the queue is full, `tooLong` when the wait is; else the signal's reason.
   */
  wait(wish: SlotWish<T>, signal: AbortSignal): Promise<T> {
    if (this.#size >= QUEUE_LIMITS.maxWaiting) return Promise.reject(busy(wish.model));
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#order += 1;
    const waiter: Waiter<T> = {
      model: wish.model,
      accepts: (target) => wish.accepts(target),
      order: this.#order,
      resolve,
    };
    const tooLong = (): void => reject(wish.tooLong?.() ?? busy(wish.model));
    const timer = setTimeout(tooLong, wish.maxWaitMs);
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    this.#add(waiter);
    return promise.finally(() => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      this.#remove(waiter);
    });
  }

  /** Gives one free slot of `target` to whoever waited longest for it. False: nobody wants it. */
  offer(target: T): boolean {
    if (this.#size === 0) return false;
    let first: Waiter<T> | undefined;
    for (const [model, waiters] of this.#waiters) {
      if (!target.models.has(model)) continue;
      for (const waiter of waiters) {
        if (first !== undefined && waiter.order > first.order) break;
        if (waiter.accepts(target)) first = waiter;
      }
    }
    if (first === undefined) return false;
    this.#remove(first);
    first.resolve(target);
    return true;
  }

  #add(waiter: Waiter<T>): void {
    const waiters = this.#waiters.get(waiter.model) ?? new Set();
    waiters.add(waiter);
    this.#waiters.set(waiter.model, waiters);
    this.#size += 1;
  }

  #remove(waiter: Waiter<T>): void {
    const waiters = this.#waiters.get(waiter.model);
    if (waiters?.delete(waiter) !== true) return;
    this.#size -= 1;
    if (waiters.size === 0) this.#waiters.delete(waiter.model);
  }
}

function busy(model: string): AppError {
  return new AppError("worker_busy", `All workers of the model "${model}" are busy. Try again shortly.`, {
    retryAfter: 5,
  });
}
