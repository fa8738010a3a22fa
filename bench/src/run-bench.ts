import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

import { describeMachine, type Machine } from "./machine/machine.ts";
import { ProcessGroup } from "./machine/process-group.ts";
import type { BenchOptions } from "./options.ts";
import { profileText } from "./report/cpu-profile.ts";
import type { FinishedRun, FinishedSheet } from "./report/finished-run.ts";
import { benchmarksPage } from "./report/page.ts";
import { Results } from "./report/results.ts";
import { runText } from "./report/run-text.ts";
import { HUB_SHEET } from "./rows/hub-figures.ts";
import { PACED_STREAMS } from "./rows/load-row.ts";
import { runHubRows } from "./rows/run-hub-rows.ts";
import { runTunnelRows } from "./rows/run-tunnel-rows.ts";
import { TUNNEL_SHEET } from "./rows/tunnel-figures.ts";
import { startEngine } from "./systems/engine.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const SHEETS = [
  { sheet: HUB_SHEET, run: runHubRows },
  { sheet: TUNNEL_SHEET, run: runTunnelRows },
];

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
  if (options.write !== undefined) writePage(resolve(options.write), run);
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
  const sheets: FinishedSheet[] = [];
  for (const { sheet, run } of SHEETS) {
    if (![...sheet.figures, ...sheet.loadLines].some(({ row }) => options.rows.includes(row))) continue;
    const sheetStartedMs = performance.now();
    const profileFolder = options.profile === sheet.name ? profileFolderOf(startedAt) : undefined;
    const surroundings = { programs, machine, enginePort, root: ROOT, profileFolder, streams: PACED_STREAMS };
    const results = new Results();
    const measured = await run({ options, surroundings, results, say });
    if (profileFolder !== undefined) process.stdout.write(profileText(profileFolder));
    sheets.push({ ...measured, sheet, results, minutes: (performance.now() - sheetStartedMs) / 60_000 });
  }
  return { options, machine, args, startedAt, sheets };
}

/** Sections that this run did not measure stay as they are. */
function writePage(path: string, run: FinishedRun): void {
  writeFileSync(path, benchmarksPage(run, existsSync(path) ? readFileSync(path, "utf8") : ""));
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
