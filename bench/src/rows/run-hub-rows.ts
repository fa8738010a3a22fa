import { directSystem } from "../systems/direct.ts";
import { untilEngineIsIdle } from "../systems/engine.ts";
import { startSystem } from "../systems/start-system.ts";
import { NotInstalled, type RunningSystem } from "../systems/system.ts";
import type { Bench } from "./bench.ts";
import { HUB_LOAD_ROWS } from "./hub-load-rows.ts";
import { runMemoryRow } from "./memory-row.ts";
import { runLoadRow } from "./run-load-row.ts";

/** What was measured, and what was not. */
export interface MeasuredSystems {
  readonly systems: readonly string[];
  /** Why others were not. */
  readonly missing: readonly string[];
}

/** The hub and its peers: all of their rows that were asked for. */
export async function runHubRows(bench: Bench): Promise<MeasuredSystems> {
  const { options, surroundings } = bench;
  const { enginePort, programs } = surroundings;
  const { running, missing } = await startAll(bench);
  for (const row of HUB_LOAD_ROWS) {
    if (!options.rows.includes(row.name)) continue;
    const systems = row.needsDirect ? [directSystem(enginePort), ...running] : running;
    await runLoadRow(bench, row, systems, () => untilEngineIsIdle(enginePort));
  }
  await Promise.all(running.map((system) => system.stop()));
  const systems = options.systems.filter((name) => running.some((system) => system.name === name));
  if (options.rows.includes("memory")) {
    const unprofiled = { ...bench, surroundings: { ...surroundings, profileFolder: undefined } };
    await programs.withoutPinning(() => runMemoryRow(unprofiled, systems));
  }
  return { systems, missing };
}

async function startAll(bench: Bench): Promise<{ running: RunningSystem[]; missing: string[] }> {
  const running: RunningSystem[] = [];
  const missing: string[] = [];
  for (const name of bench.options.systems) {
    try {
      running.push(await startSystem(name, bench.surroundings));
    } catch (error) {
      if (!(error instanceof NotInstalled)) throw error;
      missing.push(`${name} ${error.message}`);
      bench.say(`${name} ${error.message}`);
    }
  }
  return { running, missing };
}
