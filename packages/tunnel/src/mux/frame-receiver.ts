import { type TunnelLimits, WIRE_LIMITS } from "../limits.ts";
import { TunnelError, type TunnelErrorCode } from "../tunnel-error.ts";
import type { ControlAssembler } from "../wire/control-assembler.ts";
import { decodeGoaway, decodeReset, encodeReset, type Goaway } from "../wire/control-frame.ts";
import { FIRST_CRITICAL_TYPE, FLAG, FRAME, FrameCursor } from "../wire/frame.ts";
import { decodeOpening, decodeResponseHead, decodeTrailers } from "../wire/head-codec.ts";
import { decodeHello, type Hello } from "../wire/session-message.ts";
import type { LateBudget } from "./late-budget.ts";
import { isFinalStatus, MuxStream, type StreamHost, SWITCHING_PROTOCOLS } from "./mux-stream.ts";
import { RateLimit } from "./rate-limit.ts";

/** What received frames act on: the session. */
export interface FrameTarget extends StreamHost {
  readonly role: "hub" | "worker";
  readonly peer: Hello | undefined;
  readonly streams: ReadonlyMap<number, MuxStream>;
  readonly lingering: ReadonlySet<MuxStream>;
  readonly isDraining: boolean;
  readonly highestOpenedId: number;
  highestReceivedId: number;
  readonly late: LateBudget;
  readonly ended: TunnelError | undefined;
  onHello(hello: Hello): void;
  onOpen(stream: MuxStream): void;
  onGoaway(goaway: Goaway): void;
  onPing(payload: Buffer, isAnswer: boolean): void;
}

/** Bytes of ours earn the peer one CREDIT: so many, or a quarter of its windows when that is less, as it sends one for each. */
const BYTES_PER_CREDIT = 4096;
const TEN_SECONDS = 10;

/** Reads frames and applies them, and counts what a peer must not do too often. Throws TunnelError for what ends the session. */
export class FrameReceiver {
  readonly #target: FrameTarget;
  readonly #limits: TunnelLimits;
  readonly #control: ControlAssembler;
  readonly #cursor = new FrameCursor();
  readonly #pings: RateLimit;
  readonly #credits: RateLimit;
  #unknown: RateLimit | undefined;
  #late: RateLimit | undefined;
  readonly #controls: RateLimit;
  readonly #controlBytes: RateLimit;
  // Most sessions never need these.
  #faults: RateLimit | undefined;
  #resets: RateLimit | undefined;
  #opens: RateLimit | undefined;
  #creditFaults = 0;

  constructor(target: FrameTarget, limits: TunnelLimits, control: ControlAssembler) {
    this.#target = target;
    this.#limits = limits;
    this.#control = control;
    this.#pings = new RateLimit(limits.pingsPerSecond);
    this.#credits = new RateLimit(limits.creditsPerSecond);
    this.#controls = new RateLimit(limits.controlsPerSecond);
    this.#controlBytes = new RateLimit(limits.controlBytesPerSecond, limits.controlBurstBytes);
  }

