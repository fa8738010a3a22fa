/** Sum of a gauge over its labels, from Prometheus text. Undefined when it is not there. */
export function metricValue(text: string | undefined, name: string): number | undefined {
  let sum: number | undefined;
  for (const line of text?.split("\n") ?? []) {
    if (!line.startsWith(name) || !/^[ {]/.test(line.slice(name.length))) continue;
    const value = Number(line.slice(line.lastIndexOf(" ") + 1));
    if (Number.isFinite(value)) sum = (sum ?? 0) + value;
  }
  return sum;
}
