import { LIMITS } from "../limits.ts";
import type { BodyFilter, ModelNames } from "./body-filter.ts";
import { BodyProblem } from "./serve-failure.ts";

type Place = "preamble" | "after-delimiter" | "headers" | "content" | "model-content" | "epilogue";

const HEADERS_END = Buffer.from("\r\n\r\n");

/**
 * Replaces the value of the field `model` in a `multipart/form-data` body that passes by (RFC 7578), and no other byte.
 *
 * Files go through as views of the chunks they came in; what is held back is at most one delimiter, one part's headers
 * or the model name.
 */
export class MultipartModelFilter implements BodyFilter {
  growth = 0;
  readonly #names: ModelNames;
  readonly #delimiter: Buffer;
  #place: Place = "preamble";
  // The first delimiter has no line break of its own before it when the body starts with it.
  #held: Buffer = Buffer.from("\r\n");
  #fakeBytes = 2;
  #hasModel = false;
  #out: Uint8Array[] = [];

  /** @param boundary From the content type, without the leading dashes. */
  constructor(boundary: string, names: ModelNames) {
    this.#names = names;
    this.#delimiter = Buffer.from(`\r\n--${boundary}`, "latin1");
  }

  push(chunk: Uint8Array): Uint8Array[] {
    this.#out = [];
    this.#held = this.#held.length === 0 ? asBuffer(chunk) : Buffer.concat([this.#held, chunk]);
    while (this.#advance()) {
      // Each turn moves to the next place in the body, until one needs bytes that have not arrived.
    }
    return this.#out;
  }

  finish(): Uint8Array[] {
    if (this.#place !== "epilogue") throw new BodyProblem("The multipart body ends without its closing delimiter.");
    return [];
  }

  #advance(): boolean {
    switch (this.#place) {
      case "preamble":
      case "content":
        return this.#passContent();
      case "after-delimiter":
        return this.#afterDelimiter();
      case "headers":
        return this.#readHeaders();
      case "model-content":
        return this.#replaceModel();
      case "epilogue":
        this.#emit(this.#held.length);
        return false;
    }
  }

  #passContent(): boolean {
    const end = this.#held.indexOf(this.#delimiter);
    if (end === -1) {
      this.#emit(Math.max(0, this.#held.length - this.#delimiter.length + 1));
      return false;
    }
    this.#emit(end);
    this.#place = "after-delimiter";
    return true;
  }

  /** `held` starts with the delimiter; what follows says whether another part comes. */
  #afterDelimiter(): boolean {
    const start = this.#delimiter.length;
    const next = this.#held.subarray(start, start + 2).toString("latin1");
    if (next.length < 2) return false;
    if (next === "--") {
      this.#insertMissing();
      this.#place = "epilogue";
      return true;
    }
    // Spaces may follow a delimiter (RFC 2046); no client sends them, and parsers disagree on them.
    if (next !== "\r\n") throw new BodyProblem("The multipart body has a delimiter that is not on a line of its own.");
    this.#emit(start);
    this.#place = "headers";
    return true;
  }

  /** `held` starts with the line break before the headers, so that a part without headers is found too. */
  #readHeaders(): boolean {
    const end = this.#held.indexOf(HEADERS_END);
    if (end > LIMITS.maxPartHeaderBytes || (end === -1 && this.#held.length > LIMITS.maxPartHeaderBytes)) {
      throw new BodyProblem("A part of the multipart body has too many headers.");
    }
    if (end === -1) return false;
    // Content that starts like a delimiter is content by the standard, and a new part to lenient parsers.
    const dashes = this.#delimiter.subarray(2);
    const start = this.#held.subarray(end + HEADERS_END.length, end + HEADERS_END.length + dashes.length);
    if (start.length < dashes.length) return false;
    if (start.equals(dashes)) throw new BodyProblem("A part of the multipart body starts with a delimiter.");
    const isModel = fieldName(this.#held.subarray(0, end).toString("latin1"))?.toLowerCase() === "model";
    this.#emit(end + HEADERS_END.length);
    this.#place = isModel ? "model-content" : "content";
    return true;
  }

  #replaceModel(): boolean {
    const end = this.#held.indexOf(this.#delimiter);
    if (end > LIMITS.maxModelNameBytes || (end === -1 && this.#held.length > 2 * LIMITS.maxModelNameBytes)) {
      throw new BodyProblem("The model name in the body is too long.");
    }
    if (end === -1) return false;
    this.#hasModel = true;
    const name = this.#held.subarray(0, end).toString("utf8");
    const upstream = this.#names.upstreamOf(name);
    if (upstream === name) this.#emit(end);
    else this.#replaceHeld(end, Buffer.from(upstream));
    this.#place = "after-delimiter";
    return true;
  }

  #insertMissing(): void {
    const { whenMissing } = this.#names;
    if (this.#hasModel || whenMissing === undefined) return;
    const head = this.#delimiter.toString("latin1");
    const part = Buffer.from(`${head}\r\nContent-Disposition: form-data; name="model"\r\n\r\n${whenMissing}`);
    this.#replaceHeld(0, part);
  }

  #replaceHeld(bytes: number, replacement: Buffer): void {
    // Before the first real byte, the line break that opens the new part is the made-up one.
    this.#out.push(replacement.subarray(this.#fakeBytes));
    this.#fakeBytes = 0;
    this.growth += replacement.length - bytes;
    this.#held = this.#held.subarray(bytes);
  }

  #emit(bytes: number): void {
    const piece = this.#held.subarray(Math.min(bytes, this.#fakeBytes), bytes);
    this.#fakeBytes = Math.max(0, this.#fakeBytes - bytes);
    if (piece.length > 0) this.#out.push(piece);
    this.#held = this.#held.subarray(bytes);
  }
}

/** The boundary of a `multipart/form-data` content type, undefined when it is another type or has none. */
export function multipartBoundary(contentType: string): string | undefined {
  if (!/^multipart\/form-data\s*;/i.test(contentType)) return undefined;
  const match = /;\s*boundary=(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70}))/i.exec(contentType);
  return match?.[1] ?? match?.[2];
}

function fieldName(headers: string): string | undefined {
  const line = /(?:^|\r\n)content-disposition[ \t]*:([^\r]*)/i.exec(headers)?.[1];
  if (line === undefined) return undefined;
  // Parsers disagree on the extended form (RFC 7578 §4.2 forbids it); guessing would let a second "model" through.
  if (/;\s*name\*/i.test(line))
    throw new BodyProblem("A part of the multipart body names its field in an unsupported way.");
  const match = /;\s*name\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))/i.exec(line);
  return (match?.[1] ?? match?.[2])?.replaceAll(/\\(.)/g, "$1");
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
