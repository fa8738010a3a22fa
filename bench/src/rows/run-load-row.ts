import { LoadMeter } from "../machine/cpu-meter.ts";
import { untilEngineIsIdle } from "../systems/engine.ts";
import type { RunningSystem } from "../systems/system.ts";
import { type Bench, inTurn } from "./bench.ts";
import type { LoadRow } from "./load-rows.ts";

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

async function runOnce(bench: Bench, row: LoadRow, system: RunningSystem, round: number): Promise<void> {
  await untilEngineIsIdle(bench.surroundings.enginePort);
  const meter = new LoadMeter(() => bench.surroundings.programs.pids);
  const { values, errors } = await row.measure(bench, system, round);
  const { foreignCores, stolenCores } = meter.lap();
  for (const [id, value] of Object.entries(values)) {
    // Nothing came at all: there is no value, and the line of progress shows it.
    if (!Number.isFinite(value)) continue;
    bench.results.record(id, system.name, { round, value, foreignCores });
  }
  const shown = Object.entries(values).map(([id, value]) => `${id} ${value.toPrecision(3)}`);
  const notes = [errors > 0 ? `${errors} ERRORS` : "", foreignCores > 0.1 ? `foreign ${foreignCores.toFixed(2)}` : ""];
  if (stolenCores > 0.05) notes.push(`stolen ${stolenCores.toFixed(2)}`);
  const noted = notes.filter((note) => note !== "").join(", ");
  bench.say(
    `${row.name} ${round}/${bench.options.rounds} ${system.name}: ${shown.join(", ")}${noted && `  (${noted})`}`,
  );
}
