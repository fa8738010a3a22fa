import { latin1Of } from "../latin1.ts";

/** An event that is longer is passed on in pieces and not looked at. Worst case: this much held for each open stream. */
export const MAX_EVENT_BYTES = 256 * 1024;

/** Whole events, as the bytes that came and as latin1 text of the same length: index n of one is index n of the other. */
export interface EventBlock {
  readonly bytes: Uint8Array;
  readonly text: string;
  /** So much at the beginning belongs to an event that is longer than `MAX_EVENT_BYTES` and was passed on in pieces. */
  readonly overlong: number;
}

/**
 * Cuts a body of server-sent events behind its blank lines (WHATWG HTML, "Parsing an event stream"; LF, CRLF and CR).
 *
 * The rest of an event waits until it is whole. So a stream that breaks off never gives half an event, behind which an
 * error event could not be read. Engines send whole events, so this nearly never waits. What waits is neither searched nor
 * copied again with each chunk: an event of 200 KiB in single bytes would take the hub half a minute.
 */
export class SseEvents {
  /** The rest of an event, in memory that grows by doubling. It holds no blank line. */
  #held: Buffer = NO_BYTES;
  #heldBytes = 0;
  /** Its last characters: they may be the first ones of a blank line. */
  #tail = "";
  /** Inside an overlong event: pass everything on until it ends. */
  #isOverlong = false;

  /** The events that are whole now, in one block; undefined when none is. */
  push(chunk: Uint8Array): EventBlock | undefined {
    const text = latin1Of(chunk);
    if (this.#heldBytes === 0 && endsEvent(text)) return this.#whole(chunk, text);
    const end = lastEventEnd(this.#tail + text) - this.#tail.length;
    if (end <= 0) return this.#wait(chunk, text);
    const rest = chunk.subarray(end);
    if (this.#heldBytes === 0) {
      this.#hold(rest, text.slice(end));
      return this.#whole(chunk.subarray(0, end), text.slice(0, end));
    }
    this.#append(chunk.subarray(0, end));
    const bytes = this.#takeHeld();
    this.#hold(rest, text.slice(end));
    return this.#whole(bytes, latin1Of(bytes));
  }

  /** What is left when the body ended cleanly: an event whose blank line is missing. */
  end(): EventBlock | undefined {
    if (this.#heldBytes === 0) return undefined;
    const bytes = this.#takeHeld();
    return { bytes, text: latin1Of(bytes), overlong: this.#isOverlong ? bytes.length : 0 };
  }

  #whole(bytes: Uint8Array, text: string): EventBlock {
    const overlong = this.#isOverlong ? firstEventEnd(text) : 0;
    this.#isOverlong = false;
    return { bytes, text, overlong };
  }

  #wait(chunk: Uint8Array, text: string): EventBlock | undefined {
    this.#append(chunk);
    this.#tail = (this.#tail + text).slice(-TAIL_BYTES);
    if (!this.#isOverlong && this.#heldBytes <= MAX_EVENT_BYTES) return undefined;
    this.#isOverlong = true;
    const bytes = this.#takeHeld();
    const keep = Math.max(0, bytes.length - TAIL_BYTES);
    const passed = bytes.subarray(0, keep);
    this.#hold(bytes.subarray(keep), latin1Of(bytes.subarray(keep)));
    return { bytes: passed, text: latin1Of(passed), overlong: keep };
  }

  /** A copy: the rest of an event must not keep the whole chunk, which may be a view of a much larger message, alive. */
  #hold(rest: Uint8Array, text: string): void {
    this.#append(rest);
    this.#tail = text.slice(-TAIL_BYTES);
  }

  #append(bytes: Uint8Array): void {
    const needed = this.#heldBytes + bytes.length;
    if (needed > this.#held.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(this.#heldBytes * 2, MAX_EVENT_BYTES)));
      this.#held.copy(larger, 0, 0, this.#heldBytes);
      this.#held = larger;
    }
    this.#held.set(bytes, this.#heldBytes);
    this.#heldBytes = needed;
  }

  /** Its memory goes to whoever gets the bytes. */
  #takeHeld(): Uint8Array {
    const bytes = this.#held.subarray(0, this.#heldBytes);
    this.#held = NO_BYTES;
    this.#heldBytes = 0;
    this.#tail = "";
    return bytes;
  }
}

const NO_BYTES = Buffer.alloc(0);
/** The longest blank line has four characters. */
const TAIL_BYTES = 3;

/** The single events of a block, their line ends included. */
export function* eventsOf(text: string): Generator<{ readonly start: number; readonly text: string }> {
  let start = 0;
  for (const match of text.matchAll(BLANK_LINE)) {
    const end = match.index + match[0].length;
    yield { start, text: text.slice(start, end) };
    start = end;
  }
  if (start < text.length) yield { start, text: text.slice(start) };
}

/** An event's `event:` field and its `data:` lines joined, decoded; undefined when it has no data: a comment, say. */
export function dataOf(event: string): { readonly type: string; readonly data: string } | undefined {
  let type = "";
  let data: string | undefined;
  for (const line of event.split(LINE_END)) {
    if (line.startsWith("data:")) data = (data === undefined ? "" : `${data}\n`) + valueOf(line, 5);
    else if (line.startsWith("event:")) type = valueOf(line, 6);
    else if (line === "data") data = data === undefined ? "" : `${data}\n`;
  }
  return data === undefined ? undefined : { type, data: Buffer.from(data, "latin1").toString("utf8") };
}

const BLANK_LINE = /\r\n\r\n|\n\r\n|\n\n|\r\r/g;
const LINE_END = /\r\n|\n|\r/;

function valueOf(line: string, from: number): string {
  return line.slice(line.charCodeAt(from) === 0x20 ? from + 1 : from);
}

function endsEvent(text: string): boolean {
  return text.endsWith("\n\n") || text.endsWith("\r\n\r\n");
}

/** The place behind the first blank line, or the text's end. */
function firstEventEnd(text: string): number {
  for (const event of eventsOf(text)) return event.text.length;
  return 0;
}

/** The place behind the last blank line, or 0. */
function lastEventEnd(text: string): number {
  const lf = text.lastIndexOf("\n\n");
  const crlf = text.lastIndexOf("\n\r\n");
  const end = Math.max(lf < 0 ? 0 : lf + 2, crlf < 0 ? 0 : crlf + 3);
  const cr = text.slice(end).lastIndexOf("\r\r");
  return cr < 0 ? end : end + cr + 2;
}
