/** Containers inside each other. Deeper bodies are refused here, before an engine's recursive parser sees them. */
export const MAX_JSON_DEPTH = 512;
/** Bytes of a top-level key, or of a watched value, that are kept. A longer one is refused. */
export const MAX_FIELD_BYTES = 16 * 1024;

/** Where a top-level value stands in the body, in bytes, and its JSON text. */
export interface JsonField {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

export class JsonSyntaxError extends Error {
  override readonly name = "JsonSyntaxError";
}

// What the scanner expects next. Plain numbers in this order: the hot comparisons are "inside a number" (>= MINUS) and
// "inside an escape or a literal" (>= ESCAPE).
const VALUE = 0;
const FIRST_ITEM = 1;
const FIRST_KEY = 2;
const KEY = 3;
const COLON = 4;
const AFTER_VALUE = 5;
const END = 6;
const STRING = 7;
const ESCAPE = 8;
const HEX = 9;
const LITERAL = 10;
const MINUS = 11;
const ZERO = 12;
const INTEGER = 13;
const POINT = 14;
const FRACTION = 15;
const EXPONENT = 16;
const EXPONENT_SIGN = 17;
const EXPONENT_DIGITS = 18;

/** The grammar of numbers (RFC 8259 §6): the state after a kind of byte, -1 for none. In each row: 0, 1-9, -, +, ., e. */
const NUMBER_STEPS: Readonly<Record<number, readonly number[]>> = {
  [VALUE]: [ZERO, INTEGER, MINUS, -1, -1, -1],
  [MINUS]: [ZERO, INTEGER, -1, -1, -1, -1],
  [ZERO]: [-1, -1, -1, -1, POINT, EXPONENT],
  [INTEGER]: [INTEGER, INTEGER, -1, -1, POINT, EXPONENT],
  [POINT]: [FRACTION, FRACTION, -1, -1, -1, -1],
  [FRACTION]: [FRACTION, FRACTION, -1, -1, -1, EXPONENT],
  [EXPONENT]: [EXPONENT_DIGITS, EXPONENT_DIGITS, EXPONENT_SIGN, EXPONENT_SIGN, -1, -1],
  [EXPONENT_SIGN]: [EXPONENT_DIGITS, EXPONENT_DIGITS, -1, -1, -1, -1],
  [EXPONENT_DIGITS]: [EXPONENT_DIGITS, EXPONENT_DIGITS, -1, -1, -1, -1],
};
/** The column in `NUMBER_STEPS` of each byte, -1 for none. A table: a search in a Buffer costs 50 ns, and each value asks. */
const NUMBER_COLUMNS = new Int8Array(256).fill(-1);
for (const [column, bytes] of ["0", "123456789", "-", "+", ".", "eE"].entries()) {
  for (const byte of Buffer.from(bytes)) NUMBER_COLUMNS[byte] = column;
}
/** 1 for what ends the plain part of a string: a quote, a backslash, control characters. */
const STOPS_STRING = new Uint8Array(256).fill(1, 0, 0x20);
for (const byte of Buffer.from('"\\')) STOPS_STRING[byte] = 1;
const WHOLE_NUMBERS = [ZERO, INTEGER, FRACTION, EXPONENT_DIGITS];

const OBJECT = 1;
const ARRAY = 2;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const ESCAPES = Buffer.from('"\\/bfnrtu');
const LITERALS = ["true", "false", "null"];
// Latin1 text of UTF-8 bytes: anything above ASCII is part of a longer character.
const NOT_ASCII = /[\u0080-\u00ff]/;
const EMPTY: Buffer = Buffer.alloc(0);

/**
 * Finds top-level fields of a JSON object while its bytes arrive, and checks that the whole is JSON (RFC 8259).
 *
 * Takes the same texts as `JSON.parse` does, but for three: the top level must be an object, containers nest at most
 * `MAX_JSON_DEPTH` deep, and a watched field may stand there only once, as two parsers would not pick the same one.
 * UTF-8 is not checked, and no byte is copied but those of keys and watched values.
 */
export class JsonScanner {
  readonly #watched: ReadonlySet<string>;
  readonly #fields = new Map<string, JsonField>();
  #stack = new Uint8Array(16);
  #depth = 0;
  #state = VALUE;
  #chunk = EMPTY;
  /** Bytes of the chunks before this one. */
  #base = 0;
  #isKey = false;
  #hexLeft = 0;
  #literal = "";
  #literalAt = 0;
  #openedAt = -1;

