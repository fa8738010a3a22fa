import type { TunnelLimits } from "../limits.ts";
import { FLAG, FRAME, HEADER_BYTES, writeFrameHeader, writeFrameLength } from "../wire/frame.ts";

/** What the sending half tells its stream. */
export interface SendOwner {
  /** OPEN or HEAD is in a message. */
  onHeadSent(): void;
  /** Data waits and the credit is used up. */
  onBlocked(): void;
  /** The queue has room again. */
  onRoom(): void;
  /** END or TRAILERS is in a message: nothing follows. */
  onEndSent(): void;
}

/** Where and how much one turn may write. */
export interface Turn {
  readonly target: Buffer;
  /** Position behind the message's memory. */
  readonly limit: number;
  /** DATA payload allowed in this turn. */
  budget: number;
}

/** A head, data or trailers cannot be larger than one frame's payload. */
const MAX_PAYLOAD = 65_535;
/** Data is not cut into pieces smaller than this at the end of a message, unless no more is left. */
const SMALLEST_CUT = 256;

/** The bytes that wait to go out on one stream: head first, then data within credit, then the end. */
export class SendHalf {
  readonly id: number;
  readonly isBulk: boolean;
  /** In a ring of the scheduler. Only the scheduler writes it. */
  isQueued = false;
  /** Interactive by name, bulk by behaviour. Only the scheduler writes these three. */
  isDemoted = false;
  secondStartedMs = 0;
  secondBytes = 0;
  readonly #owner: SendOwner;
  readonly #limits: TunnelLimits;
  #headType = 0;
  #head: string | undefined;
  #frames: Buffer | undefined;
  #chunks: Uint8Array[] = NO_CHUNKS;
  #chunkAt = 0;
  #byteAt = 0;
  #queuedBytes = 0;
  #sent = 0;
  #maxOffset: number;
  #end: "no" | "due" | "sent" = "no";
  #trailers: string | undefined;
  #isClosed = false;

  constructor(owner: SendOwner, options: { id: number; isBulk: boolean; maxOffset: number; limits: TunnelLimits }) {
    this.#owner = owner;
    this.id = options.id;
    this.isBulk = options.isBulk;
    this.#maxOffset = options.maxOffset;
    this.#limits = options.limits;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  get hasRoom(): boolean {
    return this.#queuedBytes < this.#limits.sendQueueBytes;
  }

  get isOverfull(): boolean {
    return this.#queuedBytes > this.#limits.maxSendQueueBytes;
  }

  get isEndSent(): boolean {
    return this.#end === "sent";
  }

  get isHeadWaiting(): boolean {
    return this.#head !== undefined;
  }

  get sentBytes(): number {
    return this.#sent;
  }

  /** Data waits for the peer's credit. */
  get isBlocked(): boolean {
    return this.#queuedBytes > 0 && this.#sent >= this.#maxOffset && this.#head === undefined;
  }

