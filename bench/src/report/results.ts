import { type Sample, type Summary, summarize } from "./statistics.ts";

/** A value, of which round, and what the machine did meanwhile. */
export interface RoundSample extends Sample {
  readonly round: number;
}

/** All samples of a run, by figure and system. */
export class Results {
  readonly #samples = new Map<string, RoundSample[]>();

  /** Adds one value. */
  record(figure: string, system: string, sample: RoundSample): void {
    const key = `${figure} ${system}`;
    const samples = this.#samples.get(key);
    if (samples === undefined) this.#samples.set(key, [sample]);
    else samples.push(sample);
  }

  /** Median, least and most of the rounds that count; `undefined` when nothing was measured. */
  summary(figure: string, system: string): Summary | undefined {
    return summarize(this.#of(figure, system));
  }

  /** The same of what `system` takes more than `base` in the same round. */
  addedSummary(figure: string, system: string, base: string): Summary | undefined {
    const bases = new Map(this.#of(figure, base).map((sample) => [sample.round, sample]));
    const added: Sample[] = [];
    for (const sample of this.#of(figure, system)) {
      const other = bases.get(sample.round);
      if (other === undefined) continue;
      const foreignCores = Math.max(sample.foreignCores, other.foreignCores);
      added.push({ value: sample.value - other.value, foreignCores });
    }
    return summarize(added);
  }

  #of(figure: string, system: string): readonly RoundSample[] {
    return this.#samples.get(`${figure} ${system}`) ?? [];
  }
}
