import { type ForeignLoad, LoadMeter } from "../machine/cpu-meter.ts";
import { untilQuiet } from "../machine/until-quiet.ts";
import type { RowName } from "../options.ts";
import { MAX_FOREIGN_CORES } from "../report/statistics.ts";
import type { Bench } from "./bench.ts";

/** What one round of one system gave. */
export interface MeasuredLoad {
  /** By the ids of figures and load lines. */
  readonly values: Readonly<Record<string, number>>;
  readonly errors: number;
}

/** One round of one system. */
export interface Measurement {
  readonly row: RowName;
  readonly round: number;
  readonly system: string;
  /** Not before it is ready. */
  untilReady?(): Promise<void>;
  measure(): Promise<MeasuredLoad>;
}

/** How often a patient run measures again what others disturbed. */
const ATTEMPTS = 6;

/** Measures, shows and keeps. */
export async function measureOnce(bench: Bench, measurement: Measurement): Promise<void> {
  const { row, round, system } = measurement;
  for (let attempt = 1; ; attempt += 1) {
    await measurement.untilReady?.();
    const meter = new LoadMeter(() => bench.surroundings.programs.pids);
    if (bench.options.isPatient) await untilQuiet(meter);
    const { values, errors } = await measurement.measure();
    const load = meter.lap();
    sayResult(bench, `${row} ${round}/${bench.options.rounds} ${system}`, { values, errors, load });
    const isDisturbed = load.foreignCores > MAX_FOREIGN_CORES;
    if (bench.options.isPatient && isDisturbed && attempt < ATTEMPTS) continue;
    for (const [id, value] of Object.entries(values)) {
      // Nothing came at all: there is no value, and the line of progress shows it.
      if (!Number.isFinite(value)) continue;
      bench.results.record(id, system, { round, value, foreignCores: load.foreignCores });
    }
    return;
  }
}

interface Said extends MeasuredLoad {
  readonly load: ForeignLoad;
}

function sayResult(bench: Bench, what: string, { values, errors, load }: Said): void {
  const shown = Object.entries(values).map(([id, value]) => `${id} ${value.toPrecision(3)}`);
  const notes = [
    errors > 0 ? `${errors} ERRORS` : "",
    load.foreignCores > 0.1 ? `foreign ${load.foreignCores.toFixed(2)}` : "",
    load.stolenCores > 0.05 ? `stolen ${load.stolenCores.toFixed(2)}` : "",
  ].filter((note) => note !== "");
  bench.say(`${what}: ${shown.join(", ")}${notes.length > 0 ? `  (${notes.join(", ")})` : ""}`);
}
