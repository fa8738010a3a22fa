import { readFileSync } from "node:fs";

import { parseProcessStat, parseResidentBytes, parseSystemStat } from "./process-stat.ts";

/** Linux reports times in these whatever its own tick is (`USER_HZ`): one is 10 ms. */
const TICKS_PER_SECOND = 100;

/** CPU that these processes used since they started, in milliseconds (steps of 10). */
export function cpuMsOf(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) ticks += parseProcessStat(readFileSync(`/proc/${pid}/stat`, "latin1")).ownTicks;
  return (ticks * 1000) / TICKS_PER_SECOND;
}

/** Memory that a process holds in RAM, in bytes. */
export function residentBytesOf(pid: number): number {
  return parseResidentBytes(readFileSync(`/proc/${pid}/status`, "latin1"));
}

/** Time of a second with 10 ms steps: all cores, our processes, and what the host took. */
interface Reading {
  readonly atMs: number;
  readonly busyMs: number;
  readonly oursMs: number;
  readonly stolenMs: number;
}

/** Cores that others used on average, and that a virtual machine's host took away. */
export interface ForeignLoad {
  readonly foreignCores: number;
  readonly stolenCores: number;
}

/** Tells how busy the machine was with anything but this benchmark. */
export class LoadMeter {
  readonly #ownPids: () => readonly number[];
  #start: Reading;

  /** @param ownPids All running processes of the benchmark but this one; asked at each reading. */
  constructor(ownPids: () => readonly number[]) {
    this.#ownPids = ownPids;
    this.#start = this.#read();
  }

  /** Load since the last call, or since the start. */
  lap(): ForeignLoad {
    const start = this.#start;
    const end = this.#read();
    this.#start = end;
    const elapsedMs = end.atMs - start.atMs;
    const foreignMs = end.busyMs - start.busyMs - (end.oursMs - start.oursMs);
    return {
      foreignCores: Math.max(0, foreignMs / elapsedMs),
      stolenCores: (end.stolenMs - start.stolenMs) / elapsedMs,
    };
  }

  #read(): Reading {
    const system = parseSystemStat(readFileSync("/proc/stat", "latin1"));
    let ours = 0;
    // A child that ends moves into its parent's child ticks, so the sum over all of them never goes back.
    for (const pid of [process.pid, ...this.#ownPids()]) {
      const { ownTicks, childTicks } = parseProcessStat(readFileSync(`/proc/${pid}/stat`, "latin1"));
      ours += ownTicks + childTicks;
    }
    const toMs = 1000 / TICKS_PER_SECOND;
    return {
      atMs: performance.now(),
      busyMs: system.busyTicks * toMs,
      oursMs: ours * toMs,
      stolenMs: system.stolenTicks * toMs,
    };
  }
}
