import { LIMITS } from "../limits.ts";
import type { BodyFilter, ModelNames } from "./body-filter.ts";
import { BodyProblem } from "./serve-failure.ts";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** `"model"` with each letter written as a Unicode escape; a longer key is another key. */
const MAX_KEY_BYTES = 32;

type Place =
  | "before-object"
  | "before-key"
  | "in-key"
  | "before-colon"
  | "before-value"
  | "in-model"
  | "in-string"
  | "in-nested"
  | "in-nested-string"
  | "after-value"
  | "after-object";

/**
 * Replaces the values of the top-level `model` keys in a JSON body that passes by, and no other byte.
 *
 * Not a parser: it follows strings and brackets, and holds back only the name itself. Every `model` key counts, in any
 * case and with escapes: parsers take the last of two, and Go's take `Model` too, so that a second spelling could reach a
 * model that is not published.
 */
export class JsonModelFilter implements BodyFilter {
  growth = 0;
  readonly #names: ModelNames;
  #place: Place = "before-object";
  #depth = 0;
  #isEscaped = false;
  #isEmptyObject = true;
  #hasModel = false;
  #isModelKey = false;
  /** Bytes of the key or the model value being read, without the quotes. */
  #held: number[] = [];
  #isTooLong = false;
  #out: Uint8Array[] = [];
  /** Start, in the current chunk, of what was looked at but not yet given on. */
  #from = 0;
  /** The first backslash of the current chunk at or after a place already searched; before that place: not known. */
  #backslashAt = -1;

  constructor(names: ModelNames) {
    this.#names = names;
  }

  push(chunk: Uint8Array): Uint8Array[] {
    this.#out = [];
    this.#from = 0;
    this.#backslashAt = -1;
    let at = 0;
    while (at < chunk.length) at = this.#consume(chunk, at);
    if (this.#place !== "in-model") this.#pass(chunk, chunk.length);
    return this.#out;
  }

  finish(): Uint8Array[] {
    if (this.#place !== "after-object") throw new BodyProblem("The body is not a complete JSON object.");
    return [];
  }

  /** Reads from `at` as far as one place goes. Returns where the next one starts. */
  #consume(chunk: Uint8Array, at: number): number {
    switch (this.#place) {
      case "before-object":
        return this.#beforeObject(chunk, at);
      case "before-key":
        return this.#beforeKey(chunk, at);
      case "in-key":
        return this.#inKey(chunk, at);
      case "before-colon":
        return this.#beforeColon(chunk, at);
      case "before-value":
        return this.#beforeValue(chunk, at);
      case "in-model":
        return this.#inModel(chunk, at);
      case "in-string":
        return this.#skipString(chunk, at, "after-value");
      case "in-nested":
        return this.#skipNested(chunk, at);
      case "in-nested-string":
        return this.#skipString(chunk, at, "in-nested");
      case "after-value":
        return this.#afterValue(chunk, at);
      case "after-object":
        return chunk.length;
    }
  }

  #beforeObject(chunk: Uint8Array, at: number): number {
    const byte = chunk[at] ?? 0;
    if (isSpace(byte)) return at + 1;
    if (byte !== OPEN_BRACE) throw new BodyProblem("The body is not a JSON object.");
    this.#place = "before-key";
    return at + 1;
  }

