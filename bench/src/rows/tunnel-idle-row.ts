import { setTimeout as wait } from "node:timers/promises";

import { cpuMsOf } from "../machine/cpu-meter.ts";
import { startTunnel } from "../tunnel/start-tunnel.ts";
import type { Bench } from "./bench.ts";
import { hold } from "./hold.ts";
import { measureOnce } from "./measure-once.ts";
import { IDLE_WORKERS } from "./tunnel-figures.ts";

/** Memory hardly differs from one round to the next, and ten thousand handshakes take their time. */
const MAX_ROUNDS = 2;
/** As the tunnel asks its peers: every one of them comes once. */
const HEARTBEAT_MS = 15_000;

/** Workers that are connected and have nothing to do: memory of each, and what their heartbeats cost. */
export async function runTunnelIdleRow(bench: Bench, levels: readonly number[] = IDLE_WORKERS): Promise<void> {
  for (let round = 1; round <= Math.min(bench.options.rounds, MAX_ROUNDS); round += 1) {
    const server = await startTunnel(bench.surroundings, { name: "v2", sessions: 0 });
    await hold(bench, {
      job: { kind: "hold-workers", url: server.url, token: "bench", levels },
      pid: server.pid,
      collect: () => server.collectGarbage(),
      onLevel: (level, bytesEach) => {
        const measure = async () => {
          const memory = { [`memory-tunnel-worker-${level}`]: bytesEach / 1024 };
          const isLast = level === levels.at(-1);
          const cpu = isLast ? { "cpu-tunnel-idle": await cpuPerSecond(bench, server.pid) } : {};
          return { values: { ...memory, ...cpu }, errors: 0 };
        };
        return measureOnce(bench, { row: "tunnel-idle", round, system: "v2", measure });
      },
    });
    await server.stop();
  }
}

/** Milliseconds of CPU in a second. */
async function cpuPerSecond({ options }: Bench, pid: number): Promise<number> {
  const forMs = options.seconds === 1 ? 1000 : HEARTBEAT_MS;
  const startMs = cpuMsOf([pid]);
  await wait(forMs);
  return ((cpuMsOf([pid]) - startMs) * 1000) / forMs;
}
