import type { TunnelLimits } from "../limits.ts";
import type { WindowEnvironment } from "../mux/credit-window.ts";
import type { MemoryPool } from "../mux/memory-pool.ts";
import type { MuxCarrier } from "../mux/mux-carrier.ts";
import { RateLimit } from "../mux/rate-limit.ts";
import { TunnelError, type TunnelErrorCode } from "../tunnel-error.ts";
import { TunnelRefusal } from "../tunnel-refusal.ts";
import type { StreamOpening } from "../tunnel-stream.ts";
import { announcementOf } from "./announcement.ts";
import { type CancelHost, CancelList } from "./cancel-list.ts";
import { decodeMessage, encodeMessage, type V1ErrorCode, type V1Facts, type V1Message } from "./control-message.ts";
import { type HubStreamHost, V1HubStream } from "./hub-stream.ts";
import { LineReader } from "./json-lines.ts";
import { SmuxOutlet } from "./smux-outlet.ts";
import { SmuxSession, type SmuxSessionEvents } from "./smux-session.ts";
import { UploadTurns } from "./upload-turns.ts";
import type { V1Environment } from "./v1-environment.ts";

export interface V1HubSessionOptions {
  readonly limits: TunnelLimits;
  readonly pool: MemoryPool;
  readonly environment: V1Environment;
  readonly carrier: MuxCarrier;
  readonly events: V1HubEvents;
}

/** What a session tells the program around it. */
export interface V1HubEvents {
  /** Returns the number of the session for the worker's log. @throws TunnelRefusal to refuse. */
  onRegister(workerId: string, details: unknown): number;
  /** Another announcement than the last one. */
  onUpdate(details: unknown): void;
  /** The worker reports an error of its own. */
  onWorkerError(code: string, message: string): void;
  /** No stream is left. */
  onIdle(): void;
  onEnd(error: TunnelError): void;
}

// eslint-disable-next-line no-control-regex -- these are what we look for
const NAMESPACE = /^[^\u0000-\u001f\u007f]{1,256}$/u;
const FIRST_ID = 2;
/** So much may come before the sum of what is stored is counted again. */
const COUNT_EVERY_BYTES = 1024 * 1024;
const CANCEL_REASON = "client_disconnected";
/** Of the answer to a cancellation, whose id holds the namespace. */
const MAX_ACK_BYTES = 2048;

/**
 * The hub's end of a session with a v1 worker: smux server, even ids from 2, the first stream of the worker is the control
 * stream. `receive` and `tick` never throw. It always reads, so a slow client hurts only its own stream.
 */
export class V1HubSession implements SmuxSessionEvents, HubStreamHost, CancelHost {
  readonly limits: TunnelLimits;
  readonly windows: WindowEnvironment;
  readonly uploads: UploadTurns;
  readonly streams = new Map<number, V1HubStream>();
  /** v1 has no pings. */
  readonly roundTripMs = undefined;
  readonly #environment: V1Environment;
  readonly #events: V1HubEvents;
  readonly #smux: SmuxSession;
  readonly #cancelled: CancelList;
  /** Ended on the wire, with bytes that our reader did not read yet. */
  readonly #lingering = new Set<V1HubStream>();
  readonly #lines: LineReader;
  readonly #messageRate: RateLimit;
  readonly #byteRate: RateLimit;
  readonly #openRate: RateLimit;
  readonly #startedMs: number;
  #control: SmuxOutlet | undefined;
  #controlId: number | undefined;
  #facts: V1Facts | undefined;
  #announced = "";
  #nextId = FIRST_ID;
  #workerNumber = 0;
  #uncountedBytes = 0;
  #isDraining = false;