  #beforeKey(chunk: Uint8Array, at: number): number {
    const byte = chunk[at] ?? 0;
    if (isSpace(byte)) return at + 1;
    if (byte === CLOSE_BRACE) return this.#endObject(chunk, at);
    if (byte !== QUOTE) throw new BodyProblem("The body is not valid JSON: a key is missing.");
    this.#isEmptyObject = false;
    this.#hold();
    this.#place = "in-key";
    return at + 1;
  }

  #inKey(chunk: Uint8Array, start: number): number {
    const end = this.#takeString(chunk, start, MAX_KEY_BYTES);
    if (end === undefined) return chunk.length;
    this.#isModelKey = !this.#isTooLong && textOf(this.#held).toLowerCase() === "model";
    this.#place = "before-colon";
    return end + 1;
  }

  #beforeColon(chunk: Uint8Array, at: number): number {
    const byte = chunk[at] ?? 0;
    if (isSpace(byte)) return at + 1;
    if (byte !== COLON) throw new BodyProblem("The body is not valid JSON: a colon is missing.");
    this.#place = "before-value";
    return at + 1;
  }

  #beforeValue(chunk: Uint8Array, at: number): number {
    const byte = chunk[at] ?? 0;
    if (isSpace(byte)) return at + 1;
    if (byte === QUOTE) return this.#beginString(chunk, at);
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      this.#depth = 1;
      this.#place = "in-nested";
      return at + 1;
    }
    if (byte === COMMA || byte === CLOSE_BRACE)
      throw new BodyProblem("The body is not valid JSON: a value is missing.");
    this.#place = "after-value";
    return at + 1;
  }

  #beginString(chunk: Uint8Array, at: number): number {
    if (!this.#isModelKey) {
      this.#place = "in-string";
      return at + 1;
    }
    this.#hasModel = true;
    this.#pass(chunk, at);
    this.#hold();
    this.#place = "in-model";
    return at + 1;
  }

  #inModel(chunk: Uint8Array, start: number): number {
    const end = this.#takeString(chunk, start, LIMITS.maxModelNameBytes);
    if (end === undefined) return chunk.length;
    if (this.#isTooLong) throw new BodyProblem("The model name in the body is too long.");
    this.#out.push(this.#replacement());
    this.#from = end + 1;
    this.#place = "after-value";
    return end + 1;
  }

  #replacement(): Uint8Array {
    const name = textOf(this.#held);
    const upstream = this.#names.upstreamOf(name);
    if (upstream === name) return Uint8Array.from([QUOTE, ...this.#held, QUOTE]);
    const bytes = Buffer.from(JSON.stringify(upstream));
    this.growth += bytes.length - this.#held.length - 2;
    return bytes;
  }

  /** Scalars end here too: between two values only a comma and the closing brace matter. */
  #afterValue(chunk: Uint8Array, start: number): number {
    for (let at = start; at < chunk.length; at++) {
      const byte = chunk[at];
      if (byte === CLOSE_BRACE) return this.#endObject(chunk, at);
      if (byte === COMMA) {
        this.#place = "before-key";
        return at + 1;
      }
      if (byte === QUOTE || byte === OPEN_BRACE || byte === OPEN_BRACKET || byte === COLON || byte === 0) {
        throw new BodyProblem("The body is not valid JSON: a comma is missing.");
      }
    }
    return chunk.length;
  }

  #skipNested(chunk: Uint8Array, start: number): number {
    for (let at = start; at < chunk.length; at++) {
      const byte = chunk[at];
      if (byte === QUOTE) {
        this.#place = "in-nested-string";
        return at + 1;
      }
      if (byte === OPEN_BRACE || byte === OPEN_BRACKET) this.#depth++;
      if ((byte === CLOSE_BRACE || byte === CLOSE_BRACKET) && --this.#depth === 0) {
        this.#place = "after-value";
        return at + 1;
      }
    }
    return chunk.length;
  }

  /** Searches instead of looking at each byte: images make strings of megabytes. */
  #skipString(chunk: Uint8Array, start: number, next: Place): number {
    let at = this.#isEscaped ? start + 1 : start;
    this.#isEscaped = false;
    let quote = indexFrom(chunk, QUOTE, at);
    for (let slash = this.#nextBackslash(chunk, at); slash < quote; slash = this.#nextBackslash(chunk, at)) {
      at = slash + 2;
      if (at > chunk.length) {
        this.#isEscaped = true;
        return chunk.length;
      }
      if (quote < at) quote = indexFrom(chunk, QUOTE, at);
    }
    if (quote === chunk.length) return chunk.length;
    this.#place = next;
    return quote + 1;
  }

  /** Remembered within a chunk: without it each of many short strings would search the whole rest. */
  #nextBackslash(chunk: Uint8Array, at: number): number {
    if (this.#backslashAt < at) this.#backslashAt = indexFrom(chunk, BACKSLASH, at);
    return this.#backslashAt;
  }

  /** Adds to the held string. Returns the index of its closing quote, undefined when that is in a later chunk. */
  #takeString(chunk: Uint8Array, start: number, limit: number): number | undefined {
    for (let at = start; at < chunk.length; at++) {
      const byte = chunk[at] ?? 0;
      if (byte === QUOTE && !this.#isEscaped) return at;
      this.#isEscaped = byte === BACKSLASH && !this.#isEscaped;
      if (this.#held.length < limit) this.#held.push(byte);
      else this.#isTooLong = true;
    }
    return undefined;
  }

  #hold(): void {
    this.#held = [];
    this.#isTooLong = false;
  }

  #endObject(chunk: Uint8Array, at: number): number {
    this.#place = "after-object";
    const { whenMissing } = this.#names;
    if (this.#hasModel || whenMissing === undefined) return at + 1;
    this.#pass(chunk, at);
    const member = Buffer.from(`${this.#isEmptyObject ? "" : ","}"model":${JSON.stringify(whenMissing)}`);
    this.growth += member.length;
    this.#out.push(member);
    return at + 1;
  }

  #pass(chunk: Uint8Array, end: number): void {
    if (end > this.#from) this.#out.push(chunk.subarray(this.#from, end));
    this.#from = end;
  }
}

/** Index of the next `byte`, or the length when there is none. */
function indexFrom(chunk: Uint8Array, byte: number, at: number): number {
  const index = chunk.indexOf(byte, at);
  return index === -1 ? chunk.length : index;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** A JSON string's value, from its bytes without the quotes. Wrong escapes give a text that names no model. */
function textOf(held: number[]): string {
  const raw = Buffer.from(held).toString("utf8");
  if (!raw.includes("\\")) return raw;
  try {
    return String(JSON.parse(`"${raw}"`));
  } catch {
    throw new BodyProblem("The body is not valid JSON: a string has a wrong escape.");
  }
}
