import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

import type { WebSocket } from "ws";

import { limitsWith, NODE_ENVIRONMENT, poolOf, TICK_MS } from "../carrier/node-environment.ts";
import { SUBPROTOCOL } from "../carrier/websocket-carrier.ts";
import type { TunnelLimits } from "../limits.ts";
import type { MemoryPool } from "../mux/memory-pool.ts";
import { SlabAllocator } from "../mux/slab.ts";
import type { TunnelError } from "../tunnel-error.ts";
import { SILENT_LOG, type TunnelLog } from "../tunnel-log.ts";
import { TunnelRefusal } from "../tunnel-refusal.ts";
import type { Registration, TunnelSession } from "../tunnel-session.ts";
import { ConnectPlaces, type Place } from "./connect-places.ts";
import { type LinkOwner, type ServerLink, V2ServerLink } from "./server-link.ts";
import type { ServerSession } from "./server-session.ts";
import { SessionRegistry } from "./session-registry.ts";
import { type Admitted, UpgradeGate } from "./upgrade-gate.ts";
import { V1ServerLink } from "./v1-server-link.ts";

/** A drained hub asks its workers to come back one after the other, so far apart. */
const RECONNECT_SPREAD_MS = 20;
const PRUNE_EVERY_TICKS = 60;

export interface TunnelServerOptions<I> {
  readonly hubId: string;
  /** Name and version of the program, such as "tokilake/0.1.0". Default: workers are told the hub's id only. */
  readonly software?: string;
  /**
   * Before the 101. `bearer` is undefined when there was none. Throw TunnelRefusal to answer otherwise. At most 10 s.
   * A worker of version 1 may send it without `Bearer`, or as `access_token` or `token` in the query.
   */
  authenticate(bearer: string | undefined, request: IncomingMessage): Promise<I> | I;
  /** Where a connection comes from, when the program knows better than the socket: behind a proxy. */
  clientOf?(request: IncomingMessage): TunnelPeer;
  /** Whose connection it is: owners have limits, and worker ids of their own. Absent: there are no limits, and one owner. */
  ownerOf?(identity: I): string;
  /** Whether the owner's limits hold for it. Absent: they do. Not for keys of whoever runs the server: a fleet may have one key. */
  isBounded?(identity: I): boolean;
  /** After REGISTER, before any state changes. Throw TunnelRefusal to refuse. */
  register(identity: I, registration: Registration): void;
  onSession(session: TunnelSession<I>): void;
  /** A later announcement of the worker. */
  onUpdate(session: TunnelSession<I>, details: unknown): void;
  /** Once for every session that `onSession` told. */
  onClose(session: TunnelSession<I>, reason: TunnelError): void;
  /**
   * True: a client that offers no subprotocol speaks version 1, as some builds of the original worker behind proxies that
   * drop the header. Default: it is refused.
   */
  readonly allowNoSubprotocol?: boolean;
  /** Sent with each refused upgrade, names in lower case. Default: none. */
  refusalHeaders?(): Readonly<Record<string, string>>;
  readonly limits?: Partial<TunnelLimits>;
  readonly log?: TunnelLog;
}

/** Where a connection comes from. */
export interface TunnelPeer {
  readonly ip: string;
  /** What limits count by, such as the /64 of an IPv6 address. */
  readonly network: string;
}

export interface TunnelServer<I> {
  /** For `server.on("upgrade")`, path already checked by the caller. Owns the socket from here, also its errors. */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  readonly sessions: ReadonlySet<TunnelSession<I>>;
  /**
   * Another hub takes over at this address: every worker is asked to register there, one after the other, and serves here
   * until `drain`. Takes no new workers. Those of version 1 cannot be asked: they come when `drain` ends their session.
   */
  handOver(options: { readonly graceMs: number }): void;
  /** GOAWAY to all; resolves when no stream is left or at the deadline, then the rest is reset with "shutdown". */
  drain(options: { readonly graceMs: number }): Promise<void>;
  /** At once. */
  close(): void;
}

/** The hub's side: takes over WebSocket upgrades and gives sessions. Does nothing until `handleUpgrade`. */
export function createTunnelServer<I>(options: TunnelServerOptions<I>): TunnelServer<I> {
  return new Server(options);
}

class Server<I> implements TunnelServer<I>, LinkOwner<I> {
  readonly sessions = new Set<ServerSession<I>>();
  readonly #options: TunnelServerOptions<I>;
  readonly #log: TunnelLog;
  readonly #limits: TunnelLimits;
  readonly #pool: MemoryPool;
  readonly #slabs = new SlabAllocator();
  readonly #gate: UpgradeGate<I>;
  readonly #registry: SessionRegistry<ServerSession<I>>;
  /** All connections from the 101 on, registered or not. */
  readonly #links = new Map<ServerLink<I>, Place>();
  readonly #places: ConnectPlaces;
  #generation = 0;
  #ticks = 0;
  #timer: NodeJS.Timeout | undefined;
  #phase: "open" | "leaving" | "draining" | "closed" = "open";
  readonly #drainWaiters = new Set<() => void>();

