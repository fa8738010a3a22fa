import type { WebSocket } from "ws";

import { WebSocketCarrier } from "../carrier/websocket-carrier.ts";
import type { TunnelLimits } from "../limits.ts";
import type { MemoryPool } from "../mux/memory-pool.ts";
import type { MuxEvents } from "../mux/mux-carrier.ts";
import type { MuxStream } from "../mux/mux-stream.ts";
import { Mux } from "../mux/mux.ts";
import type { SlabAllocator } from "../mux/slab.ts";
import { TunnelError, type TunnelErrorCode } from "../tunnel-error.ts";
import type { Registration } from "../tunnel-session.ts";
import type { TunnelStream } from "../tunnel-stream.ts";
import type { V1Environment } from "../v1/v1-environment.ts";
import type { Goaway } from "../wire/control-frame.ts";
import { decodeHubMessage, encodeWorkerMessage, type Hello, type HubMessage } from "../wire/session-message.ts";

/** What a link tells the client. */
export interface ClientLinkOwner {
  serve(stream: TunnelStream): void;
  onRegistered(link: ClientLink, session: { readonly sessionId: string; readonly generation: number }): void;
  onRefused(link: ClientLink, message: HubMessage & { type: "refused" }): void;
  /** Another hub takes over: register there after so long. Streams still come on this connection. */
  onMove(link: ClientLink, afterMs: number): void;
  /** The program around the hub has something to say to ours. */
  onNotice(link: ClientLink, details: unknown): void;
  /** The hub wants us to leave this connection. */
  onGoaway(link: ClientLink, goaway: Goaway): void;
  onEnd(link: ClientLink, error: TunnelError): void;
}

export interface ClientLinkOptions {
  readonly socket: WebSocket;
  readonly registration: Registration;
  readonly owner: ClientLinkOwner;
  readonly limits: TunnelLimits;
  readonly pool: MemoryPool;
  readonly slabs: SlabAllocator;
  readonly environment: V1Environment;
}

/** One connection of a worker, from the 101 to its end, of either version. */
export interface ClientLink {
  /** Of the protocol. */
  readonly version: 1 | 2;
  readonly hubId: string;
  readonly isRegistered: boolean;
  readonly streamCount: number;
  /** Once a second. */
  tick(): void;
  /** Leaves: the hub is told when it was our idea. Closed when the last stream ended, or at the deadline. */
  leave(options: { code: TunnelErrorCode; graceMs: number; tells: boolean }): void;
  /** False: something still waits to be sent, try again later. @throws TunnelError "too-large". */
  update(details: unknown): boolean;
  close(code: TunnelErrorCode): void;
}

/** A connection that speaks version 2. */
export class V2ClientLink implements ClientLink, MuxEvents {
  readonly version = 2;
  hubId = "";
  isRegistered = false;
  /** No new streams come: it is closed when the last one ended, or at the deadline. */
  #leaving: { readonly atMs: number; readonly code: TunnelErrorCode } | undefined;
  readonly #options: ClientLinkOptions;
  readonly #owner: ClientLinkOwner;
  readonly #mux: Mux;
  readonly #startedMs: number;

  /** @throws TunnelError "too-large" when the registration is. */
  constructor(options: ClientLinkOptions) {
    this.#options = options;
    this.#owner = options.owner;
    const { registration, limits, pool, slabs, environment } = options;
    const register = encodeWorkerMessage({ type: "register", registration });
    const carrier = new WebSocketCarrier(options.socket, {
      onMessage: (message) => this.#mux.receive(message),
      onClose: (error) => this.#mux.close(error, { tells: false }),
    });
    this.#mux = new Mux({ role: "worker", limits, pool, slabs, environment, carrier, events: this });
    this.#startedMs = this.#mux.nowMs;
    this.#mux.start(registration.software);
    this.#mux.sendControl(register);
  }

  get streamCount(): number {
    return this.#mux.streamCount;
  }

  tick(): void {
    this.#mux.tick();
    if (!this.isRegistered && this.#mux.nowMs - this.#startedMs > this.#options.limits.handshakeMs) {
      this.#mux.close(new TunnelError("protocol", { message: "the hub did not answer REGISTER" }), { tells: true });
    }
    this.#closeIfDone();
  }

  leave(options: { code: TunnelErrorCode; graceMs: number; tells: boolean }): void {
    if (this.#mux.ended !== undefined || this.#leaving !== undefined) return;
    const { code, graceMs } = options;
    if (options.tells) this.#mux.goaway({ code, graceMs, reconnectAfterMs: 0, message: "the worker is going away" });
    this.#leaving = { atMs: this.#mux.nowMs + graceMs, code };
    this.#closeIfDone();
  }

  update(details: unknown): boolean {
    return this.isRegistered && this.#mux.sendControl(encodeWorkerMessage({ type: "update", details }));
  }

  close(code: TunnelErrorCode): void {
    this.#mux.close(new TunnelError(code), { tells: true });
  }

  onHello(hello: Hello): void {
    this.hubId = hello.hubId ?? "";
  }

  onStream(stream: MuxStream): void {
    if (this.isRegistered) this.#owner.serve(stream);
    else stream.reset("refused", { retrySafe: true, message: "not registered yet" });
  }

  onControl(payload: Buffer): void {
    const message = decodeHubMessage(payload);
    if (message === undefined) return;
    if (message.type === "move") {
      if (this.isRegistered) this.#owner.onMove(this, message.afterMs);
      return;
    }
    if (message.type === "notice") {
      if (this.isRegistered) this.#owner.onNotice(this, message.details);
      return;
    }
    if (this.isRegistered) throw new TunnelError("protocol", { message: "answered REGISTER twice" });
    if (message.type === "refused") {
      this.#owner.onRefused(this, message);
      return;
    }
    this.isRegistered = true;
    this.#owner.onRegistered(this, message);
  }

  onGoaway(goaway: Goaway): void {
    this.#owner.onGoaway(this, goaway);
  }

  onIdle(): void {
    this.#closeIfDone();
  }

  onEnd(error: TunnelError): void {
    this.#owner.onEnd(this, error);
  }

  #closeIfDone(): void {
    const leaving = this.#leaving;
    if (leaving === undefined || this.#mux.ended !== undefined) return;
    const isLate = this.#mux.nowMs >= leaving.atMs;
    if (isLate) for (const stream of this.#mux.streams.values()) stream.reset(leaving.code);
    if (isLate || this.#mux.streamCount === 0) this.#mux.close(new TunnelError(leaving.code), { tells: true });
  }
}
