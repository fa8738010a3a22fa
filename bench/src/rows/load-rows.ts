import type { LoadResult } from "../generators/job.ts";
import type { RowName } from "../options.ts";
import { type BenchModel, benchBody, FIRST_TOKEN, PACED_PER_SECOND } from "../systems/bench-models.ts";
import type { RunningSystem } from "../systems/system.ts";
import { type Bench, runLoad } from "./bench.ts";
import { hasWrk, runWrk } from "./wrk.ts";

/** A row that puts a load on one system after the other. */
export interface LoadRow {
  readonly name: RowName;
  /** The engine without anything in front is measured too. */
  readonly needsDirect: boolean;
  /** @returns values by the ids of figures and load lines. */
  measure(bench: Bench, system: RunningSystem, round: number): Promise<MeasuredLoad>;
}

/** What one round of one system gave. */
export interface MeasuredLoad {
  readonly values: Readonly<Record<string, number>>;
  readonly errors: number;
}

/** Streams that the paced row has open at once. */
export const PACED_STREAMS = 400;
/** Streams are opened over so long, so that their chunks do not come in one burst. */
const SPREAD_MS = 400;
/** Connections of the request and latency rows. */
const CONNECTIONS = 64;

/** The rows that are loads, by name. */
export const LOAD_ROWS: readonly LoadRow[] = [
  {
    name: "request",
    needsDirect: false,
    async measure(bench, system, round) {
      const job = { ...loadOf(bench, system, round, "bench-answer"), connections: CONNECTIONS };
      const result = hasWrk()
        ? await runWrk(bench.surroundings.programs, job)
        : await runLoad(bench, { kind: "closed-loop", ...job });
      return perUnit("request", result, result.requests);
    },
  },
  {
    name: "stream-paced",
    needsDirect: false,
    async measure(bench, system, round) {
      const load = loadOf(bench, system, round, "bench-paced");
      const wholeMs = SPREAD_MS + load.warmMs + load.runMs;
      // All streams last until the time that counts is over, then end by themselves. Half a second for a late start.
      const body = benchBody("bench-paced", Math.ceil(((wholeMs + 500) * PACED_PER_SECOND) / 1000));
      const streams = { streams: PACED_STREAMS, spreadMs: SPREAD_MS, repeats: false };
      const result = await runLoad(bench, { kind: "streams", ...load, ...streams, body });
      return perUnit("paced", result, result.events);
    },
  },
  {
    name: "stream-flat-out",
    needsDirect: false,
    async measure(bench, system, round) {
      const load = loadOf(bench, system, round, "bench-flat-out");
      const result = await runLoad(bench, {
        kind: "streams",
        ...load,
        streams: 200,
        spreadMs: SPREAD_MS,
        repeats: true,
      });
      return perUnit("flat-out", result, result.events);
    },
  },
  {
    name: "latency",
    needsDirect: true,
    async measure(bench, system, round) {
      const load = { ...loadOf(bench, system, round, "bench-answer"), connections: CONNECTIONS, seed: round };
      const result = await runLoad(bench, { kind: "open-loop", ...load, perSecond: 1000, until: "end" });
      const { p50, p99 } = latencyOf(result);
      return { values: { "latency-p50": p50, "latency-p99": p99 }, errors: result.errors };
    },
  },
  {
    name: "first-token",
    needsDirect: true,
    async measure(bench, system, round) {
      const load = { ...loadOf(bench, system, round, "bench-short"), connections: CONNECTIONS, seed: round };
      const until = { text: FIRST_TOKEN };
      const result = await runLoad(bench, { kind: "open-loop", ...load, perSecond: 200, until });
      return { values: { "first-token-p50": latencyOf(result).p50 }, errors: result.errors };
    },
  },
];

/** The part that all loads share. */
function loadOf(bench: Bench, system: RunningSystem, round: number, model: BenchModel) {
  const runMs = bench.options.seconds * 1000;
  return {
    target: system.target(),
    body: benchBody(model),
    warmMs: warmMs(bench, round),
    runMs,
    watch: system.pid === undefined ? [] : [system.pid],
  };
}

/** What just started, or waited for long, warms up longer: V8 compiles it (again). */
function warmMs({ options }: Bench, round: number): number {
  // A run this short only tells whether everything works.
  if (options.seconds === 1) return 500;
  return round === 1 || options.isPatient ? 2000 : 1000;
}

function perUnit(id: string, result: LoadResult, units: number): MeasuredLoad {
  return {
    values: {
      [`cpu-${id}`]: (result.watchedCpuMs * 1000) / units,
      [`rate-${id}`]: (units * 1000) / result.elapsedMs,
      [`cores-${id}`]: result.watchedCpuMs / result.elapsedMs,
    },
    errors: result.errors,
  };
}

function latencyOf(result: LoadResult): { readonly p50: number; readonly p99: number } {
  if (result.latency === undefined) throw new Error("The generator gave no latency.");
  return result.latency;
}