  /** Applies all frames of one message. @throws TunnelError for what ends the session. */
  receive(message: Buffer): void {
    const cursor = this.#cursor;
    cursor.open(message);
    try {
      while (this.#target.ended === undefined && cursor.next()) this.#onFrame(cursor);
    } finally {
      cursor.release();
    }
  }

  /** We sent bytes: the peer may give so much more credit. */
  onSent(bytes: number): void {
    const window = this.#target.peer?.initialWindowBytes ?? Infinity;
    this.#credits.earn(bytes / Math.min(BYTES_PER_CREDIT, window / 4));
  }

  #onFrame(frame: FrameCursor): void {
    if (this.#target.peer === undefined && frame.type !== FRAME.hello) throw broken("the first frame must be HELLO");
    switch (frame.type) {
      case FRAME.data:
        return this.#onData(frame);
      case FRAME.credit:
        return this.#onCredit(frame);
      case FRAME.open:
        return this.#onOpen(frame);
      case FRAME.head:
        return this.#onHead(frame);
      case FRAME.trailers:
        return this.#onTrailers(frame);
      case FRAME.reset:
        return this.#onReset(frame);
      case FRAME.stop:
        return this.#onStop(frame);
      default:
        return this.#onSessionFrame(frame);
    }
  }

  #onSessionFrame(frame: FrameCursor): void {
    if (frame.type <= FRAME.control && frame.streamId !== 0) throw broken("a session frame with a stream id");
    switch (frame.type) {
      case FRAME.hello:
        if (this.#target.peer !== undefined) throw broken("HELLO twice");
        return this.#onHello(decodeHello(frame.payload()));
      case FRAME.ping:
        return this.#onPing(frame);
      case FRAME.goaway:
        if (!this.#controls.take(this.#target.nowMs)) throw abuse("too many GOAWAYs");
        return this.#target.onGoaway(decodeGoaway(frame));
      case FRAME.control:
        return this.#onControl(frame);
      default:
        if (frame.type >= FIRST_CRITICAL_TYPE) throw new TunnelError("unsupported", { message: "critical frame type" });
        if (!this.#mayIgnore()) throw abuse("too many unknown frames");
    }
  }

  #onHello(hello: Hello): void {
    if (hello.role === this.#target.role) throw broken("both ends have the same role");
    this.#target.onHello(hello);
  }

  #onPing(frame: FrameCursor): void {
    if (frame.length !== 8) throw broken("PING of a wrong size");
    if (!this.#pings.take(this.#target.nowMs)) throw abuse("too many PINGs");
    this.#target.onPing(frame.payload(), frame.hasFlag(FLAG.ack));
  }

  #onControl(frame: FrameCursor): void {
    const isLast = !frame.hasFlag(FLAG.more);
    if (isLast && !this.#controls.take(this.#target.nowMs)) throw abuse("too many CONTROLs");
    if (!this.#controlBytes.take(this.#target.nowMs, frame.length)) throw abuse("too many bytes of CONTROL");
    this.#control.add(frame.payload(), isLast);
  }

  #onOpen(frame: FrameCursor): void {
    const target = this.#target;
    const { streamId } = frame;
    const isOurs = streamId % 2 === (target.role === "hub" ? 0 : 1);
    if (isOurs || streamId <= target.highestReceivedId) throw broken("OPEN with a wrong id");
    target.highestReceivedId = streamId;
    if (target.role === "hub") {
      this.#opens ??= new RateLimit(this.#limits.workerOpensPerSecond);
      if (!this.#opens.take(target.nowMs)) throw abuse("too many OPENs");
      return this.#refuse(streamId, "refused");
    }
    if (target.isDraining) return this.#refuse(streamId, "refused");
    if (target.streams.size >= this.#limits.maxStreams || target.lingering.size >= this.#limits.maxLingeringStreams) {
      this.#countFault();
      return this.#refuse(streamId, "refused");
    }
    this.#accept(frame);
  }

  #accept(frame: FrameCursor): void {
    const { streamId } = frame;
    const hasEnd = frame.hasFlag(FLAG.end);
    try {
      const opening = decodeOpening(frame.payload());
      const stream = new MuxStream(this.#target, { id: streamId, opening, isOpener: false });
      if (hasEnd) stream.onEnd(undefined);
      this.#target.onOpen(stream);
    } catch (error) {
      if (!(error instanceof TunnelError)) throw error;
      this.#countFault();
      this.#refuse(streamId, error.code);
    }
  }

  /** Ends a stream that never lived here. Nothing of it reached the engine. */
  #refuse(streamId: number, code: TunnelErrorCode): void {
    this.#target.late.add(this.#limits.initialWindowBytes, this.#target.nowMs);
    this.#target.queueUrgent(encodeReset(streamId, code, { retrySafe: true }));
  }

  #onHead(frame: FrameCursor): void {
    const stream = this.#find(frame);
    if (stream === undefined) return;
    if (!stream.isOpener || stream.hasPeerEnded) return this.#fault(stream, "protocol", "HEAD out of place");
    if (stream.hasResponse) return this.#fault(stream, "protocol", "HEAD twice");
    const hasEnd = frame.hasFlag(FLAG.end);
    try {
      const head = decodeResponseHead(frame.payload());
      if (!isFinalStatus(head.status, stream.opening)) {
        if (head.status === SWITCHING_PROTOCOLS) throw broken("101 for a stream that asked for no WebSocket");
        stream.interimHeads += 1;
        if (stream.interimHeads > WIRE_LIMITS.interimHeads || hasEnd) throw broken("interim heads");
        return;
      }
      stream.onHead(head);
      if (hasEnd) stream.onEnd(undefined);
    } catch (error) {
      if (!(error instanceof TunnelError)) throw error;
      this.#fault(stream, error.code, error.detail);
    }
  }

  #onData(frame: FrameCursor): void {
    const target = this.#target;
    const length = frame.end - frame.start;
    const stream = target.streams.get(frame.streamId);
    if (stream === undefined) {
      this.#checkOpened(frame.streamId);
      if (!target.late.spend(length, target.nowMs)) throw broken("data for closed streams");
      if (length === 0) this.#countLate();
      return;
    }
    if (stream.hasPeerEnded) return this.#fault(stream, "protocol", "DATA after END");
    if (stream.isOpener && !stream.hasResponse) return this.#fault(stream, "protocol", "DATA before HEAD");
    if (length === 0) this.#countEmpty(stream, frame);
    else if (!this.#mayReceive(stream, length)) return;
    else if (!stream.receive.isDropped) stream.receive.deliver(frame.payload());
    if (frame.hasFlag(FLAG.end)) stream.onEnd(undefined);
  }

  #mayReceive(stream: MuxStream, length: number): boolean {
    if (stream.isOpener && stream.isBodyless) {
      this.#fault(stream, "protocol", "this answer has no body");
      return false;
    }
    if (stream.receive.window.receive(length)) return true;
    this.#creditFaults += 1;
    if (this.#creditFaults > this.#limits.maxCreditFaults) {
      throw new TunnelError("flow-control", { message: "data beyond credit again" });
    }
    this.#fault(stream, "flow-control", "data beyond credit");
    return false;
  }

  #onTrailers(frame: FrameCursor): void {
    const stream = this.#find(frame);
    if (stream === undefined) return;
    if (stream.hasPeerEnded || (stream.isOpener && !stream.hasResponse)) {
      return this.#fault(stream, "protocol", "TRAILERS out of place");
    }
    try {
      stream.onEnd(decodeTrailers(frame.payload()));
    } catch (error) {
      if (!(error instanceof TunnelError)) throw error;
      this.#fault(stream, error.code, error.detail);
    }
  }

