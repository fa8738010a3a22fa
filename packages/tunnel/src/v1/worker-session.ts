import type { TunnelLimits } from "../limits.ts";
import type { WindowEnvironment } from "../mux/credit-window.ts";
import type { MemoryPool } from "../mux/memory-pool.ts";
import type { MuxCarrier } from "../mux/mux-carrier.ts";
import { TunnelError } from "../tunnel-error.ts";
import type { TunnelStream } from "../tunnel-stream.ts";
import { factsOfAnnouncement } from "./announcement.ts";
import { decodeMessage, encodeMessage, type V1Error, type V1Facts, type V1Message } from "./control-message.ts";
import { decodeRequest } from "./data-frame.ts";
import { LineReader } from "./json-lines.ts";
import { SmuxOutlet } from "./smux-outlet.ts";
import { SmuxSession, type SmuxSessionEvents } from "./smux-session.ts";
import type { V1Environment } from "./v1-environment.ts";
import { V1WorkerStream, type WorkerStreamHost } from "./worker-stream.ts";

export interface V1WorkerSessionOptions {
  readonly namespace: string;
  readonly limits: TunnelLimits;
  readonly pool: MemoryPool;
  readonly environment: V1Environment;
  readonly carrier: MuxCarrier;
  readonly events: V1WorkerEvents;
}

/** What a session tells the program around it. */
export interface V1WorkerEvents {
  onRegistered(): void;
  onStream(stream: TunnelStream): void;
  /** The hub sends us away. The session ends right after. */
  onRefused(error: V1Error): void;
  /** No stream is left. */
  onIdle(): void;
  onEnd(error: TunnelError): void;
}

/** As the original worker: smux counts its own streams up from 1, by two, before it uses the number. */
const CONTROL_ID = 3;
/** A request's line holds its body in base64, and a head. */
const LINE_SHARE = 4 / 3;
const REQUEST_HEAD_BYTES = 256 * 1024;

/** A stream whose request has not come in full. */
interface HalfRequest {
  readonly outlet: SmuxOutlet;
  readonly lines: LineReader;
}

/**
 * Our worker's end of a session with an original hub: smux client, control stream 3, register, models_sync, heartbeats.
 * `receive` and `tick` never throw.
 */
export class V1WorkerSession implements SmuxSessionEvents, WorkerStreamHost {
  readonly limits: TunnelLimits;
  readonly windows: WindowEnvironment;
  readonly streams = new Map<number, V1WorkerStream>();
  readonly #namespace: string;
  readonly #environment: V1Environment;
  readonly #events: V1WorkerEvents;
  readonly #smux: SmuxSession;
  readonly #control: SmuxOutlet;
  readonly #lines: LineReader;
  readonly #half = new Map<number, HalfRequest>();
  readonly #streamsByRequest = new Map<string, V1WorkerStream>();
  #facts: V1Facts | undefined;
  #phase: "new" | "registering" | "syncing" | "registered" = "new";
  #askedAtMs = 0;
  #askedId = "";
  #heartbeatAtMs = 0;
  #messageCount = 0;

  constructor(options: V1WorkerSessionOptions) {
    const { limits, environment, carrier, pool } = options;
    this.#namespace = options.namespace;
    this.limits = limits;
    this.#environment = environment;
    this.#events = options.events;
    const { initialWindowBytes, maxWindowBytes } = limits;
    this.windows = { initialWindowBytes, maxWindowBytes, pool, roundTripMs: undefined };
    this.#lines = new LineReader(limits.v1ControlLineBytes);
    this.#smux = new SmuxSession({ limits, environment, carrier, events: this });
    this.#control = this.#smux.openControl(CONTROL_ID, { opens: true });
  }

  get nowMs(): number {
    return this.#environment.now();
  }

  get ended(): TunnelError | undefined {
    return this.#smux.ended;
  }

  get isRegistered(): boolean {
    return this.#phase === "registered";
  }

  get streamCount(): number {
    return this.streams.size;
  }

