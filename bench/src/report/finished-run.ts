import type { Machine } from "../machine/machine.ts";
import type { BenchOptions } from "../options.ts";
import type { Sheet } from "../rows/figures.ts";
import type { MeasuredSystems } from "../rows/run-hub-rows.ts";
import type { Results } from "./results.ts";

/** One finished run, for the texts about it. */
export interface FinishedRun {
  readonly options: BenchOptions;
  readonly machine: Machine;
  /** Arguments of the command. */
  readonly args: readonly string[];
  readonly startedAt: Date;
  /** Those that have rows that were asked for. */
  readonly sheets: readonly FinishedSheet[];
}

/** One sheet of a run. */
export interface FinishedSheet extends MeasuredSystems {
  readonly sheet: Sheet;
  readonly results: Results;
  readonly minutes: number;
}
