import type { Figure, LoadLine, Sheet } from "./figures.ts";

/** Streams that are open at once in the flat out rows. */
export const FLAT_OUT_STREAMS = [200, 2000] as const;
/** Round trips of the bulk row, in milliseconds. */
export const ROUND_TRIPS_MS = [0, 30, 100] as const;
/** Silent streams of the growth row. */
export const OPEN_STREAMS = [10, 100, 1000, 5000] as const;
/** Idle workers. */
export const IDLE_WORKERS = [1000, 10_000] as const;

const FIGURES: readonly Figure[] = [
  {
    id: "cpu-tunnel-request",
    row: "tunnel-request",
    title: "CPU per request",
    unit: "µs",
    goal: 38,
    meaning:
      "CPU of the server's process for one request of 1 KB that is answered with 1 KB, HTTP included: 64 connections that " +
      "ask again as soon as they are answered, one connection of the worker. Less that of `direct` it is the tunnel's own.",
  },
  {
    id: "cpu-tunnel-paced",
    row: "tunnel-chunks",
    title: "CPU per chunk, 400 streams paced",
    unit: "µs",
    goal: 24,
    meaning:
      "CPU for one chunk of 100 bytes, 50 a second on each of 400 streams, so that nothing can be sent together: one " +
      "`write` of the HTTP response for each.",
  },
  ...FLAT_OUT_STREAMS.map((streams) => flatOutFigure(streams)),
  ...ROUND_TRIPS_MS.map((ms) => bulkFigure(ms)),
  {
    id: "bulk-ramp-100",
    row: "tunnel-bulk",
    title: "ramp to 0.8 Gbit/s, 100 ms",
    unit: "ms",
    goal: undefined,
    meaning: "Time from the request until a tenth of a second brought bytes at 0.8 Gbit/s: how long the window grows.",
  },
  ...IDLE_WORKERS.map((workers) => idleFigure(workers)),
  {
    id: "cpu-tunnel-idle",
    row: "tunnel-idle",
    title: "CPU for 10,000 idle workers",
    unit: "ms/s",
    goal: undefined,
    meaning: "CPU in one second that the heartbeats of 10,000 connected workers cost, over a quarter of a minute.",
  },
  ...OPEN_STREAMS.map((streams) => growthFigure(streams)),
  {
    id: "growth",
    row: "tunnel-growth",
    title: "a request with 5,000 open ÷ 10 open",
    unit: "×",
    goal: 1.1,
    meaning: "How much dearer a request is with 5,000 silent streams open than with 10, in the same round: flat is 1.",
  },
];

const LOAD_LINES: readonly LoadLine[] = [
  { id: "rate-tunnel-request", row: "tunnel-request", title: "requests", unit: "/s" },
  { id: "cores-tunnel-request", row: "tunnel-request", title: "requests: core used", unit: "" },
  { id: "rate-tunnel-paced", row: "tunnel-chunks", title: "chunks paced, 20,000 asked", unit: "/s" },
  { id: "cores-tunnel-paced", row: "tunnel-chunks", title: "chunks paced: core used", unit: "" },
  ...FLAT_OUT_STREAMS.flatMap((streams) => flatOutLines(streams)),
  ...ROUND_TRIPS_MS.map((ms) => ({
    id: `cpu-bulk-${ms}`,
    row: "tunnel-bulk" as const,
    title: `one bulk stream, ${ms} ms: CPU per MB`,
    unit: "µs",
  })),
];

/** Both versions of the tunnel's protocol and no tunnel, behind the same small HTTP server. */
export const TUNNEL_SHEET: Sheet = { name: "tunnel", figures: FIGURES, loadLines: LOAD_LINES, subject: "v2" };

function flatOutFigure(streams: number): Figure {
  return {
    id: `cpu-tunnel-flat-${streams}`,
    row: "tunnel-chunks",
    title: `CPU per chunk, ${shown(streams)} flat out`,
    unit: "µs",
    goal: 4,
    meaning:
      `The same with ${shown(streams)} streams of 500 chunks that the worker writes whenever it comes round, at most one ` +
      "per stream and millisecond. A stream that ends is asked for again.",
  };
}

function flatOutLines(streams: number): LoadLine[] {
  const row = "tunnel-chunks" as const;
  const title = `chunks, ${shown(streams)} flat out`;
  return [
    { id: `rate-tunnel-flat-${streams}`, row, title, unit: "/s" },
    { id: `cores-tunnel-flat-${streams}`, row, title: `${title}: core used`, unit: "" },
  ];
}

function bulkFigure(roundTripMs: number): Figure {
  return {
    id: `bulk-${roundTripMs}`,
    row: "tunnel-bulk",
    title: `one bulk stream, ${roundTripMs} ms round trip`,
    unit: "Gbit/s",
    goal: 0.8,
    isMoreBetter: true,
    meaning:
      `One answer without end over a line with a round trip of ${roundTripMs} ms, once its window has grown. \`direct\` is ` +
      "plain HTTP over the same line: what line, generator and machine can do.",
  };
}

function idleFigure(workers: number): Figure {
  return {
    id: `memory-tunnel-worker-${workers}`,
    row: "tunnel-idle",
    title: `memory per idle worker, ${shown(workers)}`,
    unit: "KB",
    goal: 20,
    meaning:
      `Memory (RSS) that the server needs more with ${shown(workers)} connected workers that have nothing to do, divided ` +
      "by their number; after a garbage collection before and after.",
  };
}

function growthFigure(streams: number): Figure {
  return {
    id: `cpu-tunnel-open-${streams}`,
    row: "tunnel-growth",
    title: `CPU per request, ${shown(streams)} open`,
    unit: "µs",
    goal: undefined,
    meaning:
      `CPU for a request of 1 KB, 1,000 a second that come by chance, while ${shown(streams)} streams are open and ` +
      "silent. Much dearer than in the first row, also for `direct`: the process sleeps between any two and wakes for " +
      "each, and through the tunnel twice.",
  };
}

function shown(count: number): string {
  return count.toLocaleString("en");
}
