import { setTimeout as wait } from "node:timers/promises";

import { cpuMsOf } from "../machine/cpu-meter.ts";
import type { LoadResult } from "./job.ts";

/** What is counted while a load runs. Read at both ends of the time that counts. */
export interface Counts {
  requests: number;
  events: number;
  errors: number;
  /** Of bodies, where the load is one of bytes. */
  bytes: number;
}

/** The part of a load that counts: after the warm-up, for a while, with the CPU that was used meanwhile. */
export async function measureWindow(
  counts: Counts,
  job: { readonly warmMs: number; readonly runMs: number; readonly watch: readonly number[] },
): Promise<LoadResult> {
  await wait(job.warmMs);
  const start = { ...counts, atMs: performance.now(), watchedMs: cpuMsOf(job.watch), own: process.cpuUsage() };
  await wait(job.runMs);
  const own = process.cpuUsage(start.own);
  return {
    elapsedMs: performance.now() - start.atMs,
    requests: counts.requests - start.requests,
    events: counts.events - start.events,
    errors: counts.errors,
    bytes: counts.bytes - start.bytes,
    watchedCpuMs: cpuMsOf(job.watch) - start.watchedMs,
    ownCpuMs: (own.user + own.system) / 1000,
  };
}
