/** A clock that was set, or a machine that slept, is noticed within this time. */
const LONGEST_SLEEP_MS = 60_000;

export interface DueTimesOptions<T> {
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** When `item` is due as it is now; undefined: never. What was added for another time is forgotten. */
  readonly dueAtMs: (item: T) => number | undefined;
  readonly onDue: (item: T) => void;
}

interface Entry<T> {
  readonly atMs: number;
  readonly item: T;
}

/** Calls back when an item's time has come: one timer for all of them. Does not keep the process alive. */
export class DueTimes<T> implements Disposable {
  readonly #options: DueTimesOptions<T>;
  /** A binary heap, the earliest first. An item whose time was changed is in it more than once. */
  #heap: Entry<T>[] = [];
  #rebuildAt = 1_024;
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Infinity;

  constructor(options: DueTimesOptions<T>) {
    this.#options = options;
  }

  /** Entries held, outdated ones included: never more than twice the current ones, or 1,024. */
  get size(): number {
    return this.#heap.length;
  }

  /** `item` has a new time: the one that `dueAtMs` says. */
  add(item: T): void {
    const atMs = this.#options.dueAtMs(item);
    if (atMs === undefined) return;
    if (this.#heap.length >= this.#rebuildAt) this.#rebuild();
    this.#push({ atMs, item });
    this.#arm();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#timerAtMs = Infinity;
    this.#heap = [];
  }

  #arm(): void {
    const first = this.#heap[0];
    if (first === undefined || first.atMs >= this.#timerAtMs) return;
    clearTimeout(this.#timer);
    this.#timerAtMs = first.atMs;
    const waitMs = Math.min(Math.max(first.atMs - this.#options.now(), 0), LONGEST_SLEEP_MS);
    this.#timer = setTimeout(() => this.#look(), waitMs).unref();
  }

  #look(): void {
    this.#timerAtMs = Infinity;
    const nowMs = this.#options.now();
    for (let first = this.#heap[0]; first !== undefined && first.atMs <= nowMs; first = this.#heap[0]) {
      this.#pop();
      if (this.#isCurrent(first)) this.#options.onDue(first.item);
    }
    this.#arm();
  }

  #isCurrent({ atMs, item }: Entry<T>): boolean {
    return this.#options.dueAtMs(item) === atMs;
  }

  #rebuild(): void {
    const current = this.#heap.filter((entry) => this.#isCurrent(entry));
    this.#heap = [];
    for (const entry of current) this.#push(entry);
    this.#rebuildAt = Math.max(1_024, 2 * current.length);
  }

  #push(entry: Entry<T>): void {
    let place = this.#heap.length;
    this.#heap.push(entry);
    while (place > 0) {
      const parent = (place - 1) >> 1;
      const above = this.#heap[parent];
      if (above === undefined || above.atMs <= entry.atMs) break;
      this.#heap[place] = above;
      place = parent;
    }
    this.#heap[place] = entry;
  }

  #pop(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    let place = 0;
    for (;;) {
      const left = 2 * place + 1;
      const [one, other] = [this.#heap[left], this.#heap[left + 1]];
      if (one === undefined) break;
      const isOtherFirst = other !== undefined && other.atMs < one.atMs;
      const first = isOtherFirst ? other : one;
      if (first.atMs >= last.atMs) break;
      this.#heap[place] = first;
      place = isOtherFirst ? left + 1 : left;
    }
    this.#heap[place] = last;
  }
}
