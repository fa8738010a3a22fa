/**
 * Keeps a label's values to a number: the first `max` different ones are given back as they are, every later one is `other`.
 * Each value of a label is a time series for ever, and some are chosen by clients and workers.
 */
export class LabelLimit {
  readonly #max: number;
  readonly #values = new Set<string>();

  constructor(max: number) {
    this.#max = max;
  }

  value(value: string): string {
    if (this.#values.has(value)) return value;
    if (this.#values.size >= this.#max || value.length > 128) return "other";
    this.#values.add(value);
    return value;
  }
}
