import { TunnelError } from "../tunnel-error.ts";

/** Frame types of docs/protocol.md. Below 0x80 an unknown type is ignored, from 0x80 on it ends the session. */
export const FRAME = {
  hello: 0x01,
  open: 0x02,
  head: 0x03,
  data: 0x04,
  trailers: 0x05,
  credit: 0x06,
  reset: 0x07,
  stop: 0x08,
  ping: 0x09,
  goaway: 0x0a,
  control: 0x0b,
} as const;

export const FIRST_CRITICAL_TYPE = 0x80;

export const FLAG = { end: 0x01, more: 0x02, text: 0x04, ack: 0x08 } as const;

/** Bits of a RESET. */
export const RESET_BIT = { retrySafe: 0x01, backendCancelled: 0x02 } as const;

export const HEADER_BYTES = 8;
/** A whole CREDIT frame. */
export const CREDIT_BYTES = HEADER_BYTES + 8;

const NO_MESSAGE = Buffer.alloc(0);
const TWO_TO_32 = 2 ** 32;

/**
 * Walks over the frames of one carrier message without allocating. After `next()` said true the fields describe the
 * frame; `start` and `end` are positions of the payload in `message`.
 */
export class FrameCursor {
  message: Buffer = NO_MESSAGE;
  type = 0;
  flags = 0;
  streamId = 0;
  start = 0;
  end = 0;

  /** Starts a message. The cursor holds on to it until `release`. */
  open(message: Buffer): void {
    this.message = message;
    this.end = 0;
  }

  release(): void {
    this.message = NO_MESSAGE;
    this.end = 0;
  }

  /** @throws TunnelError "protocol" when a frame is cut: frames never span messages. */
  next(): boolean {
    const { message } = this;
    const at = this.end;
    if (at === message.length) return false;
    if (at + HEADER_BYTES > message.length) throw new TunnelError("protocol", { message: "frame header is cut" });
    this.type = message.readUInt8(at);
    this.flags = message.readUInt8(at + 1);
    this.streamId = message.readUInt32BE(at + 4);
    this.start = at + HEADER_BYTES;
    this.end = this.start + message.readUInt16BE(at + 2);
    if (this.end > message.length) throw new TunnelError("protocol", { message: "frame payload is cut" });
    return true;
  }

  get length(): number {
    return this.end - this.start;
  }

  /** A view into the message, not a copy. */
  payload(): Buffer {
    return this.message.subarray(this.start, this.end);
  }

  hasFlag(flag: number): boolean {
    return (this.flags & flag) !== 0;
  }

  /** The u64 at the payload's start. Above 2^53 it is inexact, but never below 2^53. */
  uint64(): number {
    return this.message.readUInt32BE(this.start) * TWO_TO_32 + this.message.readUInt32BE(this.start + 4);
  }
}

/** Writes eight header bytes at `at`. `typeAndFlags` is `type << 8 | flags`: one number, as this runs for every frame. */
export function writeFrameHeader(target: Buffer, at: number, typeAndFlags: number, streamId: number): void {
  target[at] = typeAndFlags >>> 8;
  target[at + 1] = typeAndFlags & 0xff;
  target[at + 4] = streamId >>> 24;
  target[at + 5] = (streamId >>> 16) & 0xff;
  target[at + 6] = (streamId >>> 8) & 0xff;
  target[at + 7] = streamId & 0xff;
}

/** The length is written last, when the payload's bytes are known. */
export function writeFrameLength(target: Buffer, at: number, length: number): void {
  target[at + 2] = length >>> 8;
  target[at + 3] = length & 0xff;
}

export function writeCredit(target: Buffer, at: number, streamId: number, maxOffset: number): number {
  writeFrameHeader(target, at, FRAME.credit << 8, streamId);
  writeFrameLength(target, at, 8);
  target.writeUInt32BE(Math.floor(maxOffset / TWO_TO_32), at + HEADER_BYTES);
  target.writeUInt32BE(maxOffset % TWO_TO_32, at + HEADER_BYTES + 4);
  return at + CREDIT_BYTES;
}

/** A frame of its own buffer. For rare frames; DATA and CREDIT are written in place. */
export function encodeFrame(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafeSlow(HEADER_BYTES + payload.byteLength);
  writeFrameHeader(frame, 0, (type << 8) | flags, streamId);
  writeFrameLength(frame, 0, payload.byteLength);
  frame.set(payload, HEADER_BYTES);
  return frame;
}
