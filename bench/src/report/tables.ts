import { type Figure, FIGURES, LOAD_LINES } from "../rows/figures.ts";
import { formatRatio, formatValue } from "./numbers.ts";
import type { Results } from "./results.ts";
import type { Summary } from "./statistics.ts";
import type { Cells } from "./text-table.ts";

/** The system that ratios are of, and the one that added times are added to. */
const HUB = "tokilake";
const BASE = "direct";

/** One figure's summary: of the added time where it is one. */
export function summaryOf(results: Results, figure: Figure, system: string): Summary | undefined {
  if (figure.isAdded) return results.addedSummary(figure.id, system, BASE);
  return results.summary(figure.id, system);
}

/**
 * Ratios first: the hub's median divided by its goal and by each peer's median. Below 1 the hub is better.
 *
 * @param peers Systems beside the hub, in the order of the columns.
 */
export function ratioCells(results: Results, peers: readonly string[]): Cells {
  const rows = FIGURES.flatMap((figure) => {
    const hub = summaryOf(results, figure, HUB)?.median;
    if (hub === undefined) return [];
    const ratios = peers.map((peer) => formatRatio(hub, summaryOf(results, figure, peer)?.median));
    return [[figure.title, goalRatio(hub, figure.goal), ...ratios]];
  });
  return rows.length === 0 ? [] : [["tokilake ÷ …", "its goal", ...peers], ...rows];
}

/** What was measured: medians, and the least round in brackets. */
export function valueCells(results: Results, systems: readonly string[]): Cells {
  const rows = FIGURES.flatMap((figure) => {
    const cells = systems.map((system) => valueCell(summaryOf(results, figure, system)));
    if (cells.every((cell) => cell === "–")) return [];
    return [[`${figure.title}, ${figure.unit}`, `≤ ${figure.goal}`, ...cells]];
  });
  return rows.length === 0 ? [] : [["median [least] of the rounds", "goal", ...systems], ...rows];
}

/** What the systems did meanwhile. */
export function loadCells(results: Results, systems: readonly string[]): Cells {
  const rows = LOAD_LINES.flatMap((line) => {
    const cells = [BASE, ...systems].map((system) => {
      const median = results.summary(line.id, system)?.median;
      return median === undefined ? "–" : formatValue(median);
    });
    if (cells.every((cell) => cell === "–")) return [];
    return [[line.unit === "" ? line.title : `${line.title}, ${line.unit}`, ...cells]];
  });
  return rows.length === 0 ? [] : [["meanwhile (median)", BASE, ...systems], ...rows];
}

function valueCell(summary: Summary | undefined): string {
  return summary === undefined ? "–" : `${formatValue(summary.median)} [${formatValue(summary.min)}]`;
}

function goalRatio(value: number, goal: number): string {
  return `${formatRatio(value, goal)}${value > goal ? " over" : ""}`;
}
