import { mkdir, open, rm, type FileHandle } from "node:fs/promises";
import { join } from "node:path";

import { AppError } from "../errors.ts";

const READ_BYTES = 64 * 1024;

/** The folder where uploads wait whose model stands behind the file, and how much all of them may take. */
export class SpoolRoom {
  readonly #folder: string;
  readonly #maxBytes: number;
  #usedBytes = 0;
  #made = 0;

  constructor(options: { readonly folder: string; readonly maxBytes: number }) {
    this.#folder = options.folder;
    this.#maxBytes = options.maxBytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** An empty spool. The caller closes it. */
  async open(): Promise<Spool> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    this.#made += 1;
    const path = join(this.#folder, `${process.pid}-${this.#made}`);
    const file = await open(path, "w+", 0o600);
    // Without a name at once, so that nothing is left behind however the process ends. Windows keeps the name until the
    // file is closed, and so removes it then.
    await rm(path, { force: true }).catch(() => undefined);
    return new Spool(file, this, path);
  }

  /** @throws AppError `overloaded` when the room is full. */
  take(bytes: number): void {
    if (this.#usedBytes + bytes > this.#maxBytes) {
      throw new AppError("overloaded", "Too many uploads wait for their model. Send the field before the file.", {
        retryAfter: 5,
      });
    }
    this.#usedBytes += bytes;
  }

  give(bytes: number): void {
    this.#usedBytes -= bytes;
  }
}

/** Bytes of one upload on disk: written first, then read once. Never both at the same time. */
export class Spool {
  readonly #file: FileHandle;
  readonly #room: SpoolRoom;
  readonly #path: string;
  #written = 0;
  #read = 0;
  #isClosed = false;

  constructor(file: FileHandle, room: SpoolRoom, path: string) {
    this.#file = file;
    this.#room = room;
    this.#path = path;
  }

  /** @throws AppError `overloaded` when the room or the disk is full. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#room.take(bytes.length);
    this.#written += bytes.length;
    try {
      await this.#file.appendFile(bytes);
    } catch (cause) {
      throw new AppError("overloaded", "The hub could not store the upload.", { retryAfter: 30, cause });
    }
  }

  /** The next bytes, undefined behind the last. */
  async next(): Promise<Uint8Array | undefined> {
    if (this.#read >= this.#written) return undefined;
    const length = Math.min(READ_BYTES, this.#written - this.#read);
    const { bytesRead, buffer } = await this.#file.read(Buffer.allocUnsafeSlow(length), 0, length, this.#read);
    if (bytesRead === 0)
      throw new AppError("internal", undefined, { cause: new Error("the spool is shorter than written") });
    this.#read += bytesRead;
    return buffer.subarray(0, bytesRead);
  }

  /** Gives the disk back. Twice is once. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#room.give(this.#written);
    await this.#file.close();
    await rm(this.#path, { force: true });
  }
}
