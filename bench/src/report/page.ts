import type { Figure, Sheet } from "../rows/figures.ts";
import { HUB_SHEET } from "../rows/hub-figures.ts";
import { TUNNEL_SHEET } from "../rows/tunnel-figures.ts";
import type { FinishedRun, FinishedSheet } from "./finished-run.ts";
import { METHOD } from "./method.ts";
import { formatRatio, formatValue } from "./numbers.ts";
import { machineLines, roundsLines } from "./run-text.ts";
import { isReached, loadCells, ratioCells, summaryOf, valueCells } from "./tables.ts";
import type { Cells } from "./text-table.ts";

/** What heads each section, and what its ratios mean. */
const SECTIONS: readonly { readonly sheet: Sheet; readonly title: string; readonly ratios: string }[] = [
  {
    sheet: HUB_SHEET,
    title: "The hub",
    ratios: "Below 1 the hub is better. The goals are for everything switched on: keys, request log, metrics.",
  },
  {
    sheet: TUNNEL_SHEET,
    title: "The tunnel alone",
    ratios: "Nothing above the tunnel but a small HTTP server. Below 1 version 2 is better, but for Gbit/s.",
  },
];

/**
 * docs/benchmarks.md: for each sheet the tables of a run, how far each figure is from its goal, and what it means.
 *
 * @param before The page so far: sections of sheets that this run did not measure are taken from it.
 */
export function benchmarksPage(run: FinishedRun, before: string): string {
  const sections = SECTIONS.map(({ sheet, title, ratios }) => {
    const measured = run.sheets.find((each) => each.sheet === sheet);
    const text =
      measured === undefined ? sectionOf(before, sheet) : `\n## ${title}\n\n${section(run, measured, ratios)}`;
    return text === undefined ? "" : `\n${startMark(sheet)}\n${text}\n${endMark(sheet)}\n`;
  });
  return `# Benchmarks

Written by \`npm run bench\`; do not edit. Figures of one machine at one time: compare what stands in one section, in ratios.
${sections.join("")}`;
}

const startMark = (sheet: Sheet) => `<!-- ${sheet.name} -->`;
const endMark = (sheet: Sheet) => `<!-- end of ${sheet.name} -->`;

/** A sheet's section without its marks; undefined when there is none. */
function sectionOf(page: string, sheet: Sheet): string | undefined {
  const start = page.indexOf(startMark(sheet));
  const end = page.indexOf(endMark(sheet), start);
  if (start < 0 || end < 0) return undefined;
  return page.slice(start + startMark(sheet).length + 1, end - 1);
}

function section(run: FinishedRun, measured: FinishedSheet, ratios: string): string {
  const { sheet, missing } = measured;
  return `- Command: \`npm run bench${run.args.length > 0 ? ` -- ${run.args.join(" ")}` : ""}\`, ${dateText(run.startedAt)}
- Machine: ${machineLines(run).join("; ")}
- Rounds: ${roundsLines(run, measured).join("; ")}
${missing.map((reason) => `- Not measured: ${reason}\n`).join("")}
### ${sheet.subject} divided by …

${ratios}

${markdownTable(ratioCells(measured))}
### Values

Medians of the rounds, the least round in brackets.

${markdownTable(valueCells(measured))}
### How far from the goal, and what it means

${figureLines(measured)}
### Meanwhile

What the systems did while they were measured. "direct" has nothing in front.

${markdownTable(loadCells(measured))}
### How it is measured

${METHOD[sheet.name]}`;
}

function dateText(date: Date): string {
  return `${date.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

function figureLines({ sheet, results }: FinishedSheet): string {
  const lines = sheet.figures.flatMap((figure) => {
    const summary = summaryOf(results, figure, sheet.subject);
    if (summary === undefined) return [];
    const { median, kept, total, min, max } = summary;
    const rounds = `${kept} of ${total} rounds, ${formatValue(min)} to ${formatValue(max)}`;
    const value = `**${figure.title}: ${formatValue(median)} ${figure.unit}**`;
    return [`- ${value}${distance(figure, median)}; ${rounds}. ${figure.meaning}`];
  });
  return lines.map((line) => `${line}\n`).join("");
}

function distance(figure: Figure, value: number): string {
  const { goal, unit } = figure;
  if (goal === undefined) return "";
  const ratio = formatRatio(value, goal);
  if (isReached(figure, value)) return `, goal ${goal}: reached (${ratio} of it)`;
  const missing = formatValue(Math.abs(value - goal));
  return `, goal ${goal}: ${ratio} the goal, ${missing} ${unit} ${value > goal ? "over" : "short"}`;
}

function markdownTable(cells: Cells): string {
  const [head, ...rows] = cells;
  if (head === undefined) return "Nothing was measured.\n";
  const line = (row: readonly string[]) => `| ${row.join(" | ")} |\n`;
  const rule = head.map((_, column) => (column === 0 ? "---" : "--:"));
  return [head, rule, ...rows].map((row) => line(row)).join("");
}
