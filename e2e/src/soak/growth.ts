/** One number at one time. */
export interface Reading {
  readonly atMs: number;
  readonly value: number;
}

/**
 * How much the value rose over the time of the readings, by the straight line that fits them best (least squares): one
 * high reading at the end counts for little, a steady climb for all of itself. 0 with fewer than two readings.
 */
export function riseOf(readings: readonly Reading[]): number {
  const [first] = readings;
  const last = readings.at(-1);
  if (first === undefined || last === undefined || last.atMs === first.atMs) return 0;
  const meanAt = mean(readings.map((reading) => reading.atMs));
  const meanValue = mean(readings.map((reading) => reading.value));
  let above = 0;
  let below = 0;
  for (const { atMs, value } of readings) {
    above += (atMs - meanAt) * (value - meanValue);
    below += (atMs - meanAt) ** 2;
  }
  return (above / below) * (last.atMs - first.atMs);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
