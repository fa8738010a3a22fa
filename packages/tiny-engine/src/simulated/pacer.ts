/** Something to be run at its time. The pacer keeps it in a list through `nextPaced`, so nothing is allocated a token. */
export interface Paced {
  /** When to run, in the pacer's milliseconds. Written by `schedule`. */
  dueMs: number;
  nextPaced: Paced | undefined;
  /** One that is over is dropped without being run. */
  readonly isOver: boolean;
  step(): void;
}

const SLOTS = 1024;

/**
 * One timer for all paced streams: a wheel of 1 ms slots. A timer per stream costs more than the write it starts.
 * Runs only while something is scheduled. A stream that is late is run at once and keeps its rate from there.
 */
export class Pacer {
  readonly #slots: (Paced | undefined)[] = Array.from({ length: SLOTS }, () => undefined);
  #timer: NodeJS.Timeout | undefined;
  #tick = 0;
  #size = 0;

  /** Milliseconds of a clock that never goes back. */
  now(): number {
    return performance.now();
  }

  /** Runs `paced` at `dueMs` (at the next millisecond when that has passed). It must not be scheduled already. */
  schedule(paced: Paced, dueMs: number): void {
    if (this.#timer === undefined) {
      this.#tick = Math.floor(this.now());
      this.#timer = setInterval(() => this.#run(), 1);
    }
    paced.dueMs = dueMs;
    this.#size += 1;
    this.#insert(paced);
  }

  /** Stops the timer. What was scheduled is dropped. */
  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#slots.fill(undefined);
    this.#size = 0;
  }

  #insert(paced: Paced): void {
    const slot = Math.max(Math.ceil(paced.dueMs), this.#tick + 1) % SLOTS;
    paced.nextPaced = this.#slots[slot];
    this.#slots[slot] = paced;
  }

  #run(): void {
    const now = Math.floor(this.now());
    // After a pause of more than one turn every slot is due; visiting each once is enough.
    const from = Math.max(this.#tick + 1, now - SLOTS + 1);
    for (let tick = from; tick <= now; tick += 1) {
      this.#tick = tick;
      this.#runSlot(tick % SLOTS, now);
    }
    if (this.#size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }

  #runSlot(slot: number, now: number): void {
    let paced = this.#slots[slot];
    this.#slots[slot] = undefined;
    while (paced !== undefined) {
      const next: Paced | undefined = paced.nextPaced;
      paced.nextPaced = undefined;
      this.#runOne(paced, now);
      paced = next;
    }
  }

  #runOne(paced: Paced, now: number): void {
    if (!paced.isOver && paced.dueMs > now) {
      this.#insert(paced);
      return;
    }
    this.#size -= 1;
    if (!paced.isOver) paced.step();
  }
}
