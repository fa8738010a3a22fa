/** The middle value; of an even number, the mean of the two in the middle. @throws RangeError when there are none. */
export function median(values: readonly number[]): number {
  return percentile(
    values.toSorted((a, b) => a - b),
    0.5,
  );
}

/**
 * The value below which a share `fraction` (0 to 1) of `sorted` lies, between two values linearly.
 *
 * @throws RangeError when there are none.
 */
export function percentile(sorted: ArrayLike<number>, fraction: number): number {
  if (sorted.length === 0) throw new RangeError("No values.");
  const place = fraction * (sorted.length - 1);
  const below = Math.floor(place);
  const lower = sorted[below] ?? Number.NaN;
  const upper = sorted[Math.min(below + 1, sorted.length - 1)] ?? Number.NaN;
  return lower + (upper - lower) * (place - below);
}

/** One measured value, and how many cores other programs used while it was taken. */
export interface Sample {
  readonly value: number;
  readonly foreignCores: number;
}

/** Several rounds in one line. */
export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** Rounds that count, of `total` taken. */
  readonly kept: number;
  readonly total: number;
  /** The busiest that others were in a round that counts, in cores. */
  readonly foreignCores: number;
}

/** With more than this many cores used by others a round says more about them than about what was measured. */
export const MAX_FOREIGN_CORES = 0.25;

/**
 * Leaves out rounds in which other programs were busy, if at least half of the rounds (and three of five) remain without
 * them; otherwise all count. `undefined` when there are none.
 */
export function summarize(samples: readonly Sample[]): Summary | undefined {
  const clean = samples.filter((sample) => sample.foreignCores <= MAX_FOREIGN_CORES);
  const counted = clean.length >= Math.ceil(samples.length / 2) ? clean : samples;
  if (counted.length === 0) return undefined;
  const values = counted.map((sample) => sample.value);
  return {
    median: median(values),
    min: Math.min(...values),
    max: Math.max(...values),
    kept: counted.length,
    total: samples.length,
    foreignCores: Math.max(...counted.map((sample) => sample.foreignCores)),
  };
}
