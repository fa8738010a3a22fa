/** What a reader tells. Called from `read`, in order. */
export interface ResponseEvents {
  /** The status of a response whose head is complete. */
  head(status: number): void;
  /** Bytes of the body: `bytes` from `start` to before `end`, a view that is valid during the call only. */
  body(bytes: Buffer, start: number, end: number): void;
  /** The response is complete; the next byte belongs to another one. */
  end(): void;
}

const HEAD_END = Buffer.from("\r\n\r\n");
const MAX_HEAD_BYTES = 64 * 1024;
const CARRIAGE_RETURN = 13;
const NEW_LINE = 10;

/** Where in a response the next byte stands. */
type Place = "head" | "sized-body" | "chunk-size" | "chunk-extension" | "chunk-data" | "chunk-end" | "trailer";

/**
 * Reads HTTP/1.1 responses (RFC 9112) from a connection: just enough for servers on the same machine, so that the
 * generator takes little of the core it shares. Bodies have a length or chunks; answers without a body are not asked for.
 *
 * @throws Error from `read` for anything else. The connection is then of no further use.
 */
export class ResponseReader {
  readonly #events: ResponseEvents;
  #place: Place = "head";
  /** A head that came in pieces. */
  #headBytes: Buffer | undefined;
  /** Bytes left of a sized body or a chunk's data; while a size is read, the size so far. */
  #left = 0;
  /** Whether the line of the trailer section that is being read has anything on it. */
  #lineHasText = false;

  constructor(events: ResponseEvents) {
    this.#events = events;
  }

  /** Takes what the connection brought. */
  read(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) at = this.#step(bytes, at);
  }

  #step(bytes: Buffer, at: number): number {
    switch (this.#place) {
      case "head":
        return this.#readHead(bytes, at);
      case "sized-body":
      case "chunk-data":
        return this.#readData(bytes, at);
      case "chunk-size":
      case "chunk-extension":
        return this.#readChunkSize(bytes, at);
      case "chunk-end":
        if (bytes[at] === NEW_LINE) this.#place = "chunk-size";
        return at + 1;
      case "trailer":
        return this.#readTrailer(bytes, at);
    }
  }

  #readHead(bytes: Buffer, at: number): number {
    const before = this.#headBytes;
    const head = before === undefined ? bytes.subarray(at) : Buffer.concat([before, bytes.subarray(at)]);
    const end = head.indexOf(HEAD_END);
    if (end < 0) {
      if (head.length > MAX_HEAD_BYTES) throw new Error("The head of the response does not end.");
      // Copied: what the socket lends is used again for its next read.
      this.#headBytes = Buffer.from(head);
      return bytes.length;
    }
    this.#headBytes = undefined;
    this.#takeHead(head.toString("latin1", 0, end).toLowerCase());
    return at + end + HEAD_END.length - (before?.length ?? 0);
  }

  #takeHead(head: string): void {
    if (!head.startsWith("http/1.1 ")) throw new Error(`Not an HTTP/1.1 response: ${head.slice(0, 40)}`);
    const length = /\r\ncontent-length: *(\d+)/.exec(head)?.[1];
    this.#events.head(Number(head.slice(9, 12)));
    if (head.includes("\r\ntransfer-encoding: chunked")) {
      this.#place = "chunk-size";
      this.#left = 0;
    } else if (length !== undefined) {
      this.#place = "sized-body";
      this.#left = Number(length);
      if (this.#left === 0) this.#finish();
    } else throw new Error("A response without length and chunks.");
  }

  #readData(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + this.#left);
    this.#events.body(bytes, at, end);
    this.#left -= end - at;
    if (this.#left > 0) return end;
    if (this.#place === "sized-body") this.#finish();
    else this.#place = "chunk-end";
    return end;
  }

  #readChunkSize(bytes: Buffer, at: number): number {
    const byte = bytes[at] ?? 0;
    if (byte === NEW_LINE) {
      this.#place = this.#left === 0 ? "trailer" : "chunk-data";
      this.#lineHasText = false;
    } else if (this.#place === "chunk-size" && byte !== CARRIAGE_RETURN) {
      const digit = hexDigit(byte);
      if (digit < 0) this.#place = "chunk-extension";
      else this.#left = this.#left * 16 + digit;
    }
    return at + 1;
  }

  #readTrailer(bytes: Buffer, at: number): number {
    const byte = bytes[at];
    if (byte === NEW_LINE && !this.#lineHasText) this.#finish();
    else if (byte !== CARRIAGE_RETURN) this.#lineHasText = byte !== NEW_LINE;
    return at + 1;
  }

  #finish(): void {
    this.#place = "head";
    this.#left = 0;
    this.#events.end();
  }
}

/** 0 to 15, or -1 when it is no hexadecimal digit. */
function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const letter = byte | 32;
  return letter >= 97 && letter <= 102 ? letter - 87 : -1;
}
