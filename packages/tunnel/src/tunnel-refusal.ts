export interface TunnelRefusalOptions {
  /** HTTP status of the refused upgrade, 4xx or 5xx. A refused registration carries it in the message instead. */
  readonly status: number;
  /** A short stable word, such as "name-taken". The worker sees it as `refused:<code>`. */
  readonly code: string;
  /** For the worker's owner: what was wrong and what to do. It is sent to the worker. */
  readonly message: string;
  /** The worker waits at least so long before it dials again. */
  readonly retryAfterMs?: number;
  /** True: the worker stops, as dialing again cannot help. Default: true for a refused registration without `retryAfterMs`. */
  readonly fatal?: boolean;
}

/** Thrown by `authenticate` or `register` to send a worker away. */
export class TunnelRefusal extends Error {
  override readonly name = "TunnelRefusal";
  readonly status: number;
  readonly code: string;
  readonly retryAfterMs: number | undefined;
  readonly fatal: boolean;

  constructor(options: TunnelRefusalOptions) {
    super(options.message);
    this.status = options.status;
    this.code = options.code;
    this.retryAfterMs = options.retryAfterMs;
    this.fatal = options.fatal ?? options.retryAfterMs === undefined;
  }
}
