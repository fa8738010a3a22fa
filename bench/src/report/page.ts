import { FIGURES } from "../rows/figures.ts";
import type { FinishedRun } from "../run-bench.ts";
import { formatRatio, formatValue } from "./numbers.ts";
import { machineLines, roundsLines } from "./run-text.ts";
import { loadCells, ratioCells, summaryOf, valueCells } from "./tables.ts";
import type { Cells } from "./text-table.ts";

/** docs/benchmarks.md: the tables of a run, how far each figure is from its goal, and what it means. */
export function benchmarksPage(run: FinishedRun): string {
  const peers = run.systems.filter((system) => system !== "tokilake");
  return `# Benchmarks

Written by \`npm run bench\`; do not edit. Figures of one machine at one time: compare what stands in one run, in ratios.

- Command: \`npm run bench${run.args.length > 0 ? ` -- ${run.args.join(" ")}` : ""}\`, ${dateText(run.startedAt)}
- Machine: ${machineLines(run).join("; ")}
- Rounds: ${roundsLines(run).join("; ")}
${run.missing.map((reason) => `- Not measured: ${reason}\n`).join("")}
## The hub divided by …

Below 1 the hub is better. The goals are for everything switched on: keys, request log, metrics.

${markdownTable(ratioCells(run.results, peers))}
## Values

Medians of the rounds, the least round in brackets.

${markdownTable(valueCells(run.results, run.systems))}
## How far from the goal, and what it means

${figureLines(run)}
## Meanwhile

What the systems did while they were measured. "direct" is the engine with nothing in front.

${markdownTable(loadCells(run.results, run.systems))}
## How it is measured

${METHOD}`;
}

function dateText(date: Date): string {
  return `${date.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

function figureLines(run: FinishedRun): string {
  const lines = FIGURES.flatMap((figure) => {
    const hub = summaryOf(run.results, figure, "tokilake");
    if (hub === undefined) return [];
    const distance =
      hub.median <= figure.goal
        ? `reached (${formatRatio(hub.median, figure.goal)} of it)`
        : `${formatRatio(hub.median, figure.goal)} the goal, ${formatValue(hub.median - figure.goal)} ${figure.unit} over`;
    const rounds = `${hub.kept} of ${hub.total} rounds, ${formatValue(hub.min)} to ${formatValue(hub.max)}`;
    return [
      `- **${figure.title}: ${formatValue(hub.median)} ${figure.unit}**, goal ${figure.goal}: ${distance}; ${rounds}. ${figure.meaning}`,
    ];
  });
  return lines.map((line) => `${line}\n`).join("");
}

function markdownTable(cells: Cells): string {
  const [head, ...rows] = cells;
  if (head === undefined) return "Nothing was measured.\n";
  const line = (row: readonly string[]) => `| ${row.join(" | ")} |\n`;
  const rule = head.map((_, column) => (column === 0 ? "---" : "--:"));
  return [head, rule, ...rows].map((row) => line(row)).join("");
}

const METHOD = `- Every system is in front of the same simulated engine (\`packages/tiny-engine\`), which answers by the model's name, so all
  move the same bytes. The hub reaches it through its tunnel and \`tokiame\`, as always; the peers call it themselves.
- Real processes as an operator starts them: \`tokilake serve\` with its own database, keys made by its command, its log
  written to a file; two \`tokiame run\`, of which the second serves only streams beyond the 256 of one session.
- The system under test is alone on core 0, its helper threads included. The engine, the workers and the generator share
  core 1, so the system is not always busy to the full; "core used" tells.
- CPU is user and system time of the process, all threads, from \`/proc/PID/stat\`, between the end of the warm-up and the
  end. On loopback the sender also pays for the receiver's TCP.
- Rounds are interleaved: each round measures every system once, in turning order. Rounds in which other programs
  used more than a quarter of a core are left out while half of the rounds remain.
- The request row is driven by \`wrk\` where it is installed, else by our own generator. Latencies count from the moment a
  request was due (a thread that waits on an atomic gives the moments), so a system that falls behind is not
  excused. The generator's own time is in the whole latencies and falls out of the added ones.
- nginx: one process, kept connections, \`proxy_buffering off\`. node-proxy: \`node:http\` and undici's dispatcher. Portkey:
  \`@portkey-ai/gateway\` as its package starts it, with an older \`@hono/node-server\` (1.3.3), without which every stream of it
  fails.
- The goals were set on another machine with two cores, where nginx took 23 µs a request and a Node proxy 68 to 81. The ratios to the
  peers carry over from one machine to another, the ratios to the goals less so.
- Memory: fresh processes each round, three rounds for the peers. Idle workers are sessions of the tunnel's own client in one
  process; 20 and more workers carry the open streams.
- Not measured here: one fast stream over a long line (a test of \`packages/tunnel\` has it, on a virtual line), and how cost
  grows with workers, keys and logged requests.
`;
