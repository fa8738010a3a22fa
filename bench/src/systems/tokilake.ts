import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { freePort, waitUntil } from "../machine/ports.ts";
import type { StartedProgram } from "../machine/started-program.ts";
import { untilAnswers } from "./answers.ts";
import { BENCH_MODELS, type BenchModel } from "./bench-models.ts";
import { CHAT_PATH, OTHER_CORE, type RunningSystem, type Surroundings, TESTED_CORE } from "./system.ts";

/** A hub with everything on: keys, request log, metrics, its log written to a file; and what it takes to reach it. */
export interface RunningHub extends RunningSystem {
  readonly pid: number;
  readonly url: string;
  /** A key that workers may dial in with. */
  readonly workerKey: string;
  /** Collects garbage, so that memory read afterwards is memory in use. Returns before it is done. */
  collectGarbage(): void;
}

const ALL_MODELS = Object.keys(BENCH_MODELS) as BenchModel[];
/** Streams that one worker takes at once: the tunnel's own bound for a session. */
const STREAMS_PER_WORKER = 256;
/** Its default. */
const CONNECTIONS_PER_WORKER = 2;
/** How long a hub may take to start. */
const START_MS = 60_000;

/**
 * A hub and its workers, all as an operator starts them, with a database of their own. Everything that fits one worker
 * goes to the first; the others serve only the models of many streams.
 */
export async function startTokilake(surroundings: Surroundings): Promise<RunningHub> {
  const hub = await startHub(surroundings);
  // A little more than needed: the hub fills them by load, not to the brim one after the other.
  const count = Math.ceil((surroundings.streams * 1.1) / STREAMS_PER_WORKER);
  const workers = Array.from({ length: count }, (_, index) => startWorker(surroundings, hub, index + 1));
  const stop = async () => {
    await hub.stop();
    await Promise.all(workers.map((worker) => worker.stop()));
  };
  const system: RunningHub = { ...hub, stop };
  await untilConnected(hub, workers);
  const [first] = workers;
  if (first !== undefined) await untilAnswers(system, first);
  return system;
}

/** A hub alone, once it serves. */
export async function startHub({ programs, root, profileFolder }: Surroundings): Promise<RunningHub> {
  const port = await freePort();
  const main = join(root, "packages", "hub", "src", "main.ts");
  const dataDir = join(programs.folder, `hub-${port}`);
  mkdirSync(dataDir);
  const env = { TOKILAKE_DATA_DIR: dataDir, TOKILAKE_PORT: String(port), TOKILAKE_HOST: "127.0.0.1" };
  const makeKey = async (kind: "api" | "worker") => {
    const args = [main, "keys", "create", "--kind", kind, "--name", `bench-${kind}`];
    return (await programs.run({ name: `key-${kind}`, command: process.execPath, args, env })).trim();
  };
  const apiKey = await makeKey("api");
  const workerKey = await makeKey("worker");
  const hook = join(import.meta.dirname, "collect-garbage-on-signal.ts");
  const profile = profileFolder === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profileFolder}`];
  const program = programs.start({
    name: "hub",
    command: process.execPath,
    args: ["--expose-gc", "--import", pathToFileURL(hook).href, ...profile, main, "serve"],
    core: TESTED_CORE,
    env,
  });
  const url = `http://127.0.0.1:${port}`;
  await untilReady(program, url);
  return {
    name: "tokilake",
    pid: program.pid,
    url,
    workerKey,
    target: () => ({ port, path: CHAT_PATH, headers: { authorization: `Bearer ${apiKey}` } }),
    stop: () => program.stop(),
    collectGarbage: () => program.signal("SIGUSR2"),
  };
}

async function untilReady(hub: StartedProgram, url: string): Promise<void> {
  const isReady = async () => (await fetch(`${url}/readyz`)).status === 200;
  try {
    await waitUntil("The hub", isReady, { timeoutMs: START_MS, isOver: () => !hub.isRunning });
  } catch (error) {
    throw new Error(`The hub does not serve. It said: ${hub.said()}`, { cause: error });
  }
}

async function untilConnected(hub: RunningHub, workers: readonly StartedProgram[]): Promise<void> {
  const isReady = async () => {
    const metrics = await (await fetch(`${hub.url}/metrics`)).text();
    return /^tunnel_connections (\d+)$/m.exec(metrics)?.[1] === String(workers.length * CONNECTIONS_PER_WORKER);
  };
  const isOver = () => workers.some((worker) => !worker.isRunning);
  try {
    await waitUntil("The workers", isReady, { timeoutMs: START_MS, isOver });
  } catch (error) {
    const said = workers.map((worker) => worker.said().split("\n").at(-1));
    throw new Error(`Not all of ${workers.length} workers connected. They said: ${said.join(" | ")}`, { cause: error });
  }
}

/** @param number From 1. Only the first publishes all models. */
function startWorker({ programs, root, enginePort }: Surroundings, hub: RunningHub, number: number): StartedProgram {
  const url = `http://127.0.0.1:${enginePort}`;
  const models: readonly BenchModel[] = number === 1 ? ALL_MODELS : ["bench-paced", "bench-slow"];
  return programs.start({
    name: `worker-${number}`,
    command: process.execPath,
    args: [join(root, "packages", "worker", "src", "main.ts"), "run"],
    core: OTHER_CORE,
    env: {
      // Its own settings and status files, not those of whoever runs this.
      HOME: programs.folder,
      TOKIAME_GATEWAY_URL: hub.url,
      TOKIAME_TOKEN: hub.workerKey,
      TOKIAME_NAMESPACE: `bench-${number}`,
      TOKIAME_MAX_CONCURRENT: String(STREAMS_PER_WORKER),
      TOKIAME_MODEL_TARGETS: JSON.stringify(Object.fromEntries(models.map((model) => [model, { url }]))),
    },
  });
}
