import { setTimeout as sleep } from "node:timers/promises";

import { startEngineProcess } from "../engine.ts";
import { eventually } from "../eventually.ts";
import { createKey, Hub } from "../hub.ts";
import { RunningProcess } from "../running-process.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { startWorker } from "../worker.ts";
import type { CrowdLine, CrowdOptions } from "./crowd.ts";
import { riseOf } from "./growth.ts";
import { MODELS, SoakClients, type SoakCounts } from "./soak-clients.ts";
import { COLLECTING, type Sample, type Sizes, takeSample } from "./soak-sample.ts";

export interface SoakShape {
  readonly minutes: number;
  /** Running at any time. */
  readonly streams: number;
  /** Besides the two real ones. One in ten of them leaves without a word. */
  readonly workers: number;
  /** How often one leaves and another one joins, in each of the two crowds. */
  readonly changeEveryMs: number;
  /** Length and pace of each answer. */
  readonly answer: { readonly tokens: number; readonly everyMs: number };
}

/** Answers of 10 s, so that some begin and end all the time. */
export const FULL_SOAK = {
  minutes: 10,
  streams: 1000,
  workers: 100,
  changeEveryMs: 1000,
  answer: { tokens: 40, everyMs: 250 },
} as const satisfies SoakShape;

export interface SoakResult {
  readonly counts: SoakCounts;
  readonly workersLeft: number;
  readonly samples: readonly Sample[];
  /** What is not as it must be; empty: the soak passed. */
  readonly problems: readonly string[];
}

const MiB = 1024 * 1024;
const SAMPLES = 24;
const SHORTEST_WINDOW_MS = 1500;
/** The first part of the samples is warm-up: code is compiled, buffers and caches find their size. */
const WARM_UP = 0.4;
/** An event loop that stands still for longer delays every token of every stream. */
const MAX_LOOP_P99_MS = 100;
/**
 * How much each may rise from the end of the warm-up to the end. A margin for noise, not for growth: it stays the same
 * however long the soak is. The collector gives memory back to the system when it likes, so resident sizes need more.
 */
const MAX_RISE: Sizes = {
  hubHeap: 6 * MiB,
  hubExternal: 8 * MiB,
  hubResident: 48 * MiB,
  hubHandles: 40,
  workerResident: 32 * MiB,
  workerHandles: 40,
};
/** What may stay of the heap when all have gone: compiled code, and buffers kept for the next ones. */
const MAX_HEAP_LEFT = 24 * MiB;
const MAX_HANDLES_LEFT = 4;

/**
 * Runs the soak: one hub, two real workers, two crowds of others that join and leave, and streams that are read to the byte.
 *
 * @param say Gets a line for each sample.
 */
export async function runSoak(shape: SoakShape, say: (line: string) => void): Promise<SoakResult> {
  await using closing = new AsyncDisposableStack();
  const stage = await setUp(shape, closing);
  const { hub, workers, crowds } = stage;
  const [worker] = workers;
  if (worker === undefined) throw new Error("There is no real worker.");
  const idle = await takeSample(hub, worker);
  for (const crowd of crowds) await crowd.listing();

  const clients = new SoakClients({ access: stage.access, streams: shape.streams, ...shape.answer });
  const samples = await sampleFor(
    shape.minutes * 60_000,
    () => takeSample(hub, worker),
    (sample) => say(lineOf(sample, clients)),
  );
  await clients.stop();
  const workersLeft = await stage.everybodyLeaves();
  await eventually("no session and no stream is left", async () => {
    const { sessions, streams, requests } = await takeSample(hub, hub.process);
    return sessions + streams + requests === 0;
  });
  let empty = await takeSample(hub, hub.process);
  // The hub opens some files each second, to see whether it can: they are gone at the next look.
  for (let looks = 0; looks < 10 && leftOver(idle, empty).length > 0; looks += 1) {
    empty = await takeSample(hub, hub.process);
  }

  const problems = [...clients.problems, ...growthOf(samples), ...leftOver(idle, empty)];
  if (clients.counts.complete === 0) problems.push("no answer was complete");
  return { counts: clients.counts, workersLeft, samples, problems };
}

interface Stage {
  readonly hub: Hub;
  readonly access: { readonly baseURL: string; readonly apiKey: string };
  readonly workers: readonly RunningProcess[];
  readonly crowds: readonly { listing(): Promise<void> }[];
  /** Resolves with how many workers of the crowds came and went. */
  everybodyLeaves(): Promise<number>;
}

