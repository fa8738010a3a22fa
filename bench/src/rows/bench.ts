import { join } from "node:path";

import type { Job, LoadResult } from "../generators/job.ts";
import type { JsonLines } from "../machine/json-lines.ts";
import type { StartedProgram } from "../machine/started-program.ts";
import type { BenchOptions } from "../options.ts";
import type { Results } from "../report/results.ts";
import { OTHER_CORE, type Surroundings } from "../systems/system.ts";

/** One run: what is measured, with what, and where it is kept. */
export interface Bench {
  readonly options: BenchOptions;
  readonly surroundings: Surroundings;
  readonly results: Results;
  /** One line of progress for who waits. */
  say(text: string): void;
}

/** Starts a generator process for one job. */
export function startGenerator(bench: Bench, job: Job): { program: StartedProgram; lines: JsonLines } {
  return bench.surroundings.programs.startAsked({
    name: `generator-${job.kind}`,
    command: process.execPath,
    args: [join(import.meta.dirname, "..", "generators", "main.ts"), JSON.stringify(job)],
    core: OTHER_CORE,
  });
}

/** Runs a load to its end. @throws Error with what the generator said when it fails. */
export async function runLoad(
  bench: Bench,
  job: Exclude<Job, { readonly kind: "hold-streams" | "hold-workers" }>,
): Promise<LoadResult> {
  const { program, lines } = startGenerator(bench, job);
  const timeoutMs = job.warmMs + job.runMs + 30_000;
  // Written by generators/main.ts, of the same version as this program.
  const result = (await lines.next(timeoutMs)) as LoadResult;
  await program.ended();
  return result;
}

/** The systems in another order each round, so that none always runs behind the same one. */
export function inTurn<T>(systems: readonly T[], round: number): T[] {
  const first = (round - 1) % Math.max(1, systems.length);
  return [...systems.slice(first), ...systems.slice(0, first)];
}
