import { AppError } from "../errors.ts";

/** How many requests may wait for a slot, and how long each in all. Worst case: their bodies stay in memory meanwhile. */
export const QUEUE_LIMITS = { maxWaiting: 1_024, maxWaitMs: 30_000 } as const;

/** What a waiting request needs. */
export interface SlotWish<T> {
  /** Where it may be served. */
  readonly groupIds: readonly string[];
  readonly model: string;
  /** Whether this request may run on `target`, which serves the model in the group. */
  accepts(target: T, groupId: string): boolean;
  readonly maxWaitMs: number;
  /** What a wait that was too long ends with. Default: `worker_busy`. */
  tooLong?(): AppError;
}

/** Where a request is served. */
export interface Place<T> {
  readonly target: T;
  readonly groupId: string;
}

interface Waiter<T> extends Pick<SlotWish<T>, "groupIds" | "model" | "accepts"> {
  readonly order: number;
  readonly resolve: (place: Place<T>) => void;
}

/** Requests that wait until a target of their model has a free slot. First come, first served, for each model of a group. */
export class SlotQueue<T extends { modelsIn(groupId: string): ReadonlySet<string> | undefined }> {
  /** By group and model. Who may be served in several groups waits in each of them. */
  readonly #waiters = new Map<string, Map<string, Set<Waiter<T>>>>();
  #size = 0;
  #order = 0;

  get size(): number {
    return this.#size;
  }

  /** Somebody waits for `model` there already, so a newcomer must not overtake. */
  hasWaiters(groupId: string, model: string): boolean {
    return this.#size > 0 && this.#waiters.get(groupId)?.has(model) === true;
  }

  /**
   * Waits for a slot. The place it resolves with was given by `offer` and is to be taken in the same tick.
   *
   * @throws AppError `worker_busy` when the queue is full, `tooLong` when the wait is; else the signal's reason.
   */
  wait(wish: SlotWish<T>, signal: AbortSignal): Promise<Place<T>> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#size >= QUEUE_LIMITS.maxWaiting) return Promise.reject(busy(wish.model));
    const { promise, resolve, reject } = Promise.withResolvers<Place<T>>();
    this.#order += 1;
    const waiter: Waiter<T> = {
      groupIds: wish.groupIds,
      model: wish.model,
      accepts: (target, groupId) => wish.accepts(target, groupId),
      order: this.#order,
      resolve,
    };
    // At once: a slot that is offered in the same turn would go to somebody who is gone, and never come back.
    const leave = (reason: unknown): void => {
      this.#remove(waiter);
      reject(reason);
    };
    const timer = setTimeout(() => leave(wish.tooLong?.() ?? busy(wish.model)), wish.maxWaitMs);
    const onAbort = (): void => leave(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    this.#add(waiter);
    return promise.finally(() => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    });
  }

  /** Gives one free slot of `target` to whoever waited longest for it. False: nobody wants it. */
  offer(target: T): boolean {
    if (this.#size === 0) return false;
    let first: Waiter<T> | undefined;
    for (const [groupId, byModel] of this.#waiters) {
      const served = target.modelsIn(groupId);
      if (served === undefined) continue;
      for (const [model, waiters] of byModel) {
        if (served.has(model)) first = firstOf(waiters, first, (waiter) => waiter.accepts(target, groupId));
      }
    }
    const groupId = first?.groupIds.find((each) => accepts(first, target, each));
    if (first === undefined || groupId === undefined) return false;
    this.#remove(first);
    first.resolve({ target, groupId });
    return true;
  }

  #add(waiter: Waiter<T>): void {
    for (const groupId of waiter.groupIds) {
      const byModel = this.#waiters.get(groupId) ?? new Map<string, Set<Waiter<T>>>();
      const waiters = byModel.get(waiter.model) ?? new Set();
      waiters.add(waiter);
      byModel.set(waiter.model, waiters);
      this.#waiters.set(groupId, byModel);
    }
    this.#size += 1;
  }

  #remove(waiter: Waiter<T>): void {
    let wasThere = false;
    for (const groupId of waiter.groupIds) {
      const byModel = this.#waiters.get(groupId);
      const waiters = byModel?.get(waiter.model);
      if (byModel === undefined || waiters?.delete(waiter) !== true) continue;
      wasThere = true;
      if (waiters.size === 0) byModel.delete(waiter.model);
      if (byModel.size === 0) this.#waiters.delete(groupId);
    }
    if (wasThere) this.#size -= 1;
  }
}

/** The first of `waiters` that takes what is offered and came before `best`, else `best`. */
function firstOf<T>(
  waiters: Iterable<Waiter<T>>,
  best: Waiter<T> | undefined,
  takes: (waiter: Waiter<T>) => boolean,
): Waiter<T> | undefined {
  for (const waiter of waiters) {
    if (best !== undefined && waiter.order >= best.order) return best;
    if (takes(waiter)) return waiter;
  }
  return best;
}

function accepts<T extends { modelsIn(groupId: string): ReadonlySet<string> | undefined }>(
  waiter: Waiter<T>,
  target: T,
  groupId: string,
): boolean {
  return target.modelsIn(groupId)?.has(waiter.model) === true && waiter.accepts(target, groupId);
}

function busy(model: string): AppError {
  return new AppError("worker_busy", `All workers of the model "${model}" are busy. Try again shortly.`, {
    retryAfter: 5,
  });
}