async function setUp(shape: SoakShape, closing: AsyncDisposableStack): Promise<Stage> {
  const dataDir = closing.use(await temporaryFolder()).path;
  const engine = closing.use(await startEngineProcess({ simulated: true }));
  const token = await createKey(dataDir, "worker", "workers");
  const apiKey = await createKey(dataDir, "api", "client");
  const hub = closing.use(await Hub.start({ dataDir, env: COLLECTING }));
  const workers = ["real-1", "real-2"].map((name) => {
    const models = { [MODELS.real]: engine.url };
    const options = { TOKIAME_MAX_CONCURRENT: String(shape.streams), ...COLLECTING };
    return closing.use(startWorker({ hubUrl: hub.url, name, token, home: dataDir, models, env: options }));
  });
  await hub.listing(apiKey, [MODELS.real]);

  const fragile = Math.max(1, Math.round(shape.workers / 10));
  const common = { url: hub.url, token, slots: Math.ceil((shape.streams * 2) / shape.workers) };
  const crowds = [
    { ...common, prefix: "steady", model: MODELS.steady, workers: shape.workers - fragile, leave: "drain" as const },
    { ...common, prefix: "fragile", model: MODELS.fragile, workers: fragile, leave: "close" as const },
  ].map((options) => startCrowd({ ...options, changeEveryMs: shape.changeEveryMs }));
  for (const { program } of crowds) closing.use(program);
  return {
    hub,
    access: { baseURL: hub.baseURL, apiKey },
    workers,
    crowds: crowds.map(({ model }) => ({ listing: () => hub.listing(apiKey, [model]) })),
    async everybodyLeaves() {
      for (const program of [...workers, ...crowds.map((crowd) => crowd.program)]) program.kill("SIGTERM");
      await Promise.all([...workers.map((worker) => worker.exited), ...crowds.map((crowd) => crowd.program.exited)]);
      return crowds.reduce((sum, { program }) => sum + lastLine(program).left, 0);
    },
  };
}

/** Starts a crowd in a process of its own. */
export function startCrowd(options: CrowdOptions): { readonly model: string; readonly program: RunningProcess } {
  const program = new RunningProcess({
    name: `crowd-${options.prefix}`,
    script: "e2e/src/soak/crowd.ts",
    env: { CROWD: JSON.stringify(options) },
  });
  return { model: options.model, program };
}

function lastLine(program: RunningProcess): CrowdLine {
  // Written by crowd.ts of the same version.
  return JSON.parse(program.stdout.trimEnd().split("\n").at(-1) ?? "") as CrowdLine;
}

async function sampleFor(
  ms: number,
  take: () => Promise<Sample>,
  onSample: (sample: Sample) => void,
): Promise<Sample[]> {
  const samples: Sample[] = [];
  const windowMs = Math.max(SHORTEST_WINDOW_MS, ms / SAMPLES);
  const end = performance.now() + ms;
  while (performance.now() + windowMs <= end) {
    await sleep(windowMs);
    const sample = await take();
    samples.push(sample);
    onSample(sample);
  }
  return samples;
}

function growthOf(samples: readonly Sample[]): string[] {
  const warm = samples.slice(Math.ceil(samples.length * WARM_UP));
  const problems: string[] = [];
  if (warm.length < 3) problems.push(`only ${warm.length} samples after the warm-up: too few to see growth`);
  for (const [name, rise] of Object.entries(risesOf(samples))) {
    // The names are those of `Sizes`.
    const limit = MAX_RISE[name as keyof Sizes];
    if (rise > limit) problems.push(`${name} rose by ${rise.toFixed(0)}, more than ${limit}`);
  }
  // The middle one: a busy machine makes single samples late, a hub that blocks makes most of them.
  const late = median(warm.map((sample) => sample.loopP99Ms));
  if (late > MAX_LOOP_P99_MS) problems.push(`the hub's event loop was late by ${late.toFixed(0)} ms (99th percentile)`);
  return problems;
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0;
}

/** What each size rose by after the warm-up. */
export function risesOf(samples: readonly Sample[]): Sizes {
  const warm = samples.slice(Math.ceil(samples.length * WARM_UP));
  const rise = (name: keyof Sizes): number => riseOf(warm.map(({ atMs, sizes }) => ({ atMs, value: sizes[name] })));
  return {
    hubHeap: rise("hubHeap"),
    hubExternal: rise("hubExternal"),
    hubResident: rise("hubResident"),
    hubHandles: rise("hubHandles"),
    workerResident: rise("workerResident"),
    workerHandles: rise("workerHandles"),
  };
}

/** Compares a hub that nobody used yet with one that everybody left. */
function leftOver(idle: Sample, empty: Sample): string[] {
  const problems: string[] = [];
  const heap = empty.sizes.hubHeap - idle.sizes.hubHeap;
  if (heap > MAX_HEAP_LEFT) problems.push(`${(heap / MiB).toFixed(1)} MiB of heap are left when all have gone`);
  // The two real workers were there at the first look.
  const handles = empty.sizes.hubHandles - idle.sizes.hubHandles;
  if (handles > MAX_HANDLES_LEFT) problems.push(`${handles} handles are left when all have gone`);
  return problems;
}

function lineOf({ sizes, sessions, streams, loopP99Ms, loopMaxMs }: Sample, clients: SoakClients): string {
  const { complete, failedVisibly, hungUp } = clients.counts;
  const mib = (bytes: number): string => (bytes / MiB).toFixed(1);
  return (
    `heap ${mib(sizes.hubHeap)} MiB, external ${mib(sizes.hubExternal)}, resident ${mib(sizes.hubResident)}, ` +
    `handles ${sizes.hubHandles}; worker ${mib(sizes.workerResident)}, ${sizes.workerHandles}; ` +
    `${sessions} sessions, ${streams} streams; loop p99 ${loopP99Ms.toFixed(0)} ms, max ${loopMaxMs.toFixed(0)}; ` +
    `answers ${complete} whole, ${failedVisibly} visibly failed, ${hungUp} hung up`
  );
}
