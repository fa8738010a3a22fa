import type { RunningSystem } from "../systems/system.ts";
import { answerBody, PACE_MS } from "../tunnel/answers.ts";
import { sessionsFor } from "../tunnel/start-tunnel.ts";
import { type Bench, runLoad } from "./bench.ts";
import { CONNECTIONS, type LoadRow, PACED_STREAMS, perUnit, runClosedLoad, SPREAD_MS, timesOf } from "./load-row.ts";
import { FLAT_OUT_STREAMS } from "./tunnel-figures.ts";

/** A load on servers whose worker has so many connections. */
export interface TunnelLoadRow extends LoadRow {
  readonly sessions: number;
}

/** The tunnel's rows that are loads. */
export const TUNNEL_LOAD_ROWS: readonly TunnelLoadRow[] = [
  {
    name: "tunnel-request",
    sessions: 1,
    needsDirect: false,
    async measure(bench, system, round) {
      const job = { ...loadOf(bench, system, round), body: answerBody("whole"), connections: CONNECTIONS };
      const result = await runClosedLoad(bench, job);
      return perUnit("tunnel-request", result, result.requests);
    },
  },
  {
    name: "tunnel-chunks",
    sessions: sessionsFor(PACED_STREAMS),
    needsDirect: false,
    async measure(bench, system, round) {
      const load = loadOf(bench, system, round);
      // As in the hub's row: all last until the time that counts is over, then end by themselves.
      const wholeMs = SPREAD_MS + load.warmMs + load.runMs + 500;
      const body = answerBody("paced", Math.ceil(wholeMs / PACE_MS));
      const streams = { streams: PACED_STREAMS, spreadMs: SPREAD_MS, repeats: false };
      const result = await runLoad(bench, { kind: "streams", ...load, ...streams, body });
      return perUnit("tunnel-paced", result, result.events);
    },
  },
  ...FLAT_OUT_STREAMS.map((streams): TunnelLoadRow => ({
    name: "tunnel-chunks",
    sessions: sessionsFor(streams),
    needsDirect: false,
    async measure(bench, system, round) {
      const load = { ...loadOf(bench, system, round), body: answerBody("flat-out") };
      const result = await runLoad(bench, { kind: "streams", ...load, streams, spreadMs: SPREAD_MS, repeats: true });
      return perUnit(`tunnel-flat-${streams}`, result, result.events);
    },
  })),
];

function loadOf(bench: Bench, system: RunningSystem, round: number) {
  return { target: system.target(), ...timesOf(bench, system, round) };
}
