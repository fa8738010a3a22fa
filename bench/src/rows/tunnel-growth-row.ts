import { answerBody } from "../tunnel/answers.ts";
import { type RunningTunnel, sessionsFor, startTunnel } from "../tunnel/start-tunnel.ts";
import { type Bench, inTurn, runLoad } from "./bench.ts";
import { hold } from "./hold.ts";
import { CONNECTIONS, timesOf } from "./load-row.ts";
import { type MeasuredLoad, measureOnce } from "./measure-once.ts";
import { OPEN_STREAMS } from "./tunnel-figures.ts";

const PER_SECOND = 1000;
const NAMES = ["v2", "direct"] as const;

/** What a request costs while more and more streams are open: as much as before. */
export async function runTunnelGrowthRow(bench: Bench, levels: readonly number[] = OPEN_STREAMS): Promise<void> {
  const sessions = sessionsFor(Math.max(...levels) + CONNECTIONS);
  const starting = NAMES.map((name) => startTunnel(bench.surroundings, { name, sessions }));
  const systems = await Promise.all(starting);
  for (let round = 1; round <= bench.options.rounds; round += 1) {
    for (const system of inTurn(systems, round)) await measureGrowth(bench, { system, round, levels });
  }
  await Promise.all(systems.map((system) => system.stop()));
}

interface Growth {
  readonly system: RunningTunnel;
  readonly round: number;
  readonly levels: readonly number[];
}

async function measureGrowth(bench: Bench, { system, round, levels }: Growth): Promise<void> {
  let first = Number.NaN;
  const measure = async (level: number): Promise<MeasuredLoad> => {
    const { watchedCpuMs, requests, errors } = await runRequests(bench, system, round);
    const cost = (watchedCpuMs * 1000) / requests;
    if (level === levels[0]) first = cost;
    const growth = level === levels.at(-1) ? { growth: cost / first } : {};
    return { values: { [`cpu-tunnel-open-${level}`]: cost, ...growth }, errors };
  };
  await hold(bench, {
    job: { kind: "hold-streams", target: system.target(), body: answerBody("silent"), levels },
    pid: system.pid,
    collect: () => {},
    onLevel: (level) =>
      measureOnce(bench, { row: "tunnel-growth", round, system: system.name, measure: () => measure(level) }),
  });
}

function runRequests(bench: Bench, system: RunningTunnel, round: number) {
  const load = { target: system.target(), body: answerBody("whole"), ...timesOf(bench, system, round), seed: round };
  return runLoad(bench, { kind: "open-loop", ...load, connections: CONNECTIONS, perSecond: PER_SECOND, until: "end" });
}
