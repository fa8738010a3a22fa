import { TunnelError } from "../tunnel-error.ts";

/** Bounds of WebSockets that are carried by streams. Times are milliseconds. */
export const WEBSOCKET_LIMITS = {
  /** One message, either way. Worst case: one that comes and one that goes, for each WebSocket. */
  maxMessageBytes: 16 * 1024 * 1024,
  /** Fragments of one message, and pieces of one fragment, before it is whole. */
  maxFragments: 1024,
  maxBufferedChunks: 16_384,
  /** Bytes handed to the socket and not sent; above it no more is taken from the stream. One message may exceed it. */
  socketBytes: 256 * 1024,
  /** A ping is not answered while so much waits in the socket: its sender does not read. */
  pongBacklogBytes: 16 * 1024,
  /** A peer that does not answer our close frame is cut off after this. */
  closeGraceMs: 2_000,
  /**
   * After the socket was closed in order, the other end has so long to end the stream. Long: a slow socket there may still
   * take what was sent before the close.
   */
  endGraceMs: 120_000,
} as const;

/** How a WebSocket was closed. `code` undefined: the close frame had none (RFC 6455 §7.1.5). */
export interface WebSocketClose {
  readonly code: number | undefined;
  readonly reason: string;
}

/** What a stream of kind "ws" carries behind its head, in each direction: messages, then one close. */
export type MessageRecord =
  | { readonly is: "message"; readonly data: Uint8Array; readonly isText: boolean }
  | { readonly is: "close"; readonly close: WebSocketClose };

const TEXT = 0x01;
const BINARY = 0x02;
const CLOSE = 0x08;
const HEADER_BYTES = 5;
/** A close frame has 125 bytes (RFC 6455 §5.5): two of code, the rest of reason. */
const MAX_CLOSE_BYTES = 125;
/** The first memory for a message that comes in pieces. The announced length alone makes nobody allocate. */
const FIRST_BYTES = 64 * 1024;

/** One whole message. `data` is copied. @throws TunnelError "too-large". */
export function encodeMessage(data: Uint8Array, isText: boolean): Buffer {
  if (data.length > WEBSOCKET_LIMITS.maxMessageBytes) throw tooLarge();
  return encodeRecord(isText ? TEXT : BINARY, data);
}

/** The close of this direction; nothing follows it. A code that no close frame may have is left out. */
export function encodeClose({ code, reason }: WebSocketClose): Buffer {
  if (code === undefined || !isSendableCode(code)) return encodeRecord(CLOSE, Buffer.alloc(0));
  const text = Buffer.from(closeReason(reason));
  const payload = Buffer.allocUnsafe(2 + text.length);
  payload.writeUInt16BE(code, 0);
  text.copy(payload, 2);
  return encodeRecord(CLOSE, payload);
}

/** `text` as a close frame can carry it: at most 123 bytes of UTF-8, cut between characters. */
export function closeReason(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= MAX_CLOSE_BYTES - 2) return text;
  let end = MAX_CLOSE_BYTES - 2;
  // A byte of the form 10xxxxxx continues a character.
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.toString("utf8", 0, end);
}

/** Whether a close frame may carry the code (RFC 6455 §7.4; 1012 to 1014 are of the IANA registry). */
function isSendableCode(code: number): boolean {
  if (code >= 3000 && code <= 4999) return true;
  return code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006;
}

/** Finds the records in one direction's bytes, however they are cut. Holds at most one message. */
export class RecordReader {
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #headerUsed = 0;
  #length = 0;
  #body: Buffer | undefined;
  #bodyUsed = 0;
  #isClosed = false;

  /** Memory that the message which is not whole yet takes. */
  get heldBytes(): number {
    return this.#body?.length ?? 0;
  }

  /** Nothing of a record is outstanding. */
  get isBetweenRecords(): boolean {
    return this.#headerUsed === 0;
  }

  /**
   * The records that `chunk` completes, to be iterated to the end. Their data may be views into `chunk`.
   *
   * @throws TunnelError "too-large", or "protocol" for an unknown kind, a bad close, or anything behind a close.
   */
  *push(chunk: Uint8Array): Generator<MessageRecord, void, undefined> {
    for (let at = 0; at < chunk.length;) {
      if (this.#isClosed) throw broken("bytes behind the close");
      if (this.#headerUsed < HEADER_BYTES) at += this.#readHeader(chunk, at);
      if (this.#headerUsed < HEADER_BYTES) break;
      const end = Math.min(chunk.length, at + this.#length - this.#bodyUsed);
      const payload = this.#payload(chunk.subarray(at, end));
      at = end;
      if (payload === undefined) break;
      yield this.#record(payload);
    }
  }

  #readHeader(chunk: Uint8Array, at: number): number {
    const bytes = chunk.subarray(at, at + HEADER_BYTES - this.#headerUsed);
    this.#header.set(bytes, this.#headerUsed);
    this.#headerUsed += bytes.length;
    if (this.#headerUsed === HEADER_BYTES) this.#begin(this.#header[0] ?? 0, this.#header.readUInt32BE(1));
    return bytes.length;
  }

  #begin(kind: number, length: number): void {
    if (kind !== TEXT && kind !== BINARY && kind !== CLOSE) throw broken("a record of an unknown kind");
    if (length > (kind === CLOSE ? MAX_CLOSE_BYTES : WEBSOCKET_LIMITS.maxMessageBytes)) throw tooLarge();
    this.#length = length;
  }

  /** The whole payload, undefined while some of it is still to come. */
  #payload(piece: Uint8Array): Uint8Array | undefined {
    if (this.#bodyUsed === 0 && piece.length === this.#length) return piece;
    const body = this.#roomFor(this.#bodyUsed + piece.length);
    body.set(piece, this.#bodyUsed);
    this.#bodyUsed += piece.length;
    return this.#bodyUsed === this.#length ? body.subarray(0, this.#length) : undefined;
  }

  #roomFor(bytes: number): Buffer {
    const old = this.#body;
    if (old !== undefined && old.length >= bytes) return old;
    const size = Math.min(this.#length, Math.max(bytes, FIRST_BYTES, (old?.length ?? 0) * 2));
    this.#body = Buffer.allocUnsafeSlow(size);
    old?.copy(this.#body, 0, 0, this.#bodyUsed);
    return this.#body;
  }

  #record(payload: Uint8Array): MessageRecord {
    const kind = this.#header[0];
    this.#headerUsed = 0;
    this.#bodyUsed = 0;
    this.#body = undefined;
    if (kind !== CLOSE) return { is: "message", data: payload, isText: kind === TEXT };
    this.#isClosed = true;
    return { is: "close", close: decodeClose(payload) };
  }
}

function decodeClose(payload: Uint8Array): WebSocketClose {
  if (payload.length === 0) return { code: undefined, reason: "" };
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  if (bytes.length === 1 || !isSendableCode(bytes.readUInt16BE(0))) throw broken("a close with a wrong code");
  return { code: bytes.readUInt16BE(0), reason: closeReason(bytes.toString("utf8", 2)) };
}

function encodeRecord(kind: number, payload: Uint8Array): Buffer {
  const record = Buffer.allocUnsafeSlow(HEADER_BYTES + payload.length);
  record[0] = kind;
  record.writeUInt32BE(payload.length, 1);
  record.set(payload, HEADER_BYTES);
  return record;
}

function tooLarge(): TunnelError {
  return new TunnelError("too-large", { message: "a WebSocket message is too large" });
}

function broken(message: string): TunnelError {
  return new TunnelError("protocol", { message });
}
