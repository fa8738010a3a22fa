import type { Figure, LoadLine, Sheet } from "./figures.ts";

const FIGURES: readonly Figure[] = [
  {
    id: "cpu-request",
    row: "request",
    title: "CPU per request",
    unit: "µs",
    goal: 60,
    meaning:
      "CPU of the hub's process, all threads, for one chat request without streaming: 1 KB in, 1 KB out, 64 connections " +
      "that ask again as soon as they are answered. Key check, routing, tunnel, request log and metrics included; the " +
      "worker's and the engine's CPU not. A core divided by it is what one core of hub can serve.",
  },
  {
    id: "cpu-paced",
    row: "stream-paced",
    title: "CPU per chunk, paced",
    unit: "µs",
    goal: 22,
    meaning:
      "CPU for one streamed chunk of 100 bytes: 400 streams of 50 chunks a second each, so that nothing can be sent " +
      "together. The usual load of a hub: people reading along.",
  },
  {
    id: "cpu-flat-out",
    row: "stream-flat-out",
    title: "CPU per chunk, flat out",
    unit: "µs",
    goal: 4,
    meaning:
      "The same with 200 streams of 500 chunks that the engine sends whenever it comes round, at most one per stream and " +
      "millisecond: what is left when more and more chunks can be sent together. A stream that ends is asked for again, so " +
      "a five-hundredth of a request is in it.",
  },
  {
    id: "latency-p50",
    row: "latency",
    title: "added latency, p50",
    unit: "ms",
    goal: 0.4,
    isAdded: true,
    meaning:
      "Time that a request takes longer than straight to the engine, in the middle: 1,000 requests a second that come " +
      "by chance (Poisson) over 64 connections, timed from the moment each was due. For the hub this includes the " +
      "tunnel and the worker.",
  },
  {
    id: "latency-p99",
    row: "latency",
    title: "added latency, p99",
    unit: "ms",
    goal: 4,
    isAdded: true,
    meaning:
      "The same for the slowest one in a hundred. Pauses of the engine, the worker and the generator on their common core are in it.",
  },
  {
    id: "first-token-p50",
    row: "first-token",
    title: "added time to first token, p50",
    unit: "ms",
    goal: 1,
    isAdded: true,
    meaning:
      "Time that the first token of a stream takes longer than straight from the engine: 200 streams a second that " +
      "come by chance, timed until the token's text has arrived.",
  },
  memoryFigure("worker", 1000, 20),
  memoryFigure("worker", 10_000, 20),
  memoryFigure("stream", 1000, 45),
  memoryFigure("stream", 5000, 35),
];

/** Of a memory figure. @param kind `worker`: idle and connected. `stream`: open, a chunk every two seconds. */
export function memoryFigureId(kind: "worker" | "stream", count: number): string {
  return `memory-${kind}-${count}`;
}

/** How many of each kind the memory row opens. */
export const MEMORY_LEVELS = { worker: [1000, 10_000], stream: [1000, 5000] } as const;

function memoryFigure(kind: "worker" | "stream", count: number, goal: number): Figure {
  const shown = count.toLocaleString("en");
  const meaning =
    kind === "worker"
      ? `Memory (RSS) that the hub needs more with ${shown} connected workers that have nothing to do, divided by their ` +
        "number; after a garbage collection before and after."
      : `Memory (RSS) that the process needs more with ${shown} open streams of a chunk every two seconds, divided by ` +
        "their number; garbage that nobody collected yet included, as an operator sees it.";
  return {
    id: memoryFigureId(kind, count),
    row: "memory",
    title: kind === "worker" ? `memory per idle worker, ${shown}` : `memory per open stream, ${shown}`,
    unit: "KB",
    goal,
    meaning,
  };
}

const LOAD_LINES: readonly LoadLine[] = [
  { id: "rate-request", row: "request", title: "requests", unit: "/s" },
  { id: "cores-request", row: "request", title: "requests: core used", unit: "" },
  { id: "rate-paced", row: "stream-paced", title: "chunks paced, 20,000 asked", unit: "/s" },
  { id: "cores-paced", row: "stream-paced", title: "chunks paced: core used", unit: "" },
  { id: "rate-flat-out", row: "stream-flat-out", title: "chunks flat out", unit: "/s" },
  { id: "cores-flat-out", row: "stream-flat-out", title: "chunks flat out: core used", unit: "" },
  { id: "latency-p50", row: "latency", title: "whole latency, p50", unit: "ms" },
  { id: "latency-p99", row: "latency", title: "whole latency, p99", unit: "ms" },
  { id: "first-token-p50", row: "first-token", title: "whole time to first token, p50", unit: "ms" },
];

/** The hub beside its peers; goals are for everything switched on. */
export const HUB_SHEET: Sheet = { name: "hub", figures: FIGURES, loadLines: LOAD_LINES, subject: "tokilake" };