  /** The watched field whose value is being read. */
  #field: string | undefined;
  /** Offset in the body of the key or value being captured; -1: none is. */
  #captureStart = -1;
  /** What earlier chunks held of it, as latin1: one character a byte. */
  #captured = "";

  constructor(watched: ReadonlySet<string>) {
    this.#watched = watched;
  }

  /** The byte offset behind the object's `{`, where a first member would be inserted. */
  get insertAt(): number {
    return this.#openedAt;
  }

  /** @throws JsonSyntaxError at the first byte that cannot be JSON. The scanner must not be used afterwards. */
  push(bytes: Uint8Array): void {
    this.#chunk = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let at = 0;
    while (at < bytes.length) at = this.#step(at);
    if (this.#captureStart >= 0) this.#captured = this.#capturedUntil(bytes.length);
    this.#base += bytes.length;
    this.#chunk = EMPTY;
  }

  /** The watched fields that were there. @throws JsonSyntaxError when the text is not complete. */
  finish(): ReadonlyMap<string, JsonField> {
    if (this.#state === END) return this.#fields;
    throw new JsonSyntaxError(this.#base === 0 ? "it is empty" : `it ends too early, after ${this.#base} bytes`);
  }

  /** Reads one token, or the part of it that this chunk holds. Returns where to go on. */
  #step(at: number): number {
    const state = this.#state;
    if (state === STRING) return this.#string(at);
    if (state >= MINUS) return this.#number(at);
    const byte = this.#chunk[at] ?? 0;
    if (state >= ESCAPE) return this.#insideToken(byte, at);
    if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) return at + 1;
    return this.#structure(byte, at);
  }

  #structure(byte: number, at: number): number {
    switch (this.#state) {
      case VALUE:
        return this.#value(byte, at);
      case FIRST_ITEM:
        return byte === 0x5d ? this.#close(ARRAY, at) : this.#value(byte, at);
      case FIRST_KEY:
        return byte === 0x7d ? this.#close(OBJECT, at) : this.#key(byte, at);
      case KEY:
        return this.#key(byte, at);
      case COLON:
        if (byte !== 0x3a) return this.#unexpected(at);
        this.#state = VALUE;
        return at + 1;
      case AFTER_VALUE:
        return this.#afterValue(byte, at);
      default:
        return this.#unexpected(at);
    }
  }

  #value(byte: number, at: number): number {
    if (this.#depth === 0 && byte !== 0x7b) throw new JsonSyntaxError("it must be an object");
    if (this.#field !== undefined && this.#depth === 1) this.#captureStart = this.#base + at;
    if (byte === QUOTE) return this.#openString(at, VALUE);
    if (byte === 0x7b) return this.#open(OBJECT, at);
    if (byte === 0x5b) return this.#open(ARRAY, at);
    const number = nextInNumber(VALUE, byte);
    if (number < 0) return this.#openLiteral(byte, at);
    this.#state = number;
    return at + 1;
  }

  #key(byte: number, at: number): number {
    if (byte !== QUOTE) return this.#unexpected(at);
    if (this.#depth === 1) this.#captureStart = this.#base + at;
    return this.#openString(at, KEY);
  }

  #afterValue(byte: number, at: number): number {
    if (byte === 0x7d) return this.#close(OBJECT, at);
    if (byte === 0x5d) return this.#close(ARRAY, at);
    if (byte !== 0x2c) return this.#unexpected(at);
    this.#state = this.#stack[this.#depth - 1] === OBJECT ? KEY : VALUE;
    return at + 1;
  }

  #open(container: number, at: number): number {
    if (this.#depth === MAX_JSON_DEPTH) throw new JsonSyntaxError(`it is nested more than ${MAX_JSON_DEPTH} deep`);
    if (this.#depth === this.#stack.length) this.#stack = longer(this.#stack);
    if (this.#depth === 0) this.#openedAt = this.#base + at + 1;
    this.#stack[this.#depth] = container;
    this.#depth += 1;
    this.#state = container === OBJECT ? FIRST_KEY : FIRST_ITEM;
    return at + 1;
  }

  #close(container: number, at: number): number {
    if (this.#stack[this.#depth - 1] !== container) return this.#unexpected(at);
    this.#depth -= 1;
    return this.#endValue(at + 1);
  }

  #openString(at: number, place: number): number {
    this.#isKey = place === KEY;
    this.#state = STRING;
    return this.#string(at + 1);
  }

  #string(from: number): number {
    const chunk = this.#chunk;
    let at = from;
    while (at < chunk.length && STOPS_STRING[chunk[at] ?? 0] === 0) at += 1;
    if (at === chunk.length) return at;
    if (chunk[at] === BACKSLASH) {
      this.#state = ESCAPE;
      return at + 1;
    }
    if (chunk[at] !== QUOTE) return this.#unexpected(at);
    return this.#isKey ? this.#endKey(at + 1) : this.#endValue(at + 1);
  }

