import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

import type { TunnelLimits } from "./limits.ts";
import type { TunnelError } from "./tunnel-error.ts";
import type { TunnelLog } from "./tunnel-log.ts";
import type { Registration, TunnelSession } from "./tunnel-session.ts";

export interface TunnelServerOptions<I> {
  readonly hubId: string;
  /** Before the 101. `bearer` is undefined when there was none. Throw TunnelRefusal to answer otherwise. At most 10 s. */
  authenticate(bearer: string | undefined, request: IncomingMessage): Promise<I> | I;
  /** After REGISTER, before any state changes. Throw TunnelRefusal to refuse. */
  register(identity: I, registration: Registration): void;
  onSession(session: TunnelSession<I>): void;
  /** A later announcement of the worker. */
  onUpdate(session: TunnelSession<I>, details: unknown): void;
  /** Once for every session that `onSession` told. */
  onClose(session: TunnelSession<I>, reason: TunnelError): void;
  readonly limits?: Partial<TunnelLimits>;
  readonly log?: TunnelLog;
}

export interface TunnelServer<I> {
  /** For `server.on("upgrade")`, path already checked by the caller. Owns the socket from here, also its errors. */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  readonly sessions: ReadonlySet<TunnelSession<I>>;
  /** GOAWAY to all; resolves when no stream is left or at the deadline, then the rest is reset with "shutdown". */
  drain(options: { readonly graceMs: number }): Promise<void>;
  /** At once. */
  close(): void;
}

/** The hub's side: takes over WebSocket upgrades and gives sessions. */
export function createTunnelServer<I>(options: TunnelServerOptions<I>): TunnelServer<I> {
  throw new Error(`not built yet: tunnel server of ${options.hubId}`);
}
