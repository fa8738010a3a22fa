import { createHash, hash } from "node:crypto";
import type { IncomingMessage } from "node:http";

/** Bytes of a body that are kept: a JSON body up to here is parsed; of a longer one only head and tail are looked at. */
const KEPT_BYTES = 1024 * 1024;
/** Bytes kept from the end of a longer body. */
const TAIL_BYTES = 16 * 1024;

/** What was learned from a request's body. The body itself is gone, but for a short one. */
export interface Upload {
  readonly bytes: number;
  /** Of the whole body, hexadecimal. */
  readonly sha256: string;
  /** The whole body, when it is no longer than 1 MiB. */
  readonly whole: Buffer | undefined;
  /** The first MiB and the last 16 KiB at most, as Latin-1: enough to find a field by its name. */
  excerpt(): string;
}

/**
 * Reads a body to its end: counts and hashes it, keeping at most about 1 MiB.
 *
 * @param stopAfter Bytes after which the body is no longer read. The promise then never settles.
 * @returns A promise that never settles when the client goes away before the end: there is nobody to answer.
 */
export function readUpload(request: IncomingMessage, stopAfter: number | undefined): Promise<Upload> {
  return new Promise((resolve) => {
    const reader = new UploadReader();
    request.on("data", (chunk: Buffer) => {
      reader.take(chunk);
      if (stopAfter !== undefined && reader.bytes >= stopAfter) request.pause();
    });
    request.on("end", () => resolve(reader.finish()));
    if (stopAfter === 0) request.pause();
  });
}

class UploadReader {
  bytes = 0;
  readonly #head: Buffer[] = [];
  #tail: Buffer = Buffer.alloc(0);
  #hash: ReturnType<typeof createHash> | undefined;

  take(chunk: Buffer): void {
    const before = this.bytes;
    this.bytes += chunk.length;
    if (this.bytes <= KEPT_BYTES) {
      this.#head.push(chunk);
      return;
    }
    this.#hash ??= this.#hashOfHead();
    this.#hash.update(chunk);
    if (before < KEPT_BYTES) this.#head.push(chunk.subarray(0, KEPT_BYTES - before));
    this.#tail = Buffer.concat([this.#tail, chunk.subarray(-TAIL_BYTES)]).subarray(-TAIL_BYTES);
  }

  finish(): Upload {
    const head = this.#head.length === 1 && this.#head[0] !== undefined ? this.#head[0] : Buffer.concat(this.#head);
    const isWhole = this.#hash === undefined;
    const tail = this.#tail;
    return {
      bytes: this.bytes,
      // Most bodies come in one piece; the one-shot hash is three times as fast for them.
      sha256: this.#hash === undefined ? hash("sha256", head) : this.#hash.digest("hex"),
      whole: isWhole ? head : undefined,
      excerpt: () => head.toString("latin1") + tail.toString("latin1"),
    };
  }

  #hashOfHead(): ReturnType<typeof createHash> {
    const started = createHash("sha256");
    for (const chunk of this.#head) started.update(chunk);
    return started;
  }
}
