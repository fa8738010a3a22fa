import { type TunnelLimits, WIRE_LIMITS } from "../limits.ts";
import { TunnelError, type TunnelErrorCode } from "../tunnel-error.ts";
import type { ResetOptions, StreamOpening } from "../tunnel-stream.ts";
import { ControlAssembler } from "../wire/control-assembler.ts";
import { encodeGoaway, encodeReset, type Goaway } from "../wire/control-frame.ts";
import { encodeFrame, FLAG, FRAME } from "../wire/frame.ts";
import { encodeHello, type Hello } from "../wire/session-message.ts";
import type { CreditWindow } from "./credit-window.ts";
import { FrameReceiver, type FrameTarget } from "./frame-receiver.ts";
import { LateBudget } from "./late-budget.ts";
import { Liveness } from "./liveness.ts";
import type { MemoryPool } from "./memory-pool.ts";
import type { MuxCarrier, MuxEnvironment, MuxEvents } from "./mux-carrier.ts";
import { MuxStream, type StreamHost } from "./mux-stream.ts";
import type { SendHalf } from "./send-half.ts";
import { type CreditSource, SendScheduler } from "./send-scheduler.ts";
import type { SlabAllocator } from "./slab.ts";

export interface MuxOptions {
  readonly role: "hub" | "worker";
  readonly limits: TunnelLimits;
  readonly pool: MemoryPool;
  readonly slabs: SlabAllocator;
  readonly environment: MuxEnvironment;
  readonly carrier: MuxCarrier;
  readonly events: MuxEvents;
}

/** Bodies held by a stalled stream while the pool is nearly used up: more than this, and it is ended early. */
const PRESSED_HELD_BYTES = 1024 * 1024;

/**
 * One session at either end: many streams over one carrier. A state machine without I/O, clock or randomness of its
 * own, so that a whole network of them runs in one test. `receive` and `tick` never throw; what the peer does wrong ends
 * the stream or the session.
 */
export class Mux implements StreamHost, FrameTarget {
  readonly limits: TunnelLimits;
  readonly pool: MemoryPool;
  readonly role: "hub" | "worker";
  readonly streams = new Map<number, MuxStream>();
  /** Closed on the wire, with bytes that our reader did not read yet. */
  readonly lingering = new Set<MuxStream>();
  nowMs: number;
  bytesReceived = 0;
  bytesSent = 0;
  peer: Hello | undefined;
  /** The highest id that the peer opened, and that we did. Ids up to them that are not in `streams` are closed. */
  highestReceivedId = 0;
  readonly late: LateBudget;
  readonly #environment: MuxEnvironment;
  readonly #carrier: MuxCarrier;
  readonly #events: MuxEvents;
  readonly #slabs: SlabAllocator;
  readonly #scheduler: SendScheduler;
  readonly #receiver: FrameReceiver;
  readonly #liveness: Liveness;
  readonly #control: ControlAssembler;
  #nextId: number;
  #inFlightBytes = 0;
  #isPumpPlanned = false;
  #isDraining = false;
  #peerGoaway: Goaway | undefined;
  #ended: TunnelError | undefined;

  constructor(options: MuxOptions) {
    const { limits, environment } = options;
    this.role = options.role;
    this.limits = limits;
    this.pool = options.pool;
    this.#environment = environment;
    this.#carrier = options.carrier;
    this.#events = options.events;
    this.#slabs = options.slabs;
    this.nowMs = environment.now();
    this.late = new LateBudget(limits.lateDataMs);
    this.#scheduler = new SendScheduler(limits);
    this.#control = new ControlAssembler((payload) => this.#events.onControl(payload));
    this.#receiver = new FrameReceiver(this, limits, this.#control);
    this.#liveness = new Liveness(environment, limits, (frame) => this.queueUrgent(frame));
    this.#nextId = options.role === "hub" ? 2 : 1;
  }

  get initialWindowBytes(): number {
    return this.limits.initialWindowBytes;
  }

  get maxWindowBytes(): number {
    return this.limits.maxWindowBytes;
  }

  get peerWindowBytes(): number {
    return this.peer?.initialWindowBytes ?? 0;
  }

  get roundTripMs(): number | undefined {
    return this.#liveness.roundTripMs;
  }

