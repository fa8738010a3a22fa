import { setTimeout as wait } from "node:timers/promises";

import { cpuMsOf } from "../machine/cpu-meter.ts";
import { startTunnel } from "../tunnel/start-tunnel.ts";
import type { Bench } from "./bench.ts";
import { hold } from "./hold.ts";
import { type MeasuredLoad, measureOnce } from "./measure-once.ts";
import { IDLE_WORKERS } from "./tunnel-figures.ts";

/** As the tunnel asks its peers: every one of them comes once. */
const HEARTBEAT_MS = 15_000;

/**
 * Workers that are connected and have nothing to do: memory of each, and what their heartbeats cost. One round: memory
 * hardly differs from one to the next, and ten thousand handshakes take half a minute and more.
 */
export async function runTunnelIdleRow(bench: Bench, levels: readonly number[] = IDLE_WORKERS): Promise<void> {
  const server = await startTunnel(bench.surroundings, { name: "v2", sessions: 0 });
  const measure = async (level: number, bytesEach: number): Promise<MeasuredLoad> => {
    const memory = { [`memory-tunnel-worker-${level}`]: bytesEach / 1024 };
    if (level !== levels.at(-1)) return { values: memory, errors: 0 };
    return { values: { ...memory, "cpu-tunnel-idle": await cpuPerSecond(bench, server.pid) }, errors: 0 };
  };
  await hold(bench, {
    job: { kind: "hold-workers", url: server.url, token: "bench", levels },
    pid: server.pid,
    collect: () => server.collectGarbage(),
    onLevel: (level, bytes) =>
      measureOnce(bench, { row: "tunnel-idle", round: 1, system: "v2", measure: () => measure(level, bytes) }),
  });
  await server.stop();
}

/** Milliseconds of CPU in a second. */
async function cpuPerSecond({ options }: Bench, pid: number): Promise<number> {
  const forMs = options.seconds === 1 ? 1000 : HEARTBEAT_MS;
  const startMs = cpuMsOf([pid]);
  await wait(forMs);
  return ((cpuMsOf([pid]) - startMs) * 1000) / forMs;
}
