import { benchBody } from "../systems/bench-models.ts";
import { startSystem } from "../systems/start-system.ts";
import type { RunningSystem, SystemName } from "../systems/system.ts";
import { startHub } from "../systems/tokilake.ts";
import type { Bench } from "./bench.ts";
import { hold } from "./hold.ts";
import { memoryFigureId, MEMORY_LEVELS } from "./hub-figures.ts";

/** Rounds of the peers: their memory hardly differs from one to the next, and they take half of the time. */
const PEER_ROUNDS = 3;

/** Memory per idle worker (hub only) and per open stream, each round with fresh processes on whatever core is free. */
export async function runMemoryRow(bench: Bench, systems: readonly SystemName[]): Promise<void> {
  for (let round = 1; round <= bench.options.rounds; round += 1) {
    const peers = round > PEER_ROUNDS ? [] : systems.filter((name) => name !== "tokilake");
    // Side by side: memory does not depend on how long opening takes.
    const measured = peers.map((name) => measureStreams(bench, name, round));
    if (!systems.includes("tokilake")) {
      await Promise.all(measured);
      continue;
    }
    const [hub] = await Promise.all([startForStreams(bench, "tokilake"), measureWorkers(bench, round), ...measured]);
    await measureStreamsOf(bench, hub, round);
  }
}

async function measureWorkers(bench: Bench, round: number): Promise<void> {
  const hub = await startHub(bench.surroundings);
  const { url, workerKey: token } = hub;
  await hold(bench, {
    job: { kind: "hold-workers", url, token, levels: MEMORY_LEVELS.worker },
    pid: hub.pid,
    collect: () => hub.collectGarbage(),
    onLevel: (count, bytes, foreignCores) =>
      record(bench, { kind: "worker", count, system: "tokilake", round, bytes, foreignCores }),
  });
  await hub.stop();
}

async function measureStreams(bench: Bench, name: SystemName, round: number): Promise<void> {
  await measureStreamsOf(bench, await startForStreams(bench, name), round);
}

function startForStreams(bench: Bench, name: SystemName): Promise<RunningSystem> {
  return startSystem(name, { ...bench.surroundings, streams: Math.max(...MEMORY_LEVELS.stream) });
}

async function measureStreamsOf(bench: Bench, system: RunningSystem, round: number): Promise<void> {
  const { name, pid } = system;
  if (pid === undefined) throw new Error(`${name} has no process.`);
  await hold(bench, {
    job: {
      kind: "hold-streams",
      target: system.target(),
      body: benchBody("bench-slow"),
      levels: MEMORY_LEVELS.stream,
    },
    pid,
    collect: () => {},
    onLevel: (count, bytes, foreignCores) =>
      record(bench, { kind: "stream", count, system: name, round, bytes, foreignCores }),
  });
  await system.stop();
}

interface Memory {
  readonly kind: "worker" | "stream";
  readonly count: number;
  readonly system: RunningSystem["name"];
  readonly round: number;
  readonly bytes: number;
  readonly foreignCores: number;
}

function record(bench: Bench, memory: Memory): void {
  const { kind, count, system, round, bytes, foreignCores } = memory;
  // Memory does not depend on what else runs; the load is kept for who wants to know.
  const sample = { round, value: bytes / 1024, foreignCores: 0 };
  bench.results.record(memoryFigureId(kind, count), system, sample);
  const load = foreignCores > 0.1 ? `  (foreign ${foreignCores.toFixed(2)})` : "";
  bench.say(
    `memory ${round}/${bench.options.rounds} ${system}: ${count} ${kind}s, ${sample.value.toFixed(1)} KB each${load}`,
  );
}
