import { ClientConnection, readBuffer, requestBytes } from "./client-connection.ts";
import type { BulkJob, LoadResult } from "./job.ts";
import { type Counts, measureWindow } from "./window.ts";

/** How often the ramp is looked at, and the stretch that must be fast enough. */
const LOOK_MS = 20;
const STRETCH_LOOKS = 5;

/** Reads one answer without end. */
export async function runBulk(job: BulkJob): Promise<LoadResult> {
  const counts: Counts = { requests: 0, events: 0, errors: 0, bytes: 0 };
  const connection = new ClientConnection(job.target.port, readBuffer(), {
    head(status) {
      if (status !== 200) counts.errors += 1;
    },
    body(_bytes, start, end) {
      counts.bytes += end - start;
    },
    end: () => (counts.errors += 1),
    failed: () => (counts.errors += 1),
  });
  connection.send(requestBytes(job.target, job.body));
  const ramp = new Ramp(job.rampBytesPerSecond, () => counts.bytes);
  const result = await measureWindow(counts, job);
  ramp.stop();
  connection.close();
  return { ...result, rampMs: ramp.reachedMs };
}

/** When a count first grew as fast as asked, over a tenth of a second. */
class Ramp {
  /** From the start, in milliseconds; undefined: not yet. */
  reachedMs: number | undefined;
  readonly #startMs = performance.now();
  readonly #looks: { readonly atMs: number; readonly count: number }[] = [];
  readonly #timer: NodeJS.Timeout;

  constructor(perSecond: number, count: () => number) {
    this.#timer = setInterval(() => {
      const now = { atMs: performance.now(), count: count() };
      this.#looks.push(now);
      const before = this.#looks.length > STRETCH_LOOKS ? this.#looks.shift() : undefined;
      if (before === undefined || this.reachedMs !== undefined) return;
      const rate = ((now.count - before.count) * 1000) / (now.atMs - before.atMs);
      if (rate >= perSecond) this.reachedMs = now.atMs - this.#startMs;
    }, LOOK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
