import { write } from "node:fs";

/** Bytes of log kept while its reader does not read; more lines are lost. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024;

/** Handed to the system at once. */
const CHUNK_BYTES = 64 * 1024;

/** Between two tries at a pipe that is full. */
const FULL_PIPE_MS = 20;

/** How long disposing waits for a reader that does not read. */
const CLOSE_TIMEOUT_MS = 1000;

/** Writes bytes to a file descriptor: how many it took, or an error with `code`. `fs.write` but for tests. */
type Write = (
  fd: number,
  bytes: Uint8Array,
  done: (error: NodeJS.ErrnoException | null, written: number) => void,
) => void;

/**
 * Lines for a file descriptor that never make anybody wait: a terminal that is scrolled back, or a pipe whose reader hangs,
 * must not stop the hub. (`process.stdout` writes to terminals synchronously, and pino's own destination insists, at the end
 * of the process, on a reader that may never read.) What does not fit is counted, and the count is written when it does again.
 */
export class LineSink implements AsyncDisposable {
  readonly #fd: number;
  readonly #write: Write;
  #lines: string[] = [];
  #waitingBytes = 0;
  #lost = 0;
  #isWriting = false;
  #isBroken = false;
  #onEmpty: (() => void) | undefined;

  constructor(fd: number, systemWrite: Write = write) {
    this.#fd = fd;
    this.#write = systemWrite;
  }

  /** Lines that did not fit, not yet told. */
  get lost(): number {
    return this.#lost;
  }

  write(line: string): void {
    if (this.#isBroken) return;
    // Of JSON lines nearly every character is one byte; the bound need not be exact.
    if (this.#waitingBytes + line.length > MAX_WAITING_BYTES) {
      this.#lost += 1;
      return;
    }
    this.#lines.push(line);
    this.#waitingBytes += line.length;
    if (!this.#isWriting) this.#next();
  }

  /** Waits until everything is written, at most a second. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isWriting) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onEmpty = resolve;
    const deadline = setTimeout(resolve, CLOSE_TIMEOUT_MS);
    await promise;
    clearTimeout(deadline);
  }

  #next(): void {
    const lines = this.#take();
    this.#isWriting = lines !== "";
    if (lines === "") this.#onEmpty?.();
    else this.#send(Buffer.from(lines));
  }

  /** The lines of the next chunk, as one text. */
  #take(): string {
    if (this.#lines.length === 0 && this.#lost > 0) {
      const lost = this.#lost;
      this.#lost = 0;
      return `${JSON.stringify({ level: "warn", time: Date.now(), lines: lost, message: "log lines are lost" })}\n`;
    }
    let bytes = 0;
    let count = 0;
    for (const line of this.#lines) {
      if (bytes >= CHUNK_BYTES) break;
      bytes += line.length;
      count += 1;
    }
    this.#waitingBytes -= bytes;
    return this.#lines.splice(0, count).join("");
  }

  #send(bytes: Uint8Array): void {
    this.#write(this.#fd, bytes, (error, written) => {
      if (error?.code === "EAGAIN") {
        // Not kept alive by it: at the end of the process nobody waits for a reader any more.
        setTimeout(() => this.#send(bytes), FULL_PIPE_MS).unref();
      } else if (error !== null) {
        this.#break();
      } else if (written < bytes.length) {
        this.#send(bytes.subarray(written));
      } else {
        this.#next();
      }
    });
  }

  /** The reader went away (`| head`), or the disk is full: the hub goes on without its log. */
  #break(): void {
    this.#isBroken = true;
    this.#isWriting = false;
    this.#lines = [];
    this.#onEmpty?.();
  }
}