  /** Opens the control stream and registers. Call once. @throws TunnelError "too-large" when the announcement is. */
  start(details: unknown): void {
    this.#facts = factsOfAnnouncement(details, this.#namespace) ?? factsOfAnnouncement(NO_MODELS, this.#namespace);
    this.#phase = "registering";
    this.#ask({ type: "register", requestId: this.#newId("register"), facts: this.#facts });
  }

  receive(message: Buffer): void {
    this.#smux.receive(message);
  }

  /** Once a second. */
  tick(): void {
    const { deadAfterMs, v1AckMs, pingEveryMs } = this.limits;
    this.#smux.tick(deadAfterMs);
    if (this.ended !== undefined) return;
    if (!this.isRegistered) {
      if (this.nowMs - this.#askedAtMs <= v1AckMs) return;
      this.close(new TunnelError("protocol", { message: `the hub did not answer (${this.#phase})` }), { tells: true });
    } else if (this.nowMs - this.#heartbeatAtMs >= pingEveryMs) this.#sendHeartbeat();
  }

  /** Tells the hub of other models. What v1 has no message for is not sent. @throws TunnelError "too-large". */
  update(details: unknown): void {
    const facts = factsOfAnnouncement(details, this.#namespace);
    if (facts === undefined) return;
    this.#facts = facts;
    this.#say({ type: "models_sync", requestId: this.#newId("models"), facts });
  }

  /** `tells`: the WebSocket is closed in order. v1 has no words for it. */
  close(error: TunnelError, options: { readonly tells: boolean }): void {
    this.#smux.close(error, options);
  }

  // What streams ask for.

  queue(outlet: SmuxOutlet): void {
    this.#smux.queue(outlet);
  }

  onStreamClosed(stream: V1WorkerStream): void {
    this.streams.delete(stream.id);
    const { requestId } = stream.opening;
    if (this.#streamsByRequest.get(requestId) === stream) this.#streamsByRequest.delete(requestId);
    if (this.streams.size === 0) this.#environment.schedule(() => this.#tellIdle());
  }

  // What frames mean.

  onOpen(id: number): void {
    if (id === CONTROL_ID || this.streams.has(id) || this.#half.has(id)) return;
    const outlet = this.#newOutlet(id);
    if (this.streams.size + this.#half.size >= this.limits.maxStreams) {
      outlet.abandon();
      this.queue(outlet);
      return;
    }
    const maxLineBytes = Math.ceil(this.limits.v1RequestBodyBytes * LINE_SHARE) + REQUEST_HEAD_BYTES;
    this.#half.set(id, { outlet, lines: new LineReader(maxLineBytes) });
  }

  onPush(id: number, piece: Buffer): void {
    if (this.ended !== undefined) return;
    if (id === CONTROL_ID) {
      this.#lines.push(piece, (line) => this.#onMessage(decodeMessage(line)));
      return;
    }
    const half = this.#half.get(id);
    if (half === undefined) return;
    try {
      half.lines.push(piece, (line) => this.#onRequest(id, half, line));
      if (half.lines.heldBytes > FIRST_COUNTED_BYTES) this.#boundStored(id, half);
    } catch (error) {
      if (!(error instanceof TunnelError)) throw error;
      this.#dropHalf(id, half);
    }
  }

  /** The hub never half-closes: it does not want the answer any more. */
  onClose(id: number): void {
    if (this.ended !== undefined) return;
    if (id === CONTROL_ID) {
      this.close(new TunnelError("worker-lost", { message: "the hub closed the control stream" }), { tells: true });
      return;
    }
    const half = this.#half.get(id);
    if (half !== undefined) this.#dropHalf(id, half);
    const stream = this.streams.get(id);
    if (stream !== undefined) this.#cancel(stream);
  }

  onEnd(error: TunnelError): void {
    this.#lines.close();
    for (const half of this.#half.values()) half.lines.close();
    this.#half.clear();
    for (const stream of this.streams.values()) stream.drop(error);
    this.streams.clear();
    this.#streamsByRequest.clear();
    this.#events.onEnd(error);
  }

  #onRequest(id: number, half: HalfRequest, line: Buffer): void {
    // One line is all: what follows it is not looked at.
    half.lines.close();
    const request = decodeRequest(line);
    this.#half.delete(id);
    const stream = new V1WorkerStream(this, { outlet: half.outlet, request });
    this.streams.set(id, stream);
    this.#streamsByRequest.set(request.requestId, stream);
    this.#events.onStream(stream);
  }

  #newOutlet(id: number): SmuxOutlet {
    const roomBytes = this.limits.sendQueueBytes;
    const onRoom = (): void => this.streams.get(id)?.onRoom();
    return new SmuxOutlet({ id, opens: false, roomBytes, onRoom, onClosed: () => this.streams.get(id)?.onSent() });
  }

  #dropHalf(id: number, half: HalfRequest): void {
    this.#half.delete(id);
    half.lines.close();
    half.outlet.abandon();
    this.queue(half.outlet);
  }

  #cancel(stream: V1WorkerStream): void {
    stream.drop(new TunnelError("cancelled", { message: "the hub gave the request up", isLocal: false }));
  }

  /** A hub that begins many large requests at once loses the newest. */
  #boundStored(id: number, newest: HalfRequest): void {
    let sum = 0;
    for (const half of this.#half.values()) sum += half.lines.heldBytes;
    for (const stream of this.streams.values()) sum += stream.storedBytes;
    if (sum > this.limits.v1RequestStoreBytes) this.#dropHalf(id, newest);
  }

  #onMessage(message: V1Message): void {
    if (this.ended !== undefined) return;
    if (message.type === "ack") this.#onAck(message.requestId);
    else if (message.type === "error") this.#onError(message.error);
    else if (message.type === "cancel_request") this.#onCancel(message.requestId, message.targetRequestId);
  }

  /** Answers to other messages than the one we wait for are passed over, as the original does. */
  #onAck(requestId: string): void {
    if (requestId !== this.#askedId) return;
    if (this.#phase === "registering") {
      this.#phase = "syncing";
      this.#ask({ type: "models_sync", requestId: this.#newId("models"), facts: this.#facts });
    } else if (this.#phase === "syncing") {
      this.#phase = "registered";
      this.#heartbeatAtMs = this.nowMs;
      this.#events.onRegistered();
    }
  }

  #onError(error: V1Error): void {
    this.#events.onRefused(error);
    this.close(new TunnelError("refused", { message: `${error.code}: ${error.message}`, isLocal: false }), {
      tells: true,
    });
  }

  #onCancel(requestId: string, targetRequestId: string): void {
    const stream = this.#streamsByRequest.get(targetRequestId);
    this.#say({ type: "ack", requestId, ack: { message: stream === undefined ? "cancel_noop" : "cancel_ok" } });
    if (stream !== undefined) this.#cancel(stream);
  }

  #sendHeartbeat(): void {
    this.#heartbeatAtMs = this.nowMs;
    this.#say({ type: "heartbeat", requestId: this.#newId("heartbeat"), facts: this.#facts });
  }

  /** Says what the hub must answer. */
  #ask(message: V1Outgoing): void {
    this.#askedAtMs = this.nowMs;
    this.#askedId = message.requestId;
    this.#say(message);
  }

  #say(message: V1Outgoing): void {
    const line = encodeMessage(message);
    if (line.length > this.limits.v1ControlLineBytes) {
      throw new TunnelError("too-large", { message: `an announcement of ${line.length} bytes` });
    }
    this.#control.push(line);
    this.#smux.queue(this.#control);
  }

  #newId(kind: string): string {
    this.#messageCount += 1;
    return `${this.#namespace}:${kind}:${this.#messageCount}`;
  }

  #tellIdle(): void {
    if (this.streams.size === 0 && this.ended === undefined) this.#events.onIdle();
  }
}

type V1Outgoing = Exclude<V1Message, { type: "unknown" }>;

const NO_MODELS = { kind: "models" };
/** Half requests below it are not counted: 256 of them are 64 MiB at most. */
const FIRST_COUNTED_BYTES = 256 * 1024;
