import type { ClosedLoopJob, LoadResult } from "../generators/job.ts";
import type { RowName } from "../options.ts";
import type { RunningSystem } from "../systems/system.ts";
import { type Bench, runLoad } from "./bench.ts";
import type { MeasuredLoad } from "./measure-once.ts";
import { hasWrk, runWrk } from "./wrk.ts";

/** A row that puts a load on one system after the other. */
export interface LoadRow {
  readonly name: RowName;
  /** The engine without anything in front is measured too. */
  readonly needsDirect: boolean;
  /** @returns values by the ids of figures and load lines. */
  measure(bench: Bench, system: RunningSystem, round: number): Promise<MeasuredLoad>;
}

/** Streams that the paced row has open at once. */
export const PACED_STREAMS = 400;
/** Streams are opened over so long, so that their chunks do not come in one burst. */
export const SPREAD_MS = 400;
/** Connections of the request and latency rows. */
export const CONNECTIONS = 64;

/** The part that all loads share: how long, and whose CPU. */
export function timesOf(bench: Bench, system: RunningSystem, round: number) {
  const runMs = bench.options.seconds * 1000;
  return { warmMs: warmMs(bench, round), runMs, watch: system.pid === undefined ? [] : [system.pid] };
}

/** A closed loop, by wrk where it is installed. */
export function runClosedLoad(bench: Bench, job: Omit<ClosedLoopJob, "kind">): Promise<LoadResult> {
  return hasWrk() ? runWrk(bench.surroundings.programs, job) : runLoad(bench, { kind: "closed-loop", ...job });
}

/** What just started, or waited for long, warms up longer: V8 compiles it (again). */
function warmMs({ options }: Bench, round: number): number {
  // A run this short only tells whether everything works.
  if (options.seconds === 1) return 500;
  return round === 1 || options.isPatient ? 2000 : 1000;
}

/** Three values of a load that many units came of: CPU for each in µs, units a second, cores used. */
export function perUnit(id: string, result: LoadResult, units: number): MeasuredLoad {
  return {
    values: {
      [`cpu-${id}`]: (result.watchedCpuMs * 1000) / units,
      [`rate-${id}`]: (units * 1000) / result.elapsedMs,
      [`cores-${id}`]: result.watchedCpuMs / result.elapsedMs,
    },
    errors: result.errors,
  };
}
