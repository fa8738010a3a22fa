import { type ForeignLoad, LoadMeter } from "../machine/cpu-meter.ts";
import { untilQuiet } from "../machine/until-quiet.ts";
import { MAX_FOREIGN_CORES } from "../report/statistics.ts";
import { untilEngineIsIdle } from "../systems/engine.ts";
import type { RunningSystem } from "../systems/system.ts";
import { type Bench, inTurn } from "./bench.ts";
import type { LoadRow, MeasuredLoad } from "./load-rows.ts";

/** Runs all rounds of a row: each round every system once, then the next round. */
export async function runLoadRow(
  bench: Bench,
  row: LoadRow,
  systems: readonly RunningSystem[],
  direct: RunningSystem,
): Promise<void> {
  const measured = row.needsDirect ? [direct, ...systems] : systems;
  for (let round = 1; round <= bench.options.rounds; round += 1) {
    for (const system of inTurn(measured, round)) await runOnce(bench, row, system, round);
  }
}

/** How often a patient run measures again what others disturbed. */
const ATTEMPTS = 6;

async function runOnce(bench: Bench, row: LoadRow, system: RunningSystem, round: number): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    await untilEngineIsIdle(bench.surroundings.enginePort);
    const meter = new LoadMeter(() => bench.surroundings.programs.pids);
    if (bench.options.isPatient) await untilQuiet(meter);
    const { values, errors } = await row.measure(bench, system, round);
    const load = meter.lap();
    sayResult(bench, `${row.name} ${round}/${bench.options.rounds} ${system.name}`, { values, errors, load });
    const isDisturbed = load.foreignCores > MAX_FOREIGN_CORES;
    if (bench.options.isPatient && isDisturbed && attempt < ATTEMPTS) continue;
    for (const [id, value] of Object.entries(values)) {
      // Nothing came at all: there is no value, and the line of progress shows it.
      if (!Number.isFinite(value)) continue;
      bench.results.record(id, system.name, { round, value, foreignCores: load.foreignCores });
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
