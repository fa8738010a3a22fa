import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

import { describeMachine, type Machine } from "./machine/machine.ts";
import { ProcessGroup } from "./machine/process-group.ts";
import type { BenchOptions } from "./options.ts";
import { profileText } from "./report/cpu-profile.ts";
import { benchmarksPage } from "./report/page.ts";
import { Results } from "./report/results.ts";
import { runText } from "./report/run-text.ts";
import type { Bench } from "./rows/bench.ts";
import { LOAD_ROWS, PACED_STREAMS } from "./rows/load-rows.ts";
import { runMemoryRow } from "./rows/memory-row.ts";
import { runLoadRow } from "./rows/run-load-row.ts";
import { directSystem } from "./systems/direct.ts";
import { startEngine } from "./systems/engine.ts";
import { startSystem } from "./systems/start-system.ts";
import { NotInstalled, type RunningSystem, type Surroundings, type SystemName } from "./systems/system.ts";

const ROOT = join(import.meta.dirname, "..", "..");

/** One finished run, for the texts about it. */
export interface FinishedRun {
  readonly options: BenchOptions;
  readonly machine: Machine;
  readonly results: Results;
  /** Systems that were measured. */
  readonly systems: readonly SystemName[];
  /** Why others were not. */
  readonly missing: readonly string[];
  /** Arguments of the command. */
  readonly args: readonly string[];
  readonly startedAt: Date;
  readonly minutes: number;
}

/**
 * Starts everything, measures, prints one table and ends everything, also on Ctrl-C. Returns the exit code.
 *
 * @param args Of the command line, to be shown.
 * @throws Error when the machine cannot be measured, or something that should run does not.
 */
export async function runBench(options: BenchOptions, args: readonly string[]): Promise<number> {
  if (process.platform !== "linux") throw new Error("The bench reads Linux's /proc and runs on Linux only.");
  const machine = describeMachine(ROOT);
  await using programs = new ProcessGroup({ canPin: machine.canPin });
  const interrupted = new AbortController();
  const stop = () => {
    // What runs is ended by the end of this function; a second Ctrl-C does not wait for it.
    if (interrupted.signal.aborted) programs.kill();
    interrupted.abort(new Error("Interrupted."));
  };
  process.on("SIGINT", stop).on("SIGTERM", stop);
  const abort = new Promise<never>((_, reject) =>
    interrupted.signal.addEventListener("abort", () => reject(interrupted.signal.reason as Error)),
  );
  const run = await Promise.race([measureAll({ options, args, machine, programs }), abort]);
  process.off("SIGINT", stop).off("SIGTERM", stop);
  process.stdout.write(`\n${runText(run)}`);
  if (options.write !== undefined) writeFileSync(resolve(options.write), benchmarksPage(run));
  return 0;
}

interface Start {
  readonly options: BenchOptions;
  readonly args: readonly string[];
  readonly machine: Machine;
  readonly programs: ProcessGroup;
}

async function measureAll({ options, args, machine, programs }: Start): Promise<FinishedRun> {
  const startedAt = new Date();
  const enginePort = await startEngine(programs);
  const profileFolder = options.profilesHub ? profileFolderOf(startedAt) : undefined;
  const surroundings: Surroundings = {
    programs,
    machine,
    enginePort,
    root: ROOT,
    profileFolder,
    streams: PACED_STREAMS,
  };
  const bench: Bench = { options, surroundings, results: new Results(), say };
  const { running, missing } = await startAll(options.systems, surroundings);
  for (const row of LOAD_ROWS) {
    if (options.rows.includes(row.name)) await runLoadRow(bench, row, running, directSystem(enginePort));
  }
  await Promise.all(running.map((system) => system.stop()));
  if (profileFolder !== undefined) process.stdout.write(profileText(profileFolder));
  const systems = options.systems.filter((name) => running.some((system) => system.name === name));
  if (options.rows.includes("memory")) {
    await runMemoryRow({ ...bench, surroundings: { ...surroundings, profileFolder: undefined } }, systems);
  }
  const minutes = (Date.now() - startedAt.getTime()) / 60_000;
  return { options, machine, results: bench.results, systems, missing, args, startedAt, minutes };
}

async function startAll(
  names: readonly SystemName[],
  surroundings: Surroundings,
): Promise<{ running: RunningSystem[]; missing: string[] }> {
  const running: RunningSystem[] = [];
  const missing: string[] = [];
  for (const name of names) {
    try {
      running.push(await startSystem(name, surroundings));
    } catch (error) {
      if (!(error instanceof NotInstalled)) throw error;
      missing.push(`${name} ${error.message}`);
      say(`${name} ${error.message}`);
    }
  }
  return { running, missing };
}

function profileFolderOf(startedAt: Date): string {
  const folder = join(ROOT, "bench", "results", `profile-${startedAt.toISOString().replaceAll(":", "-").slice(0, 19)}`);
  mkdirSync(dirname(folder), { recursive: true });
  mkdirSync(folder);
  return folder;
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
