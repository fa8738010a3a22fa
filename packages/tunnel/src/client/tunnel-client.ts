import { randomUUID } from "node:crypto";

import type { WebSocket } from "ws";

import { limitsWith, NODE_ENVIRONMENT, poolOf, TICK_MS } from "../carrier/node-environment.ts";
import { SUBPROTOCOL } from "../carrier/websocket-carrier.ts";
import type { TunnelLimits } from "../limits.ts";
import type { LinkState } from "../link-state.ts";
import type { MemoryPool } from "../mux/memory-pool.ts";
import { SlabAllocator } from "../mux/slab.ts";
import type { TunnelError } from "../tunnel-error.ts";
import { SILENT_LOG, type TunnelLog } from "../tunnel-log.ts";
import type { TunnelStream } from "../tunnel-stream.ts";
import type { Goaway } from "../wire/control-frame.ts";
import type { HubMessage } from "../wire/session-message.ts";
import { retryDelayMs } from "./backoff.ts";
import { type ClientLink, type ClientLinkOwner, V2ClientLink } from "./client-link.ts";
import { connectUrl, dial, type DialFailure } from "./dial.ts";
import { V1ClientLink } from "./v1-client-link.ts";

/** Updates that wait for the socket. The oldest is dropped: a newer one tells more. */
const MAX_WAITING_UPDATES = 16;
/** The hub accepts 20 a second. */
const UPDATE_EVERY_MS = 100;
/** What may stand in a header. */
const TOKEN = /^[\x21-\x7e]+$/;
const SUPERSEDED_PAUSE_MS = 5000;
/** While a hub that is being replaced still sends us streams, its successor is looked for at least so often. */
const MOVE_RETRY_MS = 1000;

export interface TunnelClientOptions {
  /** ws, wss, http or https. The path /api/tokilake/connect is added when the path is empty. */
  readonly url: string;
  readonly token: string;
  readonly workerId: string;
  /** "tokiame/0.1.0" */
  readonly software: string;
  /** Number of this connection among those of this process, from 0. Default 0. Only the first may speak version 1. */
  readonly slot?: number;
  /** Shared by all connections of this process, so that they stand beside each other. Default: a random one. */
  readonly instanceId?: string;
  /** What to register with, asked at each connect. JSON. */
  details(): unknown;
  /** Called once for each stream the hub opens. A throw becomes RESET "internal". */
  serve(stream: TunnelStream): void | Promise<void>;
  onState(state: LinkState): void;
  /** What the hub's program tells by `TunnelSession.notify`. It must validate it. Default: nobody wants to know. */
  onNotice?(details: unknown): void;
  /** True: a first attempt that the hub answers with 401 or 403 stops the client instead of a long wait. */
  readonly failFast?: boolean;
  /** True: a hub that names no subprotocol in its answer is dialed again without, and speaks version 1. Default: it is refused. */
  readonly allowNoSubprotocol?: boolean;
  readonly limits?: Partial<TunnelLimits>;
  readonly log?: TunnelLog;
  /** PEM, besides those that Node trusts. */
  readonly caCertificates?: string | readonly string[];
}

export interface TunnelClient {
  readonly state: LinkState;
  readonly streamCount: number;
  /** To the hub's `onUpdate`. While not connected only the latest is kept. At most ten a second leave. */
  update(details: unknown): void;
  /** GOAWAY from the worker, running streams finish or are reset at the deadline, then closed. */
  drain(options: { readonly graceMs: number }): Promise<void>;
  /** At once, for good. */
  close(): void;
}

/** The worker's side: dials, registers, serves, and dials again until closed. @throws TypeError for a bad URL or token. */
export function connectTunnel(options: TunnelClientOptions): TunnelClient {
  connectUrl(options.url);
  if (!TOKEN.test(options.token)) throw new TypeError("the token is empty, or holds spaces or odd characters");
  const client = new Client(options);
  client.start();
  return client;
}