  /** One byte inside an escape or a literal. */
  #insideToken(byte: number, at: number): number {
    if (this.#state === ESCAPE) {
      const isEscape = ESCAPES.includes(byte);
      if (!isEscape) return this.#unexpected(at);
      this.#hexLeft = 4;
      this.#state = byte === 0x75 ? HEX : STRING;
      return at + 1;
    }
    if (this.#state === HEX) {
      if (!isHexDigit(byte)) return this.#unexpected(at);
      this.#hexLeft -= 1;
      if (this.#hexLeft === 0) this.#state = STRING;
      return at + 1;
    }
    if (byte !== this.#literal.charCodeAt(this.#literalAt)) return this.#unexpected(at);
    this.#literalAt += 1;
    return this.#literalAt === this.#literal.length ? this.#endValue(at + 1) : at + 1;
  }

  #openLiteral(byte: number, at: number): number {
    const literal = LITERALS.find((text) => text.charCodeAt(0) === byte);
    if (literal === undefined) return this.#unexpected(at);
    this.#literal = literal;
    this.#literalAt = 1;
    this.#state = LITERAL;
    return at + 1;
  }

  #number(from: number): number {
    let at = from;
    for (; at < this.#chunk.length; at += 1) {
      const next = nextInNumber(this.#state, this.#chunk[at] ?? 0);
      if (next < 0) {
        const isWhole = WHOLE_NUMBERS.includes(this.#state);
        return isWhole ? this.#endValue(at) : this.#unexpected(at);
      }
      this.#state = next;
    }
    return at;
  }

  #endKey(at: number): number {
    this.#state = COLON;
    if (this.#depth !== 1) return at;
    const key = parseString(this.#endCapture(at).text);
    if (this.#watched.has(key)) {
      if (this.#fields.has(key)) throw new JsonSyntaxError(`it has the field "${key}" twice`);
      this.#field = key;
    }
    return at;
  }

  #endValue(at: number): number {
    this.#state = this.#depth === 0 ? END : AFTER_VALUE;
    if (this.#field !== undefined && this.#depth === 1) {
      this.#fields.set(this.#field, this.#endCapture(at));
      this.#field = undefined;
    }
    return at;
  }

  #endCapture(at: number): JsonField {
    const latin1 = this.#capturedUntil(at);
    const field = { start: this.#captureStart, end: this.#base + at, text: utf8Of(latin1) };
    this.#captureStart = -1;
    this.#captured = "";
    return field;
  }

  #capturedUntil(at: number): string {
    const from = Math.max(0, this.#captureStart - this.#base);
    if (this.#captured.length + at - from > MAX_FIELD_BYTES) {
      throw new JsonSyntaxError(`a top-level key, or the value of ${this.#field ?? "one"}, is too long`);
    }
    return this.#captured + this.#chunk.toString("latin1", from, at);
  }

  #unexpected(at: number): never {
    throw new JsonSyntaxError(`unexpected character at byte ${this.#base + at}`);
  }
}

/** The state after `byte` of a number, or -1 when it is no part of one. */
function nextInNumber(state: number, byte: number): number {
  const column = NUMBER_COLUMNS[byte] ?? -1;
  return column < 0 ? -1 : (NUMBER_STEPS[state]?.[column] ?? -1);
}

function isHexDigit(byte: number): boolean {
  const lower = byte | 0x20;
  return (byte >= 0x30 && byte <= 0x39) || (lower >= 0x61 && lower <= 0x66);
}

function longer(stack: Uint8Array): Uint8Array<ArrayBuffer> {
  const grown = new Uint8Array(stack.length * 2);
  grown.set(stack);
  return grown;
}

function utf8Of(latin1: string): string {
  return NOT_ASCII.test(latin1) ? Buffer.from(latin1, "latin1").toString("utf8") : latin1;
}

function parseString(json: string): string {
  // The scanner saw that it is a whole JSON string, so this cannot throw.
  return json.includes("\\") ? String(JSON.parse(json)) : json.slice(1, -1);
}
