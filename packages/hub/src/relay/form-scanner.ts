/** What may stand in front of the fields we look for. A form with more parts is not one of the API's. */
export const MULTIPART_LIMITS = { maxParts: 100, maxPartHeadBytes: 16 * 1024, maxFieldBytes: 16 * 1024 } as const;

export class MultipartError extends Error {
  override readonly name = "MultipartError";
}

/** The boundary that a `multipart/form-data` content type names (RFC 2046 §5.1.1); undefined when there is none. */
export function boundaryOf(contentType: string): string | undefined {
  const match = /;\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i.exec(contentType);
  return match?.[1] ?? match?.[2];
}

/** Where in a form the next byte stands. `before`: in front of the first boundary, where mail may have a preamble. */
type Place =
  | { readonly is: "before" | "boundary-end" | "head" | "skipped" | "done" }
  | { readonly is: "wanted"; readonly name: string };

/**
 * Finds the text fields called `names` while a form goes by (RFC 7578), split anywhere. Keeps no more than one part's head
 * or one wanted field; of files it keeps nothing.
 */
export class FormScanner {
  readonly #delimiter: Buffer;
  readonly #names: ReadonlySet<string>;
  readonly #fields = new Map<string, string>();
  /** Bytes that the next ones may belong to. Begins with a line end, so that a boundary at the very start is like others. */
  #pending: Buffer = Buffer.from("\r\n");
  #place: Place = { is: "before" };
  #parts = 0;

  constructor(boundary: string, names: ReadonlySet<string>) {
    this.#delimiter = Buffer.from(`\r\n--${boundary}`);
    this.#names = names;
  }

  /** The wanted fields that went by whole. */
  get fields(): ReadonlyMap<string, string> {
    return this.#fields;
  }

  /** @throws MultipartError when it is no form, has too many parts, a head or wanted field that is too long, or one twice. */
  push(chunk: Uint8Array): void {
    if (this.#place.is === "done") return;
    this.#pending = this.#pending.length === 0 ? asBuffer(chunk) : Buffer.concat([this.#pending, chunk]);
    while (this.#step());
  }

  /** @throws MultipartError when the body ended and had no boundary at all. */
  finish(): void {
    if (this.#place.is === "before") throw noBoundary();
  }

  /** Takes one part of the form from `#pending`. False: more bytes are needed. */
  #step(): boolean {
    switch (this.#place.is) {
      case "before":
        return this.#skipToBoundary(MULTIPART_LIMITS.maxPartHeadBytes);
      case "skipped":
        return this.#skipToBoundary(Infinity);
      case "boundary-end":
        return this.#endBoundary();
      case "head":
        return this.#readHead();
      case "wanted":
        return this.#readField(this.#place.name);
      case "done":
        this.#pending = NOTHING;
        return false;
    }
  }

  #skipToBoundary(maxBytes: number): boolean {
    const at = this.#pending.indexOf(this.#delimiter);
    if (at >= 0) return this.#take(at + this.#delimiter.length, { is: "boundary-end" });
    if (this.#pending.length > maxBytes) throw noBoundary();
    // Only in front of the first boundary bytes are kept, to count them.
    if (this.#place.is === "skipped") this.#pending = this.#pending.subarray(1 - this.#delimiter.length);
    return false;
  }

  /** Two dashes end the form; anything else is the rest of the line, and a part's head follows. */
  #endBoundary(): boolean {
    if (this.#pending.length < CLOSING.length) return false;
    if (this.#pending.subarray(0, CLOSING.length).equals(CLOSING)) return this.#take(CLOSING.length, { is: "done" });
    this.#parts += 1;
    if (this.#parts > MULTIPART_LIMITS.maxParts) {
      throw new MultipartError(`it has more than ${MULTIPART_LIMITS.maxParts} parts`);
    }
    return this.#take(0, { is: "head" });
  }

  #readHead(): boolean {
    const end = this.#pending.indexOf("\r\n\r\n");
    const length = end < 0 ? this.#pending.length : end;
    if (length > MULTIPART_LIMITS.maxPartHeadBytes) {
      throw new MultipartError("a part's head is too long");
    }
    if (end < 0) return false;
    const name = nameOf(this.#pending.toString("latin1", 0, end));
    const isWanted = name !== undefined && this.#names.has(name);
    // The second line end stays: the boundary behind an empty part begins with it.
    return this.#take(end + 2, isWanted ? { is: "wanted", name } : { is: "skipped" });
  }

  #readField(name: string): boolean {
    const end = this.#pending.indexOf(this.#delimiter);
    // Less the line end in front of it, and what may be the beginning of the boundary behind it.
    const length = end < 0 ? this.#pending.length - this.#delimiter.length : end - 2;
    if (length > MULTIPART_LIMITS.maxFieldBytes) {
      throw new MultipartError(`the field "${name}" is too long`);
    }
    if (end < 0) return false;
    if (this.#fields.has(name)) throw new MultipartError(`it has the field "${name}" twice`);
    this.#fields.set(name, this.#pending.toString("utf8", Math.min(2, end), end));
    return this.#take(end + this.#delimiter.length, { is: "boundary-end" });
  }

  #take(bytes: number, next: Place): true {
    this.#pending = this.#pending.subarray(bytes);
    this.#place = next;
    return true;
  }
}

const CLOSING = Buffer.from("--");
const NOTHING = Buffer.alloc(0);

function nameOf(head: string): string | undefined {
  const match = /^content-disposition:[^\r]*;\s*name=(?:"([^"\r]*)"|([^\s;"]+))/im.exec(head);
  return match?.[1] ?? match?.[2];
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function noBoundary(): MultipartError {
  return new MultipartError("the body does not start with the boundary that the content type names");
}
