import type { Figure, Sheet } from "../rows/figures.ts";
import { formatRatio, formatValue } from "./numbers.ts";
import type { Results } from "./results.ts";
import type { Summary } from "./statistics.ts";
import type { Cells } from "./text-table.ts";

/** The system that added times are added to. */
const BASE = "direct";

/** What the tables of one sheet are made of. */
export interface SheetResults {
  readonly sheet: Sheet;
  readonly results: Results;
  /** That were measured, in the order of the columns; the sheet's subject first, if it was. */
  readonly systems: readonly string[];
}

/** One figure's summary: of the added time where it is one. */
export function summaryOf(results: Results, figure: Figure, system: string): Summary | undefined {
  if (figure.isAdded === true) return results.addedSummary(figure.id, system, BASE);
  return results.summary(figure.id, system);
}

/** Whether the figure's goal is reached; true where there is none. */
export function isReached({ goal, isMoreBetter }: Figure, value: number): boolean {
  if (goal === undefined) return true;
  return isMoreBetter === true ? value >= goal : value <= goal;
}

/** Ratios first: the subject's median divided by its goal and by the median of each of the others. */
export function ratioCells({ sheet, results, systems }: SheetResults): Cells {
  const { subject } = sheet;
  const others = systems.filter((system) => system !== subject);
  const rows = sheet.figures.flatMap((figure) => {
    const value = summaryOf(results, figure, subject)?.median;
    if (value === undefined) return [];
    const ratios = others.map((other) => formatRatio(value, summaryOf(results, figure, other)?.median));
    if (figure.goal === undefined && ratios.every((ratio) => ratio === "–")) return [];
    return [[figure.title, goalRatio(figure, value), ...ratios]];
  });
  return rows.length === 0 ? [] : [[`${subject} ÷ …`, "its goal", ...others], ...rows];
}

/** What was measured: medians, and the least round in brackets. */
export function valueCells({ sheet, results, systems }: SheetResults): Cells {
  const rows = sheet.figures.flatMap((figure) => {
    const cells = systems.map((system) => valueCell(summaryOf(results, figure, system)));
    if (cells.every((cell) => cell === "–")) return [];
    return [[`${figure.title}, ${figure.unit}`, goalText(figure), ...cells]];
  });
  return rows.length === 0 ? [] : [["median [least] of the rounds", "goal", ...systems], ...rows];
}

/** What the systems did meanwhile. */
export function loadCells({ sheet, results, systems }: SheetResults): Cells {
  const columns = [...new Set([BASE, ...systems])];
  const rows = sheet.loadLines.flatMap((line) => {
    const cells = columns.map((system) => {
      const median = results.summary(line.id, system)?.median;
      return median === undefined ? "–" : formatValue(median);
    });
    if (cells.every((cell) => cell === "–")) return [];
    return [[line.unit === "" ? line.title : `${line.title}, ${line.unit}`, ...cells]];
  });
  return rows.length === 0 ? [] : [["meanwhile (median)", ...columns], ...rows];
}

function valueCell(summary: Summary | undefined): string {
  return summary === undefined ? "–" : `${formatValue(summary.median)} [${formatValue(summary.min)}]`;
}

function goalText({ goal, isMoreBetter }: Figure): string {
  if (goal === undefined) return "–";
  return `${isMoreBetter === true ? "≥" : "≤"} ${goal}`;
}

function goalRatio(figure: Figure, value: number): string {
  const missed = figure.isMoreBetter === true ? " short" : " over";
  return `${formatRatio(value, figure.goal)}${isReached(figure, value) ? "" : missed}`;
}
