import type { TunnelLimits } from "./limits.ts";
import type { LinkState } from "./link-state.ts";
import type { TunnelLog } from "./tunnel-log.ts";
import type { TunnelStream } from "./tunnel-stream.ts";

export interface TunnelClientOptions {
  /** ws, wss, http or https. The path /api/tokilake/connect is added when the path is empty. */
  readonly url: string;
  readonly token: string;
  readonly workerId: string;
  /** "tokiame/0.1.0" */
  readonly software: string;
  /** Number of this connection among those of this process, from 0. Default 0. */
  readonly slot?: number;
  /** What to register with, asked at each connect. JSON. */
  details(): unknown;
  /** Called once for each stream the hub opens. A throw becomes RESET "internal". */
  serve(stream: TunnelStream): void | Promise<void>;
  onState(state: LinkState): void;
  /** True: a first attempt that the hub answers with 401 or 403 stops the client instead of a long wait. */
  readonly failFast?: boolean;
  readonly limits?: Partial<TunnelLimits>;
  readonly log?: TunnelLog;
  /** PEM, besides those that Node trusts. */
  readonly caCertificates?: string | readonly string[];
}

export interface TunnelClient {
  readonly state: LinkState;
  readonly streamCount: number;
  /** To the hub's `onUpdate`. Kept, latest wins per `kind`, while not connected. */
  update(details: unknown): void;
  /** GOAWAY from the worker, running streams finish or are reset at the deadline, then closed. */
  drain(options: { readonly graceMs: number }): Promise<void>;
  /** At once, for good. */
  close(): void;
}

/** The worker's side: dials, registers, serves, and dials again until closed. */
export function connectTunnel(options: TunnelClientOptions): TunnelClient {
  throw new Error(`not built yet: tunnel client of ${options.workerId}`);
}