  #onCredit(frame: FrameCursor): void {
    if (frame.length !== 8) throw broken("CREDIT of a wrong size");
    const maxOffset = frame.uint64();
    if (maxOffset > WIRE_LIMITS.maxOffset) throw broken("CREDIT too large");
    if (!this.#credits.take(this.#target.nowMs)) throw abuse("too many CREDITs");
    this.#find(frame)?.onCredit(maxOffset);
  }

  #onReset(frame: FrameCursor): void {
    const error = decodeReset(frame);
    const stream = this.#find(frame);
    if (stream === undefined) return;
    if (!stream.isOpener) this.#countReset();
    stream.fail(error, { keepsCompleteBody: true });
  }

  #onStop(frame: FrameCursor): void {
    if (frame.length !== 2) throw broken("STOP of a wrong size");
    this.#find(frame)?.onStop();
  }

  /** The stream of a frame; undefined when it is closed: then the frame is ignored. @throws when it was never opened. */
  #find(frame: FrameCursor): MuxStream | undefined {
    const stream = this.#target.streams.get(frame.streamId);
    if (stream === undefined) {
      this.#checkOpened(frame.streamId);
      this.#countLate();
    }
    return stream;
  }

  #checkOpened(streamId: number): void {
    const { role, highestOpenedId, highestReceivedId } = this.#target;
    const isOurs = streamId % 2 === (role === "hub" ? 0 : 1);
    if (streamId === 0 || streamId > (isOurs ? highestOpenedId : highestReceivedId)) {
      throw broken("a frame for a stream that was never opened");
    }
  }

  #fault(stream: MuxStream, code: TunnelErrorCode, message: string): void {
    this.#countFault();
    stream.reset(code, { message, isPeersFault: true });
  }

  /** A type that we do not know, now and then. */
  #mayIgnore(): boolean {
    this.#unknown ??= new RateLimit(this.#limits.unknownFramesPerSecond);
    return this.#unknown.take(this.#target.nowMs);
  }

  #countReset(): void {
    const { resetsPer10Seconds } = this.#limits;
    this.#resets ??= new RateLimit(resetsPer10Seconds / TEN_SECONDS, resetsPer10Seconds);
    if (!this.#resets.take(this.#target.nowMs)) throw abuse("too many RESETs");
  }

  #countFault(): void {
    const { faultsPer10Seconds } = this.#limits;
    this.#faults ??= new RateLimit(faultsPer10Seconds / TEN_SECONDS, faultsPer10Seconds);
    if (!this.#faults.take(this.#target.nowMs)) throw abuse("too many faulty streams");
  }

  #countLate(): void {
    const { lateFramesPerSecond } = this.#limits;
    this.#late ??= new RateLimit(lateFramesPerSecond, lateFramesPerSecond * 4);
    if (!this.#late.take(this.#target.nowMs)) throw abuse("too many frames for closed streams");
  }

  #countEmpty(stream: MuxStream, frame: FrameCursor): void {
    if (frame.hasFlag(FLAG.end)) return;
    const { nowMs } = this.#target;
    if (nowMs - stream.emptySinceMs >= 1000) {
      stream.emptySinceMs = nowMs;
      stream.emptyFrames = 0;
    }
    stream.emptyFrames += 1;
    if (stream.emptyFrames > this.#limits.emptyFramesPerSecond) throw abuse("too many empty DATA frames");
  }
}

function broken(message: string): TunnelError {
  return new TunnelError("protocol", { message });
}

function abuse(message: string): TunnelError {
  return new TunnelError("abuse", { message });
}
