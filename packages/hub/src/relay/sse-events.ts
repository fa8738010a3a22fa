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
 * error event could not be read. Engines send whole events, so this nearly never waits.
 */
export class SseEvents {
  #held: Uint8Array | undefined;
  #heldText = "";
  /** Inside an overlong event: pass everything on until it ends. */
  #isOverlong = false;

  /** The events that are whole now, in one block; undefined when none is. */
  push(chunk: Uint8Array): EventBlock | undefined {
    const chunkText = latin1Of(chunk);
    if (this.#held === undefined && endsEvent(chunkText)) return this.#whole(chunk, chunkText);
    const bytes = this.#held === undefined ? chunk : Buffer.concat([this.#held, chunk]);
    const text = this.#heldText + chunkText;
    const end = lastEventEnd(text);
    if (end === 0) return this.#wait(bytes, text);
    this.#hold(bytes.subarray(end), text.slice(end));
    return this.#whole(bytes.subarray(0, end), text.slice(0, end));
  }

  /** What is left when the body ended cleanly: an event whose blank line is missing. */
  end(): EventBlock | undefined {
    const bytes = this.#held;
    const text = this.#heldText;
    this.#hold(new Uint8Array(0), "");
    return bytes === undefined ? undefined : { bytes, text, overlong: this.#isOverlong ? text.length : 0 };
  }

  #whole(bytes: Uint8Array, text: string): EventBlock {
    const overlong = this.#isOverlong ? firstEventEnd(text) : 0;
    this.#isOverlong = false;
    return { bytes, text, overlong };
  }

  #wait(bytes: Uint8Array, text: string): EventBlock | undefined {
    if (!this.#isOverlong && bytes.length <= MAX_EVENT_BYTES) {
      this.#hold(bytes, text);
      return undefined;
    }
    this.#isOverlong = true;
    // The last bytes may be the first half of a blank line.
    const keep = Math.max(0, bytes.length - 3);
    this.#hold(bytes.subarray(keep), text.slice(keep));
    return { bytes: bytes.subarray(0, keep), text: text.slice(0, keep), overlong: keep };
  }

  #hold(bytes: Uint8Array, text: string): void {
    // A copy: the rest of an event must not keep the whole chunk, which may be a view of a much larger message, alive.
    this.#held = bytes.length === 0 ? undefined : Uint8Array.from(bytes);
    this.#heldText = text;
  }
}

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
  const cr = lf < 0 && crlf < 0 ? text.lastIndexOf("\r\r") : -1;
  return Math.max(lf < 0 ? 0 : lf + 2, crlf < 0 ? 0 : crlf + 3, cr < 0 ? 0 : cr + 2);
}
