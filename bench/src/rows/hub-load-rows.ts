import type { LoadResult } from "../generators/job.ts";
import { type BenchModel, benchBody, FIRST_TOKEN, PACED_PER_SECOND } from "../systems/bench-models.ts";
import type { RunningSystem } from "../systems/system.ts";
import { type Bench, runLoad } from "./bench.ts";
import { CONNECTIONS, type LoadRow, PACED_STREAMS, perUnit, runClosedLoad, SPREAD_MS, timesOf } from "./load-row.ts";

/** The rows of the hub and its peers that are loads. */
export const HUB_LOAD_ROWS: readonly LoadRow[] = [
  {
    name: "request",
    needsDirect: false,
    async measure(bench, system, round) {
      const job = { ...loadOf(bench, system, round, "bench-answer"), connections: CONNECTIONS };
      const result = await runClosedLoad(bench, job);
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

/** A load with requests for one of the engine's models. */
function loadOf(bench: Bench, system: RunningSystem, round: number, model: BenchModel) {
  return { target: system.target(), body: benchBody(model), ...timesOf(bench, system, round) };
}

function latencyOf(result: LoadResult): { readonly p50: number; readonly p99: number } {
  if (result.latency === undefined) throw new Error("The generator gave no latency.");
  return result.latency;
}
