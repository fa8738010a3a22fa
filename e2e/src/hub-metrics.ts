/** The values of `GET /metrics` by name and labels, as in `tunnel_connects_total{result="accepted"}`. */
export async function readMetrics(hubUrl: string): Promise<ReadonlyMap<string, number>> {
  const answer = await fetch(`${hubUrl}/metrics`);
  if (!answer.ok) throw new Error(`GET /metrics gives ${answer.status}.`);
  const values = new Map<string, number>();
  for (const line of (await answer.text()).split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const blank = line.lastIndexOf(" ");
    values.set(line.slice(0, blank), Number(line.slice(blank + 1)));
  }
  return values;
}

/** One value; 0 for a counter that has not counted yet. */
export async function readMetric(hubUrl: string, name: string): Promise<number> {
  return (await readMetrics(hubUrl)).get(name) ?? 0;
}
