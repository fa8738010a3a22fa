/** Who may send a large body now: so many at a time, the others in the order they came. */
export class UploadTurns {
  readonly #atOnce: number;
  readonly #holders = new Set<object>();
  readonly #waiting = new Map<object, () => void>();

  constructor(atOnce: number) {
    this.#atOnce = atOnce;
  }

  /** True: go on. False: `onTurn` is called when it may. */
  take(who: object, onTurn: () => void): boolean {
    if (this.#holders.size >= this.#atOnce) {
      this.#waiting.set(who, onTurn);
      return false;
    }
    this.#holders.add(who);
    return true;
  }

  /** Done, or not interested any more. */
  release(who: object): void {
    this.#waiting.delete(who);
    if (!this.#holders.delete(who)) return;
    for (const [next, onTurn] of this.#waiting) {
      this.#waiting.delete(next);
      this.#holders.add(next);
      onTurn();
      return;
    }
  }
}
