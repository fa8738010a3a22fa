import { answerBody } from "../tunnel/answers.ts";
import { startTunnel, TUNNEL_NAMES, type TunnelName } from "../tunnel/start-tunnel.ts";
import { type Bench, inTurn, runLoad } from "./bench.ts";
import { type MeasuredLoad, measureOnce } from "./measure-once.ts";
import { ROUND_TRIPS_MS } from "./tunnel-figures.ts";

/** More rounds of the same line tell nothing new. */
const MAX_ROUNDS = 3;
/** At the longest round trip a window has grown in a second. */
const WARM_MS = 1500;
const GIGABIT_BYTES = 125_000_000;
const RAMP_SHARE = 0.8;

/** One stream over lines of several lengths, each time with fresh programs, so that every window grows anew. */
export async function runTunnelBulkRow(bench: Bench): Promise<void> {
  for (let round = 1; round <= Math.min(bench.options.rounds, MAX_ROUNDS); round += 1) {
    for (const roundTripMs of ROUND_TRIPS_MS) {
      for (const name of inTurn(TUNNEL_NAMES, round)) {
        const measure = () => measureBulk(bench, name, roundTripMs);
        await measureOnce(bench, { row: "tunnel-bulk", round, system: name, measure });
      }
    }
  }
}

/** @returns Gbit/s, CPU of the server per MB in µs, and how long the ramp took, by the ids of figures. */
export async function measureBulk(bench: Bench, name: TunnelName, roundTripMs: number): Promise<MeasuredLoad> {
  const system = await startTunnel(bench.surroundings, { name, sessions: 1, delayMs: roundTripMs / 2 });
  const { bytes, elapsedMs, watchedCpuMs, rampMs, errors } = await runLoad(bench, {
    kind: "bulk",
    target: system.target(),
    body: answerBody("bulk"),
    warmMs: bench.options.seconds === 1 ? 500 : WARM_MS,
    runMs: bench.options.seconds * 1000,
    watch: [system.pid],
    rampBytesPerSecond: RAMP_SHARE * GIGABIT_BYTES,
  });
  await system.stop();
  const values = {
    [`bulk-${roundTripMs}`]: (bytes * 1000) / elapsedMs / GIGABIT_BYTES,
    [`cpu-bulk-${roundTripMs}`]: (watchedCpuMs * 1000) / (bytes / 1e6),
    ...(rampMs !== undefined && { [`bulk-ramp-${roundTripMs}`]: rampMs }),
  };
  return { values, errors };
}
