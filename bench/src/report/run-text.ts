import type { FinishedRun, FinishedSheet } from "./finished-run.ts";
import { MAX_FOREIGN_CORES } from "./statistics.ts";
import { loadCells, ratioCells, summaryOf, valueCells } from "./tables.ts";
import { alignTable, type Cells } from "./text-table.ts";

/** What a run prints: one table for 100 columns, and what it was measured on. */
export function runText(run: FinishedRun): string {
  const sheets = run.sheets.map((measured) => {
    const blocks = [ratioCells(measured), valueCells(measured), loadCells(measured)];
    const cells: Cells = blocks.filter((block) => block.length > 0).flatMap((block) => [...block, [""]]);
    const notes = [...measured.missing, ...roundsLines(run, measured)];
    return `${alignTable(cells)}${notes.map((note) => `${note}\n`).join("")}\n`;
  });
  return `${sheets.join("")}${machineLines(run)
    .map((line) => `${line}\n`)
    .join("")}`;
}

/** The machine, in lines for 100 columns. */
export function machineLines({ machine }: FinishedRun): readonly string[] {
  const pinned = machine.canPin ? "the system on core 0, all else on core 1" : "not pinned";
  const { cores, processor, memoryGigabytes, kernel, node, commit } = machine;
  return [
    `${cores} cores ${processor}, ${memoryGigabytes} GB, Linux ${kernel}`,
    `Node ${node}, commit ${commit}; ${pinned}`,
  ];
}

/** How many rounds there were and which did not count, in lines for 100 columns. */
export function roundsLines({ options }: FinishedRun, measured: FinishedSheet): readonly string[] {
  const { sheet, results, systems, minutes } = measured;
  const all = sheet.figures.flatMap((figure) => systems.map((system) => summaryOf(results, figure, system)));
  const summaries = all.filter((summary) => summary !== undefined);
  const total = summaries.reduce((sum, summary) => sum + summary.total, 0);
  const kept = summaries.reduce((sum, summary) => sum + summary.kept, 0);
  const foreign = Math.max(0, ...summaries.map((summary) => summary.foreignCores)).toFixed(2);
  return [
    `${options.rounds} rounds of ${options.seconds} s, interleaved, ${minutes.toFixed(1)} minutes`,
    `${total - kept} of ${total} values left out because other programs used more than ${MAX_FOREIGN_CORES} cores`,
    `other programs used up to ${foreign} cores in those that count`,
  ];
}