/** Why the client waits, and at least for how long. */
interface Pause {
  readonly code: string;
  readonly reason: string;
  readonly status?: number | undefined;
  /** Instead of the back-off. */
  readonly delayMs?: number | undefined;
  /** Not before. */
  readonly atLeastMs?: number | undefined;
}

class Client implements TunnelClient, ClientLinkOwner {
  readonly #options: TunnelClientOptions;
  readonly #limits: TunnelLimits;
  readonly #log: TunnelLog;
  readonly #pool: MemoryPool;
  readonly #slabs = new SlabAllocator();
  readonly #instanceId: string;
  /** The one that serves, or registers. */
  #link: ClientLink | undefined;
  /** To a hub that is being replaced: it still opens streams, and we register at its successor. */
  #outgoing: ClientLink | undefined;
  /** All connections, also those that only finish their streams. */
  readonly #links = new Set<ClientLink>();
  #state: LinkState = { is: "connecting", attempt: 0 };
  #attempt = 0;
  #isFirstAttempt = true;
  /** The hub, or a proxy before it, answers without a subprotocol. */
  #offersNone = false;
  #connectedAtMs: number | undefined;
  #updates: unknown[] = [];
  #sentUpdateAtMs = -UPDATE_EVERY_MS;
  #updateTimer: NodeJS.Timeout | undefined;
  #giveUpDial: (() => void) | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #tickTimer: NodeJS.Timeout | undefined;
  readonly #drainWaiters = new Set<() => void>();

  constructor(options: TunnelClientOptions) {
    this.#options = options;
    this.#instanceId = options.instanceId ?? randomUUID();
    this.#limits = limitsWith(options.limits);
    this.#log = options.log ?? SILENT_LOG;
    this.#pool = poolOf(this.#limits);
  }

  get state(): LinkState {
    return this.#state;
  }

