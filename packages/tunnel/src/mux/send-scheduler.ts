import { type TunnelLimits, WIRE_LIMITS } from "../limits.ts";
import { CREDIT_BYTES, writeCredit } from "../wire/frame.ts";
import { Fifo } from "./fifo.ts";
import type { SendHalf, Turn } from "./send-half.ts";

/** Bulk streams get a byte for each four interactive ones when both always have data. */
const BULK_SHARE = 1 / 4;
const NO_MEMORY = Buffer.alloc(0);

/** A stream that owes the peer a CREDIT. Asked for the offset when the frame is written, so that a newer replaces an older. */
export interface CreditSource {
  readonly id: number;
  /** Undefined when none is owed any more. Asking settles the debt. */
  takeCreditOffset(): number | undefined;
}

/**
 * Decides what goes out next on one session. Control frames first. Then interactive streams in turns of 16 KiB, each
 * preceded by one piece of a CONTROL message. Then bulk streams in turns of 16 KiB; as data may be cut at any byte,
 * their round robin needs no deficit counters. Bulk gets 20 % when interactive streams always have data.
 */
export class SendScheduler {
  readonly #limits: TunnelLimits;
  #urgent = new Fifo<Buffer>();
  #urgentBytes = 0;
  #credits = new Fifo<CreditSource>();
  #pieces = new Fifo<Buffer>();
  #interactive = new Fifo<SendHalf>();
  #bulk = new Fifo<SendHalf>();
  /** Bytes that bulk may send before the next interactive turn. */
  #bulkBytesDue = 0;
  #turn: { target: Buffer; limit: number; budget: number } = { target: NO_MEMORY, limit: 0, budget: 0 };

  constructor(limits: TunnelLimits) {
    this.#limits = limits;
  }

  get hasWork(): boolean {
    return (
      this.#interactive.length > 0 ||
      this.#bulk.length > 0 ||
      this.#urgent.length > 0 ||
      this.#credits.length > 0 ||
      this.#pieces.length > 0
    );
  }

  get urgentBytes(): number {
    return this.#urgentBytes;
  }

  get waitingPieces(): number {
    return this.#pieces.length;
  }

  addUrgent(frame: Buffer): void {
    this.#urgent.push(frame);
    this.#urgentBytes += frame.length;
  }

  addCredit(source: CreditSource): void {
    this.#credits.push(source);
  }

  /** A CONTROL frame. Pieces of one message are added together, in order. */
  addPiece(frame: Buffer): void {
    this.#pieces.push(frame);
  }

  /** The stream may have something to send. */
  addStream(stream: SendHalf): void {
    if (stream.isQueued || !stream.isReady) return;
    stream.isQueued = true;
    // Heads are small and always interactive: a bulk request must reach its worker at once too.
    if ((stream.isBulk || stream.isDemoted) && !stream.isHeadWaiting) this.#bulk.push(stream);
    else this.#interactive.push(stream);
  }

  clear(): void {
    this.#urgent.clear();
    this.#urgentBytes = 0;
    this.#credits.clear();
    this.#pieces.clear();
    this.#interactive.clear();
    this.#bulk.clear();
  }

  /** Writes one message into `target` from `start`, not beyond `limit`. Returns its end; `start` when there is nothing. */
  fill(target: Buffer, start: number, limit: number, nowMs: number): number {
    const turn = this.#turn;
    turn.target = target;
    turn.limit = limit;
    let at = this.#writeCredits(turn, this.#writeUrgent(turn, start));
    for (;;) {
      const afterPiece = this.#writePiece(turn, at);
      const afterTurn = this.#writeStream(turn, afterPiece, nowMs);
      if (afterTurn === at) break;
      at = afterTurn;
    }
    turn.target = NO_MEMORY;
    return at;
  }

  #writeUrgent(turn: Turn, start: number): number {
    let at = start;
    for (let frame = this.#urgent.peek(); frame !== undefined; frame = this.#urgent.peek()) {
      if (at + frame.length > turn.limit) return at;
      turn.target.set(frame, at);
      at += frame.length;
      this.#urgentBytes -= frame.length;
      this.#urgent.shift();
    }
    return at;
  }

  #writeCredits(turn: Turn, start: number): number {
    let at = start;
    while (this.#credits.length > 0 && at + CREDIT_BYTES <= turn.limit) {
      const source = this.#credits.shift();
      const offset = source?.takeCreditOffset();
      if (source !== undefined && offset !== undefined) at = writeCredit(turn.target, at, source.id, offset);
    }
    return at;
  }

  #writePiece(turn: Turn, at: number): number {
    const piece = this.#pieces.peek();
    if (piece === undefined || at + piece.length > turn.limit) return at;
    turn.target.set(piece, at);
    this.#pieces.shift();
    return at + piece.length;
  }

  /** One turn of one stream that has something. `start` when none has, or the message is full. */
  #writeStream(turn: Turn & { budget: number }, start: number, nowMs: number): number {
    for (;;) {
      const isBulkTurn =
        this.#bulk.length > 0 && (this.#interactive.length === 0 || this.#bulkBytesDue >= WIRE_LIMITS.turnBytes);
      const ring = isBulkTurn ? this.#bulk : this.#interactive;
      const stream = ring.peek();
      if (stream === undefined) return start;
      const isAlone = isBulkTurn && this.#bulk.length === 1 && this.#interactive.length === 0;
      turn.budget = isAlone ? WIRE_LIMITS.maxPayloadBytes : WIRE_LIMITS.turnBytes;
      const end = stream.writeTurn(turn, start);
      // It could send and wrote nothing: the message is full. It keeps its place for the next one.
      if (end === start && stream.isReady) return start;
      ring.shift();
      stream.isQueued = false;
      this.#account(stream, { bytes: end - start, isBulkTurn, nowMs });
      this.addStream(stream);
      if (end !== start) return end;
    }
  }

  #account(stream: SendHalf, sent: { bytes: number; isBulkTurn: boolean; nowMs: number }): void {
    if (sent.isBulkTurn) this.#bulkBytesDue = Math.max(0, this.#bulkBytesDue - sent.bytes);
    else if (this.#bulk.length > 0) this.#bulkBytesDue += sent.bytes * BULK_SHARE;
    else this.#bulkBytesDue = 0;
    if (stream.isBulk) return;
    const limit = this.#limits.interactiveBytesPerSecond;
    if (sent.nowMs - stream.secondStartedMs >= 1000) {
      stream.isDemoted = stream.secondBytes > limit;
      stream.secondStartedMs = sent.nowMs;
      stream.secondBytes = 0;
    }
    stream.secondBytes += sent.bytes;
    if (stream.secondBytes > limit) stream.isDemoted = true;
  }
}
