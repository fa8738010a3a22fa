import type { RunningSystem } from "../systems/system.ts";
import { type Bench, inTurn } from "./bench.ts";
import type { LoadRow } from "./load-row.ts";
import { measureOnce } from "./measure-once.ts";

/**
 * Runs all rounds of a row: each round every system once, then the next round.
 *
 * @param untilReady Waits for what the last load left behind.
 */
export async function runLoadRow(
  bench: Bench,
  row: LoadRow,
  systems: readonly RunningSystem[],
  untilReady: () => Promise<void>,
): Promise<void> {
  for (let round = 1; round <= bench.options.rounds; round += 1) {
    for (const system of inTurn(systems, round)) {
      const measure = () => row.measure(bench, system, round);
      await measureOnce(bench, { row: row.name, round, system: system.name, untilReady, measure });
    }
  }
}
