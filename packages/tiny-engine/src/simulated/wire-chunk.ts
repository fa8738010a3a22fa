import type { TokenPart } from "./answer-plan.ts";
import { type Dialect, renderEvent, type StreamEvent } from "./dialect.ts";

/** Bytes ready to be written: once as they are, once as an HTTP/1.1 chunk. `payload` is a view into `wire`. */
export interface WireChunk {
  readonly payload: Buffer;
  readonly wire: Buffer;
}

/** `text` as an HTTP/1.1 chunk (RFC 9112 §7.1). */
export function toWireChunk(text: string): WireChunk {
  const length = Buffer.byteLength(text);
  const size = length.toString(16);
  const wire = Buffer.from(`${size}\r\n${text}\r\n`);
  const start = size.length + 2;
  return { wire, payload: wire.subarray(start, start + length) };
}

/** Token events kept for one kind of stream. Later tokens of a long answer are made anew each time. */
const KEPT_TOKENS = 4096;
/** Kinds of streams (API, model, part, size) whose tokens are kept: 64 of 4,096 events are about 100 MB at most. */
const KEPT_KINDS = 64;

/** What makes the token events of two streams the same. */
export interface TokenKind {
  readonly dialect: Dialect;
  readonly model: string;
  readonly part: TokenPart;
  readonly chunkBytes: number | undefined;
  readonly isOdd: boolean;
}

/** The token events of one kind of stream, made when first asked for. */
export class TokenChunks {
  readonly #kind: TokenKind;
  readonly #kept: WireChunk[] = [];

  constructor(kind: TokenKind) {
    this.#kind = kind;
  }

  /** Asked for in any order, but cheap in rising order. */
  at(index: number): WireChunk {
    const kept = this.#kept[index];
    if (kept !== undefined) return kept;
    const made = toWireChunk(renderToken(this.#kind, index));
    if (index < KEPT_TOKENS) this.#kept[index] = made;
    return made;
  }
}

/** Shares the token events among all streams of an engine. */
export class TokenChunkCache {
  readonly #kinds = new Map<string, TokenChunks>();

  of(kind: TokenKind): TokenChunks {
    const key = `${kind.dialect.name} ${kind.part} ${kind.chunkBytes ?? 0} ${kind.isOdd} ${kind.model}`;
    const kept = this.#kinds.get(key);
    if (kept !== undefined) return kept;
    const made = new TokenChunks(kind);
    const oldest = this.#kinds.keys().next();
    if (this.#kinds.size >= KEPT_KINDS && oldest.done === false) this.#kinds.delete(oldest.value);
    this.#kinds.set(key, made);
    return made;
  }
}

function renderToken(kind: TokenKind, index: number): string {
  const event = kind.dialect.token(kind.model, kind.part, index);
  const oddIndex = kind.isOdd ? index : undefined;
  const text = renderEvent(event, kind.dialect.framing, oddIndex);
  if (kind.chunkBytes === undefined || text.length === kind.chunkBytes) return text;
  const short = kind.dialect.shortToken?.(kind.part, index);
  const fits = text.length <= kind.chunkBytes - PAD_FIELD.length || short === undefined;
  return renderPadded(fits ? event : short, kind, oddIndex);
}

// OpenAI's own name for the field that evens out the sizes of events; clients ignore it.
const PAD_FIELD = ',"obfuscation":""';

function renderPadded(event: StreamEvent, kind: TokenKind, oddIndex: number | undefined): string {
  const bare = renderEvent(event, kind.dialect.framing, oddIndex).length;
  const room = (kind.chunkBytes ?? 0) - bare - PAD_FIELD.length;
  const padding = room < 0 ? "" : PAD_FIELD.slice(0, -1) + "x".repeat(room) + '"';
  return renderEvent({ ...event, json: `${event.json.slice(0, -1)}${padding}}` }, kind.dialect.framing, oddIndex);
}
