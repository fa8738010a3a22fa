/** How long the hub waits for an upstream, in milliseconds. 0 never means "for ever"; every wait is bounded. */
export interface Timeouts {
  /** Until a target accepts the request (the worker has connected to its engine). */
  readonly connectMs: number;
  /** From the request until the first byte of content. */
  readonly firstTokenMs: number;
  /** Between two chunks of an answer. */
  readonly idleMs: number;
  /** The whole request. */
  readonly totalMs: number;
}

/** Everything an operator can set. Read once at start; the rest of the program is handed values. */
export interface HubConfig {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Absolute. Holds the database; made with mode 0700. */
  readonly dataDir: string;
  /** `sqlite:` and an absolute path. */
  readonly databaseUrl: string;
  readonly log: { readonly level: "debug" | "info" | "warn" | "error"; readonly format: "json" | "human" | "auto" };
  readonly limits: {
    /** A request body that is JSON. It is held in memory, so worst case is this times `maxRequests`. */
    readonly maxJsonBytes: number;
    /** A request body of any other type (multipart uploads). It streams through. */
    readonly maxUploadBytes: number;
    /** Requests served at once; one more is answered 503. */
    readonly maxRequests: number;
  };
  /** How long running requests may go on after the first SIGTERM or SIGINT. */
  readonly drainGraceMs: number;
  readonly timeouts: Timeouts;
  /** Exceptions by public model name: an exact name, or a prefix and `*`. See {@link timeoutsFor}. */
  readonly modelTimeouts: Readonly<Record<string, Partial<Timeouts>>>;
  readonly requestLog: {
    /** Rows kept; the oldest go first. */
    readonly maxRows: number;
  };
}

/** The timeouts of one model: the exact name wins, then the longest prefix that matches, then the general ones. */
export function timeoutsFor(config: Pick<HubConfig, "timeouts" | "modelTimeouts">, model: string): Timeouts {
  if (Object.hasOwn(config.modelTimeouts, model)) return { ...config.timeouts, ...config.modelTimeouts[model] };
  let longest = -1;
  let found: Partial<Timeouts> | undefined;
  for (const [pattern, timeouts] of Object.entries(config.modelTimeouts)) {
    const prefix = pattern.slice(0, -1);
    if (pattern.endsWith("*") && prefix.length > longest && model.startsWith(prefix)) {
      longest = prefix.length;
      found = timeouts;
    }
  }
  return found === undefined ? config.timeouts : { ...config.timeouts, ...found };
}