  constructor(options: V1HubSessionOptions) {
    const { limits, environment, carrier } = options;
    this.limits = limits;
    this.#environment = environment;
    this.#events = options.events;
    const windowBytes = limits.v1StreamStoreBytes;
    const sizes = { initialWindowBytes: windowBytes, maxWindowBytes: windowBytes };
    this.windows = { ...sizes, pool: options.pool, roundTripMs: undefined };
    this.uploads = new UploadTurns(limits.v1LargeBodies);
    this.#lines = new LineReader(limits.v1ControlLineBytes);
    this.#messageRate = new RateLimit(limits.controlsPerSecond);
    this.#byteRate = new RateLimit(limits.controlBytesPerSecond, limits.controlBurstBytes);
    this.#openRate = new RateLimit(limits.workerOpensPerSecond);
    this.#cancelled = new CancelList(this, limits.v1MaxCancelled);
    this.#smux = new SmuxSession({ limits, environment, carrier, events: this });
    this.#startedMs = this.nowMs;
  }

  get nowMs(): number {
    return this.#environment.now();
  }

  get ended(): TunnelError | undefined {
    return this.#smux.ended;
  }

  get isAccepting(): boolean {
    return this.ended === undefined && !this.#isDraining && this.#facts !== undefined;
  }

  get streamCount(): number {
    return this.streams.size;
  }

  get bytesReceived(): number {
    return this.#smux.bytesReceived;
  }

  get bytesSent(): number {
    return this.#smux.bytesSent;
  }

  receive(message: Buffer): void {
    this.#smux.receive(message);
  }