  get streamCount(): number {
    let count = 0;
    for (const link of this.#links) count += link.streamCount;
    return count;
  }

  start(): void {
    // The socket or the retry keeps the process alive, not the watch over them.
    this.#tickTimer = setInterval(() => this.#tick(), TICK_MS).unref();
    this.#dial();
  }

  update(details: unknown): void {
    if (this.#state.is === "stopped") return;
    if (this.#link?.isRegistered !== true) this.#updates = [];
    this.#updates.push(details);
    if (this.#updates.length > MAX_WAITING_UPDATES) this.#updates.shift();
    this.#sendUpdates();
  }

  async drain(options: { readonly graceMs: number }): Promise<void> {
    if (this.#state.is === "stopped") return;
    this.#cancelDial();
    this.#setState({ is: "draining" });
    const gone = this.#allGone();
    for (const link of this.#links) link.leave({ code: "shutdown", graceMs: options.graceMs, tells: true });
    const timer = setTimeout(() => this.close(), options.graceMs);
    await gone;
    clearTimeout(timer);
    this.close();
  }

  close(): void {
    this.#stop({ is: "stopped", reason: "closed", code: "closed", message: "closed by this program" });
  }

  serve(stream: TunnelStream): void {
    try {
      void Promise.resolve(this.#options.serve(stream)).catch((error: unknown) => this.#onServeError(stream, error));
    } catch (error) {
      this.#onServeError(stream, error);
    }
  }

  onRegistered(link: ClientLink, message: { readonly sessionId: string; readonly generation: number }): void {
    if (link !== this.#link) return;
    this.#connectedAtMs = performance.now();
    this.#outgoing = undefined;
    const { sessionId, generation } = message;
    this.#setState({ is: "connected", version: link.version, sessionId, hubId: link.hubId, generation });
    this.#sendUpdates();
  }

  onRefused(link: ClientLink, message: HubMessage & { type: "refused" }): void {
    if (link !== this.#link) return;
    this.#link = undefined;
    const code = `refused:${message.code}`;
    if (message.isFatal) {
      this.#stop({ is: "stopped", reason: "refused", code, message: message.message });
      return;
    }
    link.leave({ code: "no-error", graceMs: 0, tells: false });
    this.#pause({ code, reason: message.message, atLeastMs: message.retryAfterMs });
  }

  onMove(link: ClientLink, afterMs: number): void {
    if (link !== this.#link) return;
    this.#link = undefined;
    this.#outgoing = link;
    this.#attempt = 0;
    const delayMs = Math.min(afterMs, this.#limits.maxRetryAfterMs);
    this.#pause({ code: "moving", reason: "the hub is being replaced", delayMs });
  }

  onNotice(link: ClientLink, details: unknown): void {
    // One that is being left tells of a hub that goes away.
    if (link !== this.#link) return;
    try {
      this.#options.onNotice?.(details);
    } catch (error) {
      this.#log.error({ err: error }, "a notice of the hub could not be taken");
    }
  }

  onGoaway(link: ClientLink, goaway: Goaway): void {
    if (goaway.code === "unsupported") {
      this.#stop({ is: "stopped", reason: "refused", code: "version", message: goaway.message });
      return;
    }
    const isCurrent = link === this.#link;
    // First, as a link without streams ends within `leave` and would count as lost: its pause is the hub's to say.
    if (isCurrent) this.#link = undefined;
    link.leave({ code: goaway.code, graceMs: goaway.graceMs, tells: false });
    if (isCurrent) this.#pause(pauseOfGoaway(goaway, this.#limits));
  }

  onEnd(link: ClientLink, error: TunnelError): void {
    this.#links.delete(link);
    if (link === this.#outgoing) {
      this.#outgoing = undefined;
      this.#attempt = 0;
    }
    if (link === this.#link) {
      this.#link = undefined;
      if (this.#state.is !== "draining") this.#pause({ code: "lost", reason: error.message });
    }
    if (this.#links.size > 0) return;
    for (const resolve of this.#drainWaiters) resolve();
  }

  #dial(): void {
    this.#setState({ is: "connecting", attempt: this.#attempt });
    const { url, token, caCertificates, slot = 0 } = this.#options;
    this.#giveUpDial = dial({
      url,
      token,
      timeoutMs: this.#limits.handshakeMs,
      offersNone: this.#offersNone,
      offersV2Only: slot > 0,
      ...(caCertificates === undefined ? {} : { caCertificates }),
      onOpen: (socket) => this.#onOpen(socket),
      onFailure: (failure) => this.#onDialFailure(failure),
    });
  }

  #onOpen(socket: WebSocket): void {
    this.#giveUpDial = undefined;
    this.#isFirstAttempt = false;
    const { workerId, software, slot = 0 } = this.#options;
    try {
      const details = this.#options.details();
      const linkOptions = {
        socket,
        registration: { workerId, instanceId: this.#instanceId, slot, software, details },
        owner: this,
        limits: this.#limits,
        pool: this.#pool,
        slabs: this.#slabs,
        environment: NODE_ENVIRONMENT,
      };
      const isV2 = socket.protocol === SUBPROTOCOL;
      this.#link = isV2 ? new V2ClientLink(linkOptions) : new V1ClientLink(linkOptions);
      this.#links.add(this.#link);
    } catch (error) {
      socket.terminate();
      this.#log.error({ err: error }, "cannot register");
      this.#pause({ code: "refused:details", reason: String(error) });
    }
  }

  #onDialFailure(failure: DialFailure): void {
    this.#giveUpDial = undefined;
    const isFirst = this.#isFirstAttempt;
    this.#isFirstAttempt = false;
    const { code, message, status } = failure;
    if (code === "no-version" && this.#options.allowNoSubprotocol === true && !this.#offersNone) {
      this.#offersNone = true;
      this.#dial();
      return;
    }
    if (
      code === "version" ||
      code === "no-version" ||
      (code === "auth" && isFirst && this.#options.failFast === true)
    ) {
      this.#stop({ is: "stopped", reason: "refused", code: code === "auth" ? code : "version", message });
      return;
    }
    const delayMs = code === "auth" ? this.#limits.authRetryMs : undefined;
    this.#pause({ code, reason: message, status, delayMs, atLeastMs: failure.retryAfterMs });
  }

  #pause(pause: Pause): void {
    if (this.#state.is === "stopped" || this.#state.is === "draining") return;
    if (this.#connectedAtMs !== undefined && performance.now() - this.#connectedAtMs >= this.#limits.stableAfterMs) {
      this.#attempt = 0;
    }
    this.#connectedAtMs = undefined;
    // The next one may be a newer hub.
    this.#offersNone = false;
    const backOffMs = retryDelayMs(this.#attempt, this.#limits, Math.random);
    const jitteredMs = this.#outgoing === undefined ? backOffMs : Math.min(backOffMs, MOVE_RETRY_MS);
    const atLeastMs = Math.min(pause.atLeastMs ?? 0, this.#limits.maxRetryAfterMs);
    const retryInMs = pause.delayMs ?? Math.round(atLeastMs + jitteredMs);
    this.#attempt += 1;
    const { code, reason, status } = pause;
    const state = { is: "waiting" as const, attempt: this.#attempt, retryInMs, reason, code };
    this.#retryTimer = setTimeout(() => this.#dial(), retryInMs);
    this.#setState(status === undefined ? state : { ...state, status });
  }

  #stop(state: LinkState & { is: "stopped" }): void {
    if (this.#state.is === "stopped") return;
    this.#cancelDial();
    clearInterval(this.#tickTimer);
    clearTimeout(this.#updateTimer);
    this.#state = state;
    this.#link = undefined;
    for (const link of this.#links) link.close("shutdown");
    this.#options.onState(state);
  }

  #cancelDial(): void {
    clearTimeout(this.#retryTimer);
    this.#giveUpDial?.();
    this.#giveUpDial = undefined;
  }

  #tick(): void {
    for (const link of this.#links) link.tick();
    this.#sendUpdates();
    if (this.streamCount === 0) this.#slabs.trim();
  }

  #sendUpdates(): void {
    const link = this.#link;
    while (link?.isRegistered === true && this.#updates.length > 0) {
      const now = performance.now();
      const waitMs = this.#sentUpdateAtMs + UPDATE_EVERY_MS - now;
      if (waitMs > 0) {
        this.#sendUpdatesIn(waitMs);
        return;
      }
      if (!this.#sendUpdate(link, this.#updates[0])) return;
      this.#sentUpdateAtMs = now;
      this.#updates.shift();
    }
  }

  #sendUpdatesIn(ms: number): void {
    this.#updateTimer ??= setTimeout(() => {
      this.#updateTimer = undefined;
      this.#sendUpdates();
    }, ms).unref();
  }

  /** False: try later. One that can never be sent counts as sent. */
  #sendUpdate(link: ClientLink, details: unknown): boolean {
    try {
      return link.update(details);
    } catch (error) {
      this.#log.error({ err: error }, "an update cannot be sent");
      return true;
    }
  }

  #allGone(): Promise<void> {
    if (this.#links.size === 0) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#drainWaiters.add(resolve);
    return promise;
  }

  #onServeError(stream: TunnelStream, error: unknown): void {
    this.#log.error({ err: error, streamId: stream.id }, "serving a stream failed");
    stream.reset("internal");
  }

  #setState(state: LinkState): void {
    if (this.#state.is === "stopped") return;
    this.#state = state;
    this.#options.onState(state);
  }
}

function pauseOfGoaway(goaway: Goaway, limits: TunnelLimits): Pause {
  const { code, message: reason, reconnectAfterMs } = goaway;
  if (code === "shutdown") {
    return { code: "lost", reason, delayMs: Math.min(reconnectAfterMs, limits.maxRetryAfterMs) };
  }
  if (code === "auth" || code === "revoked") return { code: "auth", reason, delayMs: limits.authRetryMs };
  // Somebody newer has our place. Coming back at once would only start a fight.
  if (code === "superseded") return { code: "refused:superseded", reason, atLeastMs: SUPERSEDED_PAUSE_MS };
  return { code: "lost", reason, atLeastMs: reconnectAfterMs };
}