  constructor(options: TunnelServerOptions<I>) {
    this.#options = options;
    this.#log = options.log ?? SILENT_LOG;
    this.#limits = limitsWith(options.limits);
    this.#pool = poolOf(this.#limits);
    this.#registry = new SessionRegistry(this.#limits, ({ identity }) => options.ownerOf?.(identity) ?? "");
    this.#places = new ConnectPlaces(this.#limits);
    this.#gate = new UpgradeGate({
      limits: this.#limits,
      log: this.#log,
      allowNoSubprotocol: options.allowNoSubprotocol ?? false,
      refusalHeaders: () => options.refusalHeaders?.() ?? {},
      authenticate: (bearer, request) => options.authenticate(bearer, request),
      places: this.#places,
      networkOf: (request) => this.#clientOf(request).network,
      ownerOf: (identity) => (options.isBounded?.(identity) === false ? undefined : options.ownerOf?.(identity)),
      sessionCount: () => this.sessions.size,
      isClosed: () => this.#phase !== "open",
      onSocket: (socket, admitted) => this.#onSocket(socket, admitted),
    });
  }

  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#gate.handle(request, socket, head);
  }

  handOver(options: { readonly graceMs: number }): void {
    if (this.#phase !== "open") return;
    this.#phase = "leaving";
    const spreadMs = this.#spreadMs(options.graceMs);
    for (const link of this.#links.keys()) {
      if (link.session === undefined) link.close("shutdown");
      else link.move(Math.round(Math.random() * spreadMs));
    }
  }

  async drain(options: { readonly graceMs: number }): Promise<void> {
    if (this.#phase === "closed") return;
    this.#phase = "draining";
    const spreadMs = this.#spreadMs(options.graceMs);
    for (const link of this.#links.keys()) {
      if (link.session === undefined) {
        link.close("shutdown");
        continue;
      }
      const reconnectAfterMs = Math.round(Math.random() * spreadMs);
      const { graceMs } = options;
      link.session.leave({ code: "shutdown", graceMs, reconnectAfterMs, message: "the hub is going away" });
    }
    await this.#allGone(options.graceMs);
    this.close();
  }

  close(): void {
    this.#phase = "closed";
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const link of this.#links.keys()) link.close("shutdown");
  }

  admit(link: ServerLink<I>, registration: Registration): void {
    if (this.#phase !== "open") {
      throw new TunnelRefusal({
        status: 503,
        code: "shutting-down",
        message: "the hub is going away",
        retryAfterMs: 1000,
      });
    }
    this.#options.register(link.identity, registration);
    this.#registry.check(registration, performance.now(), this.#options.ownerOf?.(link.identity));
  }

  nextGeneration(): number {
    this.#generation += 1;
    return this.#generation;
  }

  onRegistered(link: ServerLink<I>, session: ServerSession<I>): void {
    this.#links.get(link)?.registered();
    const superseded = this.#registry.add(session, performance.now());
    this.sessions.add(session);
    const { workerId, software } = session.registration;
    this.#log.info({ sessionId: session.id, workerId, software, generation: session.generation }, "worker connected");
    // First the new one, so that its worker is never gone between the two calls.
    this.#call("onSession", () => this.#options.onSession(session));
    session.forgetDetails();
    for (const old of superseded) {
      this.#log.info({ sessionId: old.id, workerId, by: session.id }, "session superseded");
      // One that leaves already takes no place from anybody, and what runs there may end.
      const graceMs = old.isAccepting ? this.#limits.supersedeGraceMs : this.#limits.leavingGraceMs;
      old.leave({ code: "superseded", graceMs, reconnectAfterMs: 0, message: "a newer session of this worker id" });
    }
  }

  onUpdate(session: ServerSession<I>, details: unknown): void {
    this.#call("onUpdate", () => this.#options.onUpdate(session, details));
  }

  onEnd(link: ServerLink<I>, error: TunnelError): void {
    this.#links.get(link)?.leave();
    this.#links.delete(link);
    const { session } = link;
    if (session !== undefined) {
      this.#registry.remove(session);
      this.sessions.delete(session);
      const { workerId } = session.registration;
      this.#log.info({ sessionId: session.id, workerId, code: error.code, cause: error.message }, "worker gone");
      this.#call("onClose", () => this.#options.onClose(session, error));
    } else {
      this.#log.info({ code: error.code, cause: error.message }, "connection ended before a worker registered");
    }
    if (this.#links.size > 0) return;
    for (const resolve of this.#drainWaiters) resolve();
  }

  #spreadMs(graceMs: number): number {
    return Math.min(graceMs / 2, this.#links.size * RECONNECT_SPREAD_MS);
  }

  #clientOf(request: IncomingMessage): TunnelPeer {
    const ip = request.socket.remoteAddress ?? "";
    return this.#options.clientOf?.(request) ?? { ip, network: ip };
  }

  #onSocket(socket: WebSocket, { identity, request, place }: Admitted<I>): void {
    const options = {
      socket,
      identity,
      remoteAddress: this.#clientOf(request).ip,
      owner: this,
      hubId: this.#options.hubId,
      software: this.#options.software ?? "",
      limits: this.#limits,
      pool: this.#pool,
      slabs: this.#slabs,
      environment: NODE_ENVIRONMENT,
    };
    const link =
      socket.protocol === SUBPROTOCOL
        ? new V2ServerLink<I>(options)
        : new V1ServerLink<I>({ ...options, log: this.#log });
    this.#links.set(link, place);
    // Sockets keep the process alive, not the watch over them.
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS).unref();
  }

  #tick(): void {
    for (const link of this.#links.keys()) link.tick();
    this.#ticks += 1;
    if (this.#ticks % PRUNE_EVERY_TICKS !== 0) return;
    this.#registry.prune(performance.now());
    this.#places.prune();
    this.#slabs.trim();
  }

  #allGone(graceMs: number): Promise<void> {
    if (this.#links.size === 0) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#drainWaiters.add(resolve);
    const timer = setTimeout(resolve, graceMs);
    return promise.finally(() => {
      clearTimeout(timer);
      this.#drainWaiters.delete(resolve);
    });
  }

  /** The embedding program's mistakes must not end somebody's session. */
  #call(name: string, callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.#log.error({ err: error, callback: name }, "a callback of the tunnel threw");
    }
  }
}
