import { randomUUID } from "node:crypto";

import type { WebSocket } from "ws";

import { WebSocketCarrier } from "../carrier/websocket-carrier.ts";
import type { TunnelLimits } from "../limits.ts";
import type { MemoryPool } from "../mux/memory-pool.ts";
import type { MuxEvents } from "../mux/mux-carrier.ts";
import { Mux } from "../mux/mux.ts";
import type { SlabAllocator } from "../mux/slab.ts";
import { TunnelError, type TunnelErrorCode } from "../tunnel-error.ts";
import { TunnelRefusal } from "../tunnel-refusal.ts";
import type { Registration } from "../tunnel-session.ts";
import type { V1Environment } from "../v1/v1-environment.ts";
import type { Goaway } from "../wire/control-frame.ts";
import { decodeWorkerMessage, encodeHubMessage } from "../wire/session-message.ts";
import { ServerSession } from "./server-session.ts";

/** One connection at the hub, from the 101 on, of either version. Becomes a session when the worker has registered. */
export interface ServerLink<I> {
  readonly identity: I;
  readonly session: ServerSession<I> | undefined;
  /** Once a second. */
  tick(): void;
  /** Asks the worker to register again in so many milliseconds, and to serve here meanwhile. Version 1 has no word for it. */
  move(afterMs: number): void;
  close(code: TunnelErrorCode): void;
}

/** What a link asks of the server. */
export interface LinkOwner<I> {
  /** Checks who registers. @throws TunnelRefusal to refuse. */
  admit(link: ServerLink<I>, registration: Registration): void;
  nextGeneration(): number;
  onRegistered(link: ServerLink<I>, session: ServerSession<I>): void;
  onUpdate(session: ServerSession<I>, details: unknown): void;
  onEnd(link: ServerLink<I>, error: TunnelError): void;
}

export interface ServerLinkOptions<I> {
  readonly socket: WebSocket;
  readonly identity: I;
  readonly remoteAddress: string;
  readonly owner: LinkOwner<I>;
  readonly hubId: string;
  readonly software: string;
  readonly limits: TunnelLimits;
  readonly pool: MemoryPool;
  readonly slabs: SlabAllocator;
  readonly environment: V1Environment;
}

/** A connection that speaks version 2. */
export class V2ServerLink<I> implements ServerLink<I>, MuxEvents {
  readonly identity: I;
  session: ServerSession<I> | undefined;
  readonly #options: ServerLinkOptions<I>;
  readonly #owner: LinkOwner<I>;
  readonly #mux: Mux;
  readonly #startedMs: number;
  /** What did not leave yet, the last of each. */
  readonly #unsent = new Map<"move" | "notice", Buffer>();

  constructor(options: ServerLinkOptions<I>) {
    this.#options = options;
    this.identity = options.identity;
    this.#owner = options.owner;
    const carrier = new WebSocketCarrier(options.socket, {
      onMessage: (message) => this.#mux.receive(message),
      onClose: (error) => this.#mux.close(error, { tells: false }),
    });
    const { hubId, software, limits, pool, slabs, environment } = options;
    this.#mux = new Mux({
      role: "hub",
      limits,
      pool,
      slabs,
      environment,
      carrier,
      events: this,
    });
    this.#startedMs = this.#mux.nowMs;
    this.#mux.start(software, hubId);
  }

  /** Once a second. */
  tick(): void {
    this.#mux.tick();
    this.#sendUnsent();
    if (this.session !== undefined) {
      this.session.closeIfDone();
    } else if (this.#mux.nowMs - this.#startedMs > this.#options.limits.handshakeMs) {
      this.#mux.close(new TunnelError("protocol", { message: "no REGISTER in time" }), { tells: true });
    }
  }

  move(afterMs: number): void {
    this.#unsent.set("move", encodeHubMessage({ type: "move", afterMs }));
    this.#sendUnsent();
  }

  close(code: TunnelErrorCode): void {
    this.#mux.close(new TunnelError(code), { tells: true });
  }

  onHello(): void {
    // REGISTER follows.
  }

  onStream(): void {
    // A hub never gets streams: its mux refuses them.
  }

  onControl(payload: Buffer): void {
    const message = decodeWorkerMessage(payload);
    if (message === undefined) return;
    if (message.type === "register") this.#onRegister(message.registration);
    else if (this.session === undefined) throw new TunnelError("protocol", { message: "update before register" });
    else this.#owner.onUpdate(this.session, message.details);
  }

  onGoaway(_goaway: Goaway): void {
    // The mux opens no more streams; the worker closes when the last one ended.
  }

  onIdle(): void {
    this.session?.closeIfDone();
  }

  onEnd(error: TunnelError): void {
    this.#owner.onEnd(this, error);
  }

  #onRegister(registration: Registration): void {
    if (this.session !== undefined) throw new TunnelError("protocol", { message: "register twice" });
    try {
      this.#owner.admit(this, registration);
    } catch (error) {
      if (!(error instanceof TunnelRefusal)) throw error;
      this.#refuse(error);
      return;
    }
    const session = new ServerSession({
      id: randomUUID(),
      version: 2,
      protocol: this.#mux,
      identity: this.identity,
      registration,
      generation: this.#owner.nextGeneration(),
      remoteAddress: this.#options.remoteAddress,
      openedAtMs: Date.now(),
      notify: (details) => {
        this.#unsent.set("notice", encodeHubMessage({ type: "notice", details }));
        this.#sendUnsent();
      },
    });
    this.session = session;
    const { id: sessionId, generation } = session;
    this.#mux.sendControl(encodeHubMessage({ type: "registered", sessionId, generation }));
    this.#owner.onRegistered(this, session);
  }

  #sendUnsent(): void {
    for (const [type, message] of this.#unsent) if (this.#mux.sendControl(message)) this.#unsent.delete(type);
  }

  #refuse(refusal: TunnelRefusal): void {
    const { code, message, fatal: isFatal, retryAfterMs } = refusal;
    const answer = { type: "refused" as const, code, message, isFatal };
    this.#mux.sendControl(encodeHubMessage(retryAfterMs === undefined ? answer : { ...answer, retryAfterMs }));
    this.#mux.close(new TunnelError("refused", { message }), { tells: true });
  }
}