  /** Something could be written now. */
  get isReady(): boolean {
    if (this.#isClosed) return false;
    if (this.#head !== undefined || this.#frames !== undefined) return true;
    if (this.#queuedBytes > 0) return this.#sent < this.#maxOffset;
    return this.#end === "due";
  }

  setHead(type: number, json: string): void {
    this.#headType = type;
    this.#head = json;
  }

  /** A whole frame that must follow the head, not overtake it. */
  addFrame(frame: Buffer): void {
    this.#frames = this.#frames === undefined ? frame : Buffer.concat([this.#frames, frame]);
  }

  push(bytes: Uint8Array): void {
    if (this.#chunks === NO_CHUNKS) this.#chunks = [];
    this.#chunks.push(bytes);
    this.#queuedBytes += bytes.byteLength;
  }

  end(trailers: string | undefined): void {
    this.#end = "due";
    this.#trailers = trailers;
  }

  /** True when a blocked stream may go on. An offset lower than before is ignored. */
  raise(maxOffset: number): boolean {
    if (maxOffset <= this.#maxOffset) return false;
    const wasBlocked = this.isBlocked;
    this.#maxOffset = maxOffset;
    return wasBlocked;
  }

  /** Forgets queued data; the head and the end still go out. */
  dropData(): void {
    this.#chunks = NO_CHUNKS;
    this.#chunkAt = 0;
    this.#byteAt = 0;
    this.#queuedBytes = 0;
  }

  /** Nothing goes out any more. */
  close(): void {
    this.#isClosed = true;
    this.dropData();
    this.#head = undefined;
    this.#frames = undefined;
    this.#trailers = undefined;
  }

  /** Writes what may go out in one turn. Returns the position behind it; `at` itself when nothing fitted. */
  writeTurn(turn: Turn, at: number): number {
    if (this.#isClosed) return at;
    let position = at;
    if (this.#head !== undefined) {
      position = this.#writeHead(turn, at);
      if (this.#head !== undefined) return at;
    }
    if (this.#frames !== undefined) {
      if (position + this.#frames.length > turn.limit) return position;
      turn.target.set(this.#frames, position);
      position += this.#frames.length;
      this.#frames = undefined;
    }
    if (this.#queuedBytes > 0) position = this.#writeData(turn, position);
    if (this.#queuedBytes === 0 && this.#end === "due") position = this.#writeEnd(turn, position);
    return position;
  }

  #writeHead(turn: Turn, at: number): number {
    const head = this.#head ?? "";
    const end = writeText(turn, at, head);
    if (end === at) return at;
    const isLast = this.#queuedBytes === 0 && this.#end === "due" && this.#trailers === undefined;
    const isOnly = isLast && this.#frames === undefined;
    writeFrameHeader(turn.target, at, (this.#headType << 8) | (isOnly ? FLAG.end : 0), this.id);
    this.#head = undefined;
    this.#owner.onHeadSent();
    if (isOnly) this.#ended();
    return end;
  }

  /** One DATA frame of as many chunks as fit: the peer sees bytes, not chunks. */
  #writeData(turn: Turn, at: number): number {
    const room = turn.limit - at - HEADER_BYTES;
    if (room < SMALLEST_CUT && room < this.#queuedBytes) return at;
    const length = Math.min(room, turn.budget, MAX_PAYLOAD, this.#maxOffset - this.#sent, this.#queuedBytes);
    if (length <= 0) return at;
    const hadRoom = this.hasRoom;
    this.#copyChunks(turn.target, at + HEADER_BYTES, length);
    this.#queuedBytes -= length;
    this.#sent += length;
    turn.budget -= length;
    const isLast = this.#queuedBytes === 0 && this.#end === "due" && this.#trailers === undefined;
    writeFrameHeader(turn.target, at, (FRAME.data << 8) | (isLast ? FLAG.end : 0), this.id);
    writeFrameLength(turn.target, at, length);
    if (this.isBlocked) this.#owner.onBlocked();
    if (isLast) this.#ended();
    else if (!hadRoom && this.hasRoom) this.#owner.onRoom();
    return at + HEADER_BYTES + length;
  }

  #copyChunks(target: Buffer, at: number, length: number): void {
    let position = at;
    let left = length;
    while (left > 0) {
      const chunk = this.#chunks[this.#chunkAt];
      if (chunk === undefined) return;
      const take = Math.min(left, chunk.byteLength - this.#byteAt);
      if (take === chunk.byteLength) target.set(chunk, position);
      else target.set(chunk.subarray(this.#byteAt, this.#byteAt + take), position);
      position += take;
      left -= take;
      this.#byteAt += take;
      if (this.#byteAt < chunk.byteLength) return;
      this.#nextChunk();
    }
  }

  #nextChunk(): void {
    this.#byteAt = 0;
    this.#chunks[this.#chunkAt] = NO_BYTES;
    this.#chunkAt += 1;
    if (this.#chunkAt < this.#chunks.length) return;
    this.#chunks.length = 0;
    this.#chunkAt = 0;
  }

  #writeEnd(turn: Turn, at: number): number {
    if (this.#trailers === undefined) {
      if (at + HEADER_BYTES > turn.limit) return at;
      writeFrameHeader(turn.target, at, (FRAME.data << 8) | FLAG.end, this.id);
      writeFrameLength(turn.target, at, 0);
      this.#ended();
      return at + HEADER_BYTES;
    }
    const end = writeText(turn, at, this.#trailers);
    if (end === at) return at;
    writeFrameHeader(turn.target, at, (FRAME.trailers << 8) | FLAG.end, this.id);
    this.#ended();
    return end;
  }

  #ended(): void {
    this.#end = "sent";
    this.#trailers = undefined;
    this.#owner.onEndSent();
  }
}

const NO_BYTES = new Uint8Array(0);
/** Shared by all streams that wait with nothing: most of them. Never pushed to. */
const NO_CHUNKS: Uint8Array[] = [];

/** Writes `text` behind a header's room at `at`, with its length in the header. `at` when it does not fit. */
function writeText(turn: Turn, at: number, text: string): number {
  const start = at + HEADER_BYTES;
  const room = turn.limit - start;
  // A UTF-16 unit is at most three bytes, so most texts need no count.
  if (text.length * 3 > room && Buffer.byteLength(text) > room) return at;
  const length = turn.target.write(text, start, "utf8");
  writeFrameLength(turn.target, at, length);
  return start + length;
}
