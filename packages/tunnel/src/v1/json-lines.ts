import { TunnelError } from "../tunnel-error.ts";

const LINE_FEED = 0x0a;
const FIRST_BUFFER_BYTES = 1024;

/** Cuts a byte stream into lines of bounded length. Only the unfinished line is kept, in one piece of memory. */
export class LineReader {
  readonly #maxBytes: number;
  #buffer: Buffer | undefined;
  #used = 0;
  #isClosed = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Memory of the unfinished line. */
  get heldBytes(): number {
    return this.#buffer?.length ?? 0;
  }

  /**
   * Calls `onLine` with each line that is complete now, without its line feed; never with a blank one. The bytes are only
   * good during the call. @throws TunnelError "too-large".
   */
  push(bytes: Buffer, onLine: (line: Buffer) => void): void {
    let at = 0;
    while (!this.#isClosed) {
      const end = bytes.indexOf(LINE_FEED, at);
      if (end === -1) break;
      const line = this.#complete(bytes.subarray(at, end));
      at = end + 1;
      if (!isBlank(line)) onLine(line);
    }
    if (!this.#isClosed && at < bytes.length) this.#keep(bytes.subarray(at));
  }

  /** No line is told any more, also of those that came in the same bytes. */
  close(): void {
    this.#isClosed = true;
    this.#buffer = undefined;
    this.#used = 0;
  }

  #complete(rest: Buffer): Buffer {
    if (this.#buffer === undefined) {
      this.#checkLength(rest.length);
      return rest;
    }
    this.#keep(rest);
    const line = this.#buffer.subarray(0, this.#used);
    this.#buffer = undefined;
    this.#used = 0;
    return line;
  }

  #keep(piece: Buffer): void {
    const needed = this.#used + piece.length;
    this.#checkLength(needed);
    if (this.#buffer === undefined || needed > this.#buffer.length) {
      // Doubled, so that a line of single bytes is not copied for each of them.
      const size = Math.min(this.#maxBytes, Math.max(needed, FIRST_BUFFER_BYTES, this.heldBytes * 2));
      const larger = Buffer.allocUnsafeSlow(size);
      this.#buffer?.copy(larger, 0, 0, this.#used);
      this.#buffer = larger;
    }
    piece.copy(this.#buffer, this.#used);
    this.#used = needed;
  }

  #checkLength(bytes: number): void {
    if (bytes > this.#maxBytes) throw new TunnelError("too-large", { message: `a line above ${this.#maxBytes} bytes` });
  }
}

/** The JSON object of one line. @throws TunnelError "protocol". */
export function parseLine(line: Buffer): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(line.toString("utf8"));
  } catch {
    throw new TunnelError("protocol", { message: "a line that is not JSON" });
  }
  if (!isRecord(value)) throw new TunnelError("protocol", { message: "a line that is no JSON object" });
  return value;
}

/** The value of `name` (lower-case). Go's JSON does not care for the case of keys, and prefers an exact one. */
export function fieldOf(object: Readonly<Record<string, unknown>>, name: string): unknown {
  if (Object.hasOwn(object, name)) return object[name];
  for (const key of Object.keys(object)) if (key.toLowerCase() === name) return object[key];
  return undefined;
}

/** A text field; "" when it is missing or null. @throws TunnelError "protocol" for another type. */
export function textField(object: Readonly<Record<string, unknown>>, name: string): string {
  const value = fieldOf(object, name) ?? "";
  if (typeof value !== "string") throw wrongType(name);
  return value;
}

/** A number field; 0 when it is missing or null. @throws TunnelError "protocol" for another type. */
export function numberField(object: Readonly<Record<string, unknown>>, name: string): number {
  const value = fieldOf(object, name) ?? 0;
  if (typeof value !== "number") throw wrongType(name);
  return value;
}

/** An object field; undefined when it is missing or null. @throws TunnelError "protocol" for another type. */
export function objectField(
  object: Readonly<Record<string, unknown>>,
  name: string,
): Readonly<Record<string, unknown>> | undefined {
  const value = fieldOf(object, name) ?? undefined;
  if (value === undefined) return undefined;
  if (!isRecord(value)) throw wrongType(name);
  return value;
}

/** A list of texts; undefined when it is missing or null. @throws TunnelError "protocol" for another type. */
export function textsField(object: Readonly<Record<string, unknown>>, name: string): readonly string[] | undefined {
  const value = fieldOf(object, name) ?? undefined;
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) throw wrongType(name);
  return value.map((each: unknown) => {
    if (typeof each !== "string") throw wrongType(name);
    return each;
  });
}

/** Bytes in base64; undefined when the field is missing, null or empty. @throws TunnelError "protocol". */
export function bytesField(object: Readonly<Record<string, unknown>>, name: string): Buffer | undefined {
  const text = textField(object, name);
  if (text === "") return undefined;
  const bytes = Buffer.from(text, "base64");
  // Node passes over what is no base64; then fewer bytes come out than the length promises.
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  if (text.length % 4 !== 0 || bytes.length !== (text.length / 4) * 3 - padding) throw wrongType(name);
  return bytes;
}

/** One line of `value`: what is undefined, "", 0, false or an empty list is left out, as Go's `omitempty` does. */
export function encodeLine(value: Readonly<Record<string, unknown>>): Buffer {
  return Buffer.from(`${JSON.stringify(withoutEmpty(value))}\n`);
}

/** A copy without what Go's `omitempty` leaves out. */
export function withoutEmpty(value: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => !isEmpty(each)));
}

function isEmpty(value: unknown): boolean {
  return (
    value === undefined ||
    value === "" ||
    value === 0 ||
    value === false ||
    (Array.isArray(value) && value.length === 0)
  );
}

function isBlank(line: Buffer): boolean {
  return line.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function wrongType(name: string): TunnelError {
  return new TunnelError("protocol", { message: `malformed ${name}` });
}
