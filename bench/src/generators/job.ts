/** Where requests go. */
export interface Target {
  /** On 127.0.0.1. */
  readonly port: number;
  readonly path: string;
  /** Besides host, content type and length. */
  readonly headers: Readonly<Record<string, string>>;
}

interface LoadJob {
  readonly target: Target;
  readonly body: string;
  /** Time before anything counts. */
  readonly warmMs: number;
  readonly runMs: number;
  /** Processes whose CPU is read at both ends of the time that counts. */
  readonly watch: readonly number[];
}

/** Each connection asks again as soon as it is answered. */
export interface ClosedLoopJob extends LoadJob {
  readonly kind: "closed-loop";
  readonly connections: number;
}

/** Requests come when a clock says so (Poisson), whether or not the last ones are answered. */
export interface OpenLoopJob extends LoadJob {
  readonly kind: "open-loop";
  readonly connections: number;
  readonly perSecond: number;
  /** What is timed: the whole answer, or until this text stands in its body. */
  readonly until: "end" | { readonly text: string };
  readonly seed: number;
}

/** Streams that are open at the same time. None is broken off: a peer that does not tell its upstream would go on. */
export interface StreamsJob extends LoadJob {
  readonly kind: "streams";
  /** A stream that ends in time is asked for again. */
  readonly repeats: boolean;
  readonly streams: number;
  /** Time over which they are opened, so that their chunks do not come in one burst. */
  readonly spreadMs: number;
}

/** One answer without end, read as fast as it comes. */
export interface BulkJob extends LoadJob {
  readonly kind: "bulk";
  /** What `rampMs` of the result waits for. */
  readonly rampBytesPerSecond: number;
}

/** Streams that are opened and held in steps: says `{open}` at each level and waits for a line. */
export interface HoldStreamsJob {
  readonly kind: "hold-streams";
  readonly target: Target;
  readonly body: string;
  readonly levels: readonly number[];
}

/** Tunnel sessions of idle workers, opened and held in steps like streams. */
export interface HoldWorkersJob {
  readonly kind: "hold-workers";
  readonly url: string;
  readonly token: string;
  readonly levels: readonly number[];
}

/** What a generator process is asked to do, in one line of JSON. */
export type Job = ClosedLoopJob | OpenLoopJob | StreamsJob | BulkJob | HoldStreamsJob | HoldWorkersJob;

/** What came of a load, in the time that counts. */
export interface LoadResult {
  readonly elapsedMs: number;
  /** Responses that ended. */
  readonly requests: number;
  /** Server-sent events that arrived. */
  readonly events: number;
  /** Bytes of bodies; 0 unless the load is one of bytes. */
  readonly bytes: number;
  /** Connections that broke, answers with another status than 200, answers without what was looked for. */
  readonly errors: number;
  /** CPU of the watched processes. */
  readonly watchedCpuMs: number;
  /** CPU of the generator itself. */
  readonly ownCpuMs: number;
  /** From the time a request was due, in milliseconds; only from an open loop. */
  readonly latency?: { readonly p50: number; readonly p99: number };
  /** From the request until a tenth of a second was as fast as asked; undefined: never, or no bulk job. */
  readonly rampMs?: number | undefined;
}

/** A step of a holding job: so many are open. */
export interface Held {
  readonly open: number;
}
