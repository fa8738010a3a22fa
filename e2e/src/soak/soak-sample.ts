import { readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { readMetrics } from "../hub-metrics.ts";
import type { Hub } from "../hub.ts";
import type { RunningProcess } from "../running-process.ts";

const ROOT = join(import.meta.dirname, "../../..");
/** Collecting 100 MB takes a tenth of a second. */
const COLLECT_MS = 300;

/** A program with this in its environment collects its garbage at SIGUSR2. */
export const COLLECTING = {
  NODE_OPTIONS: `--expose-gc --import=${join(ROOT, "bench/src/systems/collect-garbage-on-signal.ts")}`,
} as const;

/** What is looked at for growth. All sizes in bytes, after a collection of garbage. */
export interface Sizes {
  readonly hubHeap: number;
  readonly hubExternal: number;
  readonly hubResident: number;
  /** Open files and sockets. */
  readonly hubHandles: number;
  readonly workerResident: number;
  readonly workerHandles: number;
}

export interface Sample {
  /** Of `performance.now()`. */
  readonly atMs: number;
  readonly sizes: Sizes;
  readonly sessions: number;
  readonly streams: number;
  readonly requests: number;
  /** Of the hub's event loop since the sample before. */
  readonly loopP99Ms: number;
  readonly loopMaxMs: number;
}

/** Looks at the hub and one real worker. Both must run with `COLLECTING`. */
export async function takeSample(hub: Hub, worker: RunningProcess): Promise<Sample> {
  // The delay first: collecting garbage is one.
  const before = await readMetrics(hub.url);
  for (const program of [hub.process, worker]) program.kill("SIGUSR2");
  await sleep(COLLECT_MS);
  const after = await readMetrics(hub.url);
  const value = (name: string): number => after.get(name) ?? NaN;
  return {
    atMs: performance.now(),
    sizes: {
      hubHeap: value("nodejs_heap_used_bytes"),
      hubExternal: value("nodejs_external_bytes"),
      hubResident: value("process_resident_memory_bytes"),
      hubHandles: handlesOf(hub.process),
      workerResident: worker.rssBytes(),
      workerHandles: handlesOf(worker),
    },
    sessions: value("tunnel_connections"),
    streams: value("tunnel_streams_active"),
    requests: value("tokilake_requests_in_flight"),
    loopP99Ms: (before.get("tokilake_event_loop_delay_p99_seconds") ?? NaN) * 1000,
    loopMaxMs: (before.get("tokilake_event_loop_delay_max_seconds") ?? NaN) * 1000,
  };
}

function handlesOf(program: RunningProcess): number {
  return readdirSync(`/proc/${program.pid}/fd`).length;
}