  /** Once a second. */
  tick(): void {
    const { v1RegisterMs, v1SilenceMs, slowConsumerMs } = this.limits;
    this.#smux.tick(v1SilenceMs);
    if (this.ended !== undefined) return;
    if (this.#facts === undefined && this.nowMs - this.#startedMs > v1RegisterMs) {
      this.close(new TunnelError("protocol", { message: "no register in time" }), { tells: true });
      return;
    }
    for (const stream of [...this.streams.values(), ...this.#lingering]) {
      const { queuedBytes, waitingSinceMs } = stream.receive;
      if (queuedBytes === 0 || this.nowMs - waitingSinceMs <= slowConsumerMs) continue;
      stream.reset("slow-consumer", { message: "data waits and nobody reads it" });
    }
    if (this.#nextId > this.limits.lastStreamId && this.streams.size === 0) {
      this.close(new TunnelError("id-exhausted"), { tells: true });
    }
  }

  /** @throws TunnelError "refused", "unsupported" (both retry-safe) or "too-large". */
  open(opening: StreamOpening): V1HubStream {
    if (!this.isAccepting) throw refused("the session takes no new streams");
    if (this.streams.size >= this.limits.maxStreams) throw refused("the session is full");
    if (this.#lingering.size >= this.limits.maxLingeringStreams) throw refused("too many unread answers");
    if (this.#nextId > this.limits.lastStreamId) throw refused("the session's ids are used up");
    const stream = new V1HubStream(this, { id: this.#nextId, opening });
    this.#nextId += 2;
    this.streams.set(stream.id, stream);
    return stream;
  }

  /** No new streams. v1 cannot tell the worker: it notices when the connection closes, and dials again 5 s later. */
  goaway(): void {
    this.#isDraining = true;
  }

  /** `tells`: the worker hears why, unless that is only that we go away. */
  close(error: TunnelError, options: { readonly tells: boolean }): void {
    if (this.ended !== undefined) return;
    if (options.tells && TOLD.has(error.code)) {
      this.#say({ type: "error", requestId: "", error: { code: error.code, message: error.detail } });
    }
    this.#smux.close(error, options);
  }

  // What streams ask for.

  queue(outlet: SmuxOutlet): void {
    this.#smux.queue(outlet);
  }

  onStreamClosed(stream: V1HubStream, options: { readonly isRunning: boolean }): void {
    this.streams.delete(stream.id);
    if (stream.receive.queuedBytes > 0) this.#lingering.add(stream);
    if (this.ended !== undefined) return;
    if (options.isRunning) this.#cancelled.add(stream.outlet, stream.opening.requestId);
    else this.closeStream(stream.outlet);
    if (this.streams.size === 0) this.#environment.schedule(() => this.#tellIdle());
  }

  onStreamRead(stream: V1HubStream): void {
    this.#lingering.delete(stream);
  }

  // What the list of cancellations asks for.

  after(ms: number, task: () => void): void {
    this.#environment.after(ms, () => {
      if (this.ended === undefined) task();
    });
  }

  sendCancel(requestId: string, streamId: number): void {
    const ownId = `${this.#facts?.namespace ?? ""}:cancel:${streamId}`;
    // The worker answers each: a hundred clients that hang up at once are no abuse of its.
    this.#messageRate.earn(1);
    this.#byteRate.earn(MAX_ACK_BYTES);
    this.#say({ type: "cancel_request", requestId: ownId, targetRequestId: requestId, reason: CANCEL_REASON });
  }

  closeStream(outlet: SmuxOutlet): void {
    outlet.abandon();
    this.queue(outlet);
  }

  // What frames mean.

  onOpen(id: number): void {
    if (this.#controlId === undefined) {
      this.#controlId = id;
      this.#control = this.#smux.openControl(id, { opens: false });
      return;
    }
    if (id === this.#controlId || this.streams.has(id)) return;
    // The original never accepts another stream of a worker. It is closed, and what comes on it is dropped.
    if (!this.#openRate.take(this.nowMs)) throw abuse("a worker opens streams");
    this.closeStream(new SmuxOutlet({ id, opens: false, roomBytes: 0 }));
  }

  onPush(id: number, piece: Buffer): void {
    if (this.ended !== undefined) return;
    if (id === this.#controlId) {
      if (!this.#byteRate.take(this.nowMs, piece.length)) throw abuse("too many bytes of control messages");
      this.#lines.push(piece, (line) => this.#onMessage(decodeMessage(line)));
      return;
    }
    const stream = this.streams.get(id);
    if (stream === undefined) this.#cancelled.onData(id);
    else this.#onStreamData(stream, piece);
  }

  onClose(id: number): void {
    if (this.ended !== undefined) return;
    if (id === this.#controlId) {
      this.close(new TunnelError("worker-lost", { message: "the worker closed its control stream" }), { tells: true });
      return;
    }
    this.#cancelled.onClose(id);
    this.streams.get(id)?.onPeerClose();
  }

  onEnd(error: TunnelError): void {
    this.#lines.close();
    for (const stream of this.streams.values()) stream.onSessionEnd(error);
    this.streams.clear();
    this.#lingering.clear();
    this.#events.onEnd(error);
  }

  #onStreamData(stream: V1HubStream, piece: Buffer): void {
    try {
      stream.onData(piece);
    } catch (error) {
      if (!(error instanceof TunnelError)) throw error;
      stream.reset("protocol", { message: error.message });
    }
    this.#uncountedBytes += piece.length;
    if (this.#uncountedBytes >= COUNT_EVERY_BYTES) this.#boundStored();
  }

  /** Too much is stored in sum: the stream that holds the most is the slowest. */
  #boundStored(): void {
    this.#uncountedBytes = 0;
    let sum = 0;
    let largest: V1HubStream | undefined;
    for (const stream of [...this.streams.values(), ...this.#lingering]) {
      sum += stream.storedBytes;
      if (largest === undefined || stream.storedBytes > largest.storedBytes) largest = stream;
    }
    if (sum > this.limits.v1StoredBytes) largest?.reset("slow-consumer", { message: "too much waits on this session" });
  }

  #onMessage(message: V1Message): void {
    if (this.ended !== undefined) return;
    if (!this.#messageRate.take(this.nowMs)) throw abuse("too many control messages");
    switch (message.type) {
      case "register":
        this.#onRegister(message.requestId, message.facts);
        return;
      case "models_sync":
        this.#onModels(message.requestId, message.facts);
        return;
      case "heartbeat":
        this.#onHeartbeat(message.requestId, message.facts);
        return;
      case "ack":
        this.#onAck(message.requestId, message.ack.message);
        return;
      case "error":
        this.#events.onWorkerError(message.error.code, message.error.message);
        return;
      case "auth":
        // A WebSocket was let in by its HTTP header; only QUIC says it here.
        this.#refuse(message.requestId, "auth_already_completed");
        return;
      case "cancel_request":
      case "unknown":
        this.#refuse(message.requestId, "unsupported_message_type");
    }
  }

  #onRegister(requestId: string, facts: V1Facts | undefined): void {
    if (this.#facts !== undefined) return this.#refuse(requestId, "register_already_completed");
    if (facts === undefined) return this.#refuse(requestId, "register_payload_missing");
    if (!NAMESPACE.test(facts.namespace)) return this.#refuse(requestId, "register_failed", "malformed namespace");
    const details = announcementOf(facts);
    this.#facts = facts;
    this.#announced = JSON.stringify(details);
    try {
      const workerNumber = this.#events.onRegister(facts.namespace, details);
      this.#acknowledge(requestId, "register_ok", workerNumber);
    } catch (error) {
      this.#facts = undefined;
      if (!(error instanceof TunnelRefusal)) throw error;
      this.#refuse(requestId, "register_failed", error.message);
    }
  }

  #onModels(requestId: string, said: V1Facts | undefined): void {
    if (said === undefined) return this.#refuse(requestId, "models_payload_missing");
    if (this.#facts === undefined) return this.#refuse(requestId, "not_registered");
    const { group, models, hardware, backendType } = said;
    this.#update({
      ...this.#facts,
      ...(group !== "" && { group }),
      ...(models !== undefined && { models }),
      ...(hardware !== undefined && { hardware }),
      ...(backendType !== "" && { backendType }),
    });
    this.#acknowledge(requestId, "models_sync_ok");
  }

  #onHeartbeat(requestId: string, said: V1Facts | undefined): void {
    if (said === undefined) return this.#refuse(requestId, "heartbeat_payload_missing");
    if (this.#facts === undefined) return this.#refuse(requestId, "not_registered");
    const { models = [], nodeName } = said;
    this.#update({ ...this.#facts, ...(models.length > 0 && { models }), ...(nodeName !== "" && { nodeName }) });
    this.#acknowledge(requestId, "heartbeat_ok");
  }

  /** Workers say the same again with each heartbeat: only news are told. */
  #update(facts: V1Facts): void {
    this.#facts = facts;
    const details = announcementOf(facts);
    const announced = JSON.stringify(details);
    if (announced === this.#announced) return;
    this.#announced = announced;
    this.#events.onUpdate(details);
  }

  #onAck(requestId: string, message: string): void {
    const streamId = /:cancel:(\d+)$/.exec(requestId)?.[1];
    if (streamId !== undefined) this.#cancelled.onAnswer(Number(streamId), message === "cancel_ok");
  }

  #acknowledge(requestId: string, message: string, workerNumber = this.#workerNumber): void {
    this.#workerNumber = workerNumber;
    const namespace = this.#facts?.namespace ?? "";
    // Always with its object: a Go worker crashes without.
    this.#say({ type: "ack", requestId, ack: { message, namespace, workerNumber } });
  }

  /** Says why, and ends the session, as the original does. */
  #refuse(requestId: string, code: V1ErrorCode, message = code.replaceAll("_", " ")): void {
    this.#say({ type: "error", requestId, error: { code, message } });
    const ending = new TunnelError(code === "register_failed" ? "refused" : "protocol", { message });
    this.#smux.close(ending, { tells: true });
  }

  #say(message: Exclude<V1Message, { type: "unknown" }>): void {
    if (this.#control === undefined) return;
    this.#control.push(encodeMessage(message));
    this.#smux.queue(this.#control);
  }

  #tellIdle(): void {
    if (this.streams.size === 0 && this.ended === undefined) this.#events.onIdle();
  }
}

/** Endings of which the worker's owner should read. An `error` makes a Go worker deaf, so it is said right before the end. */
const TOLD: ReadonlySet<TunnelErrorCode> = new Set(["protocol", "abuse", "revoked", "auth", "refused", "superseded"]);

function abuse(message: string): TunnelError {
  return new TunnelError("abuse", { message });
}

function refused(message: string): TunnelError {
  return new TunnelError("refused", { message, retrySafe: true });
}