  get ended(): TunnelError | undefined {
    return this.#ended;
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** A stream may be opened, as far as the session goes. */
  get isAccepting(): boolean {
    return this.#ended === undefined && !this.#isDraining && this.#peerGoaway === undefined && this.peer !== undefined;
  }

  get streamCount(): number {
    return this.streams.size;
  }

  get highestOpenedId(): number {
    return this.#nextId - 2;
  }

  /** Says HELLO, and asks for the first round trip. Call once. `hubId` of the hub only. */
  start(software: string, hubId?: string): void {
    const { initialWindowBytes, maxStreams } = this.limits;
    const hello = { role: this.role, software, initialWindowBytes, maxStreams };
    const grease = `grease-${Math.floor(this.#environment.random() * 0xffff).toString(16)}`;
    const payload = encodeHello(hubId === undefined ? hello : { ...hello, hubId }, grease);
    this.queueUrgent(encodeFrame(FRAME.hello, 0, 0, payload));
    this.#liveness.start();
  }

  /** Takes one message of the carrier. Never throws, never waits. */
  receive(message: Buffer): void {
    if (this.#ended !== undefined) return;
    this.nowMs = this.#environment.now();
    this.bytesReceived += message.length;
    this.#liveness.onReceived(this.nowMs);
    try {
      this.#receiver.receive(message);
    } catch (error) {
      const failure = error instanceof TunnelError ? error : new TunnelError("internal", { message: String(error) });
      this.close(failure, { tells: true });
    }
  }

  /** Once a second: pings, dead peers, stalls. */
  tick(): void {
    if (this.#ended !== undefined) return;
    this.nowMs = this.#environment.now();
    const verdict = this.#liveness.check(this.nowMs, this.#inFlightBytes > 0);
    if (verdict !== undefined) {
      this.close(new TunnelError("worker-lost", { message: verdict }), { tells: false });
      return;
    }
    for (const stream of this.streams.values()) this.#checkStalls(stream);
    for (const stream of this.lingering) this.#checkReader(stream);
  }

  /** @throws TunnelError "refused", retry-safe, when no stream can be opened now; "protocol" or "too-large" for a bad opening. */
  open(opening: StreamOpening): MuxStream {
    if (!this.isAccepting) throw refused("the session takes no new streams");
    if (this.streams.size >= (this.peer?.maxStreams ?? 0)) throw refused("the session is full");
    if (this.lingering.size >= this.limits.maxLingeringStreams) throw refused("too many unread answers");
    const id = this.#nextId;
    if (id > this.limits.lastStreamId) throw refused("the session's ids are used up");
    this.nowMs = this.#environment.now();
    const stream = new MuxStream(this, { id, opening, isOpener: true });
    this.#nextId += 2;
    this.streams.set(id, stream);
    // Behind this stream's OPEN: a worker that has none leaves at once.
    if (this.#nextId > this.limits.lastStreamId) this.#environment.schedule(() => this.#sayExhausted());
    return stream;
  }

  /** Sends one CONTROL message. False: the one before still waits, ask again later. */
  sendControl(payload: Buffer): boolean {
    if (this.#ended !== undefined || this.#scheduler.waitingPieces > 0) return false;
    for (let at = 0; at === 0 || at < payload.length; at += WIRE_LIMITS.turnBytes) {
      const piece = payload.subarray(at, at + WIRE_LIMITS.turnBytes);
      const isLast = at + WIRE_LIMITS.turnBytes >= payload.length;
      this.#scheduler.addPiece(encodeFrame(FRAME.control, isLast ? 0 : FLAG.more, 0, piece));
    }
    this.#planPump();
    return true;
  }

  /** No new streams in either direction; those that run go on. */
  goaway(goaway: Omit<Goaway, "lastId">): void {
    if (this.#ended !== undefined) return;
    this.#isDraining = true;
    this.queueUrgent(encodeGoaway({ ...goaway, lastId: this.highestReceivedId }));
  }

  #sayExhausted(): void {
    this.goaway({ code: "id-exhausted", graceMs: this.limits.leavingGraceMs, reconnectAfterMs: 0, message: "" });
  }

  /** Ends the session. Every stream fails with the error's code, retry-safe where the peer cannot know of it. */
  close(error: TunnelError, options: { readonly tells: boolean }): void {
    if (this.#ended !== undefined) return;
    if (options.tells) {
      // What was said before, such as why a registration is refused, must not come behind the GOAWAY.
      this.#sendOne();
      // What went wrong inside this program is not the peer's business.
      const message = error.code === "internal" ? "" : error.detail;
      const goaway = { code: error.code, graceMs: 0, reconnectAfterMs: 0, message };
      this.#scheduler.addUrgent(encodeGoaway({ ...goaway, lastId: this.highestReceivedId }));
      this.#sendOne();
    }
    this.#ended = error;
    this.#scheduler.clear();
    for (const stream of this.streams.values()) stream.fail(sessionError(error, stream), { keepsCompleteBody: true });
    for (const stream of this.lingering) stream.receive.window.close();
    this.streams.clear();
    this.lingering.clear();
    if (options.tells) this.#carrier.finish(error);
    else this.#carrier.destroy();
    this.#events.onEnd(error);
  }

  // What streams ask for.

  queueStream(half: SendHalf): void {
    this.#scheduler.addStream(half);
    if (half.isQueued) this.#planPump();
  }

  queueCredit(source: CreditSource): void {
    this.#scheduler.addCredit(source);
    this.#planPump();
  }

  queueUrgent(frame: Buffer): void {
    this.#scheduler.addUrgent(frame);
    if (this.#scheduler.urgentBytes > this.limits.maxUrgentBytes) {
      this.close(new TunnelError("abuse", { message: "control frames are not read" }), { tells: false });
      return;
    }
    this.#planPump();
  }

  sendReset(stream: MuxStream, code: TunnelErrorCode, options: ResetOptions | undefined): void {
    if (!stream.isKnownToPeer) return;
    this.late.add(stream.receive.window.unusedBytes, this.nowMs);
    this.queueUrgent(encodeReset(stream.id, code, options));
  }

  onStreamClosed(stream: MuxStream): void {
    this.streams.delete(stream.id);
    if (stream.receive.queuedBytes > 0) this.lingering.add(stream);
    else releaseWindow(stream.receive.window);
    // Not at once: the stream's last frame may be in a message that is still being written.
    if (this.streams.size === 0) this.#environment.schedule(() => this.#tellIdle());
  }

  onStreamRead(stream: MuxStream): void {
    if (this.lingering.delete(stream)) releaseWindow(stream.receive.window);
  }

  // What frames mean for the session.

  onHello(hello: Hello): void {
    this.peer = hello;
    this.#events.onHello(hello);
  }

  onOpen(stream: MuxStream): void {
    this.streams.set(stream.id, stream);
    this.#events.onStream(stream);
  }

  onGoaway(goaway: Goaway): void {
    this.#peerGoaway = goaway;
    for (const stream of this.streams.values()) {
      if (!stream.isOpener || stream.id <= goaway.lastId) continue;
      stream.fail(new TunnelError("refused", { retrySafe: true, isLocal: false }), { keepsCompleteBody: false });
    }
    this.#events.onGoaway(goaway);
  }

  onPing(payload: Buffer, isAnswer: boolean): void {
    if (isAnswer) this.#liveness.onAnswer(payload, this.#environment.now());
    else this.#liveness.answer(payload, this.#scheduler.urgentBytes);
  }

  // Sending.

  #planPump(): void {
    if (this.#isPumpPlanned || this.#ended !== undefined) return;
    this.#isPumpPlanned = true;
    this.#environment.schedule(() => {
      this.#isPumpPlanned = false;
      this.#pump();
    });
  }

  /** Fills the carrier up to its 128 KiB. Called when something was queued and when something was sent. */
  #pump(): void {
    if (this.#ended !== undefined) return;
    this.nowMs = this.#environment.now();
    while (this.#inFlightBytes < this.limits.carrierBytes && this.#scheduler.hasWork) {
      if (!this.#sendOne()) return;
    }
  }

  #tellIdle(): void {
    if (this.streams.size === 0 && this.#ended === undefined) this.#events.onIdle();
  }

  #sendOne(): boolean {
    const slab = this.#slabs.reserve(WIRE_LIMITS.maxSendMessageBytes);
    const start = slab.used;
    const end = this.#scheduler.fill(slab.buffer, start, start + WIRE_LIMITS.maxSendMessageBytes, this.nowMs);
    const bytes = end - start;
    if (bytes === 0) return false;
    const message = this.#slabs.commit(slab, end);
    // The first bytes start the clock of a stall; more behind stuck ones must not set it back.
    if (this.#inFlightBytes === 0) this.#liveness.onProgress(this.nowMs);
    this.#inFlightBytes += bytes;
    this.bytesSent += bytes;
    this.#receiver.onSent(bytes);
    this.#carrier.send(message, () => {
      this.#slabs.release(slab);
      this.#inFlightBytes -= bytes;
      this.#liveness.onProgress(this.nowMs);
      if (this.#scheduler.hasWork) this.#pump();
    });
    return true;
  }

  // Once a second.

  #checkStalls(stream: MuxStream): void {
    if (stream.blockedSinceMs > 0 && this.nowMs - stream.blockedSinceMs > this.limits.creditWaitMs) {
      stream.reset("idle", { message: "no credit for too long" });
      return;
    }
    this.#checkReader(stream);
  }

  #checkReader(stream: MuxStream): void {
    const { queuedBytes, heldBytes, waitingSinceMs } = stream.receive;
    if (queuedBytes === 0) return;
    const isPressed = heldBytes > PRESSED_HELD_BYTES && this.pool.isPressed;
    const limitMs = isPressed ? this.limits.slowConsumerPressedMs : this.limits.slowConsumerMs;
    if (this.nowMs - waitingSinceMs <= limitMs) return;
    const message = "data waits and nobody reads it";
    if (stream.isClosed) stream.receive.fail(new TunnelError("slow-consumer", { message }));
    else stream.reset("slow-consumer", { message });
  }
}

function refused(message: string): TunnelError {
  return new TunnelError("refused", { message, retrySafe: true });
}

/** A request of which nothing was handed to the carrier may be sent elsewhere. */
function sessionError(error: TunnelError, stream: MuxStream): TunnelError {
  const { code, detail: message, isLocal } = error;
  return new TunnelError(code, { message, isLocal, retrySafe: stream.isOpener && !stream.isKnownToPeer });
}

function releaseWindow(window: CreditWindow): void {
  window.close();
}
