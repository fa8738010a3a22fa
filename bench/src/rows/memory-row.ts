import { setTimeout as wait } from "node:timers/promises";

import type { Held, Job } from "../generators/job.ts";
import { LoadMeter, residentBytesOf } from "../machine/cpu-meter.ts";
import { benchBody } from "../systems/bench-models.ts";
import { startSystem } from "../systems/start-system.ts";
import type { RunningSystem, SystemName } from "../systems/system.ts";
import { startHub } from "../systems/tokilake.ts";
import { type Bench, startGenerator } from "./bench.ts";
import { memoryFigureId, MEMORY_LEVELS } from "./figures.ts";

/** How long a process is left alone before its memory is read: the last answers are written, timers have run. */
const SETTLE_MS = 1000;
/** How long opening a level may take. Ten thousand sessions need half a minute of the generator alone. */
const OPEN_MS = 180_000;

/** Rounds of the peers: their memory hardly differs from one to the next, and they take half of the time. */
const PEER_ROUNDS = 3;

/** Memory per idle worker (hub only) and per open stream, each round with fresh processes on whatever core is free. */
export async function runMemoryRow(bench: Bench, systems: readonly SystemName[]): Promise<void> {
  bench.surroundings.programs.stopPinning();
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
    record: (count, bytes, foreignCores) =>
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
    record: (count, bytes, foreignCores) =>
      record(bench, { kind: "stream", count, system: name, round, bytes, foreignCores }),
  });
  await system.stop();
}

interface Holding {
  readonly job: Extract<Job, { readonly levels: readonly number[] }>;
  readonly pid: number;
  readonly collect: () => void;
  readonly record: (count: number, bytesEach: number, foreignCores: number) => void;
}

async function hold(bench: Bench, { job, pid, collect, record }: Holding): Promise<void> {
  const meter = new LoadMeter(() => bench.surroundings.programs.pids);
  const before = await settledBytes(pid, collect);
  const { program, lines } = startGenerator(bench, job);
  for (const level of job.levels) {
    // Written by generators/main.ts, of the same version as this program.
    const { open } = (await lines.next(OPEN_MS)) as Held;
    if (open !== level) throw new Error(`${open} are open instead of ${level}.`);
    const bytes = await settledBytes(pid, collect);
    record(level, (bytes - before) / level, meter.lap().foreignCores);
    lines.send("go on");
  }
  if ((await program.ended()) !== 0) throw new Error(`Something broke while it was held: ${program.said()}`);
}

async function settledBytes(pid: number, collect: () => void): Promise<number> {
  await wait(SETTLE_MS / 2);
  collect();
  await wait(SETTLE_MS / 2);
  return residentBytesOf(pid);
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
