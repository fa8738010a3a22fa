import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** An answer as it was on the wire, its body put together. */
export interface RawAnswer {
  readonly status: number;
  /** By lower-case name; the last one wins. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A TCP connection on which a test writes whatever it likes. Disposing destroys it. */
export class RawConnection implements Disposable {
  readonly #socket: Socket;
  readonly #closed: Promise<unknown>;
  #received = Buffer.alloc(0);
  #isClosed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
    });
    // A reset is a way to close; what came before it is what counts.
    socket.on("error", () => {});
    this.#closed = once(socket, "close").catch(() => {});
    void this.#closed.then(() => {
      this.#isClosed = true;
    });
  }

  static async open(port: number): Promise<RawConnection> {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: false });
    await once(socket, "connect");
    return new RawConnection(socket);
  }

  get received(): string {
    return this.#received.toString("latin1");
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  write(bytes: string | Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** Reads no more. The peer's bytes stay in the kernel until it is full. */
  stopReading(): void {
    this.#socket.pause();
  }

  /** Resolves when the peer closed. @throws Error after `timeoutMs`. */
  async closed(timeoutMs = 10_000): Promise<void> {
    await Promise.race([this.#closed, this.#tooLate(timeoutMs, "did not close")]);
  }

  /** Resolves when `text` has come. @throws Error when it does not within `timeoutMs`, or the peer closes. */
  async until(text: string, timeoutMs = 10_000): Promise<void> {
    await this.#wait(() => this.received.includes(text) || undefined, timeoutMs);
  }

  /** The next whole answer, taken from what was received. @throws Error when none comes within `timeoutMs`. */
  async answer(timeoutMs = 10_000): Promise<RawAnswer> {
    const { answer, length } = await this.#wait(() => parseAnswer(this.received), timeoutMs);
    this.#received = this.#received.subarray(length);
    return answer;
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  async #wait<T>(look: () => T | undefined, timeoutMs: number): Promise<T> {
    const late = this.#tooLate(timeoutMs, "did not answer");
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      if (this.#isClosed) throw new Error(`The hub closed after: ${this.received.slice(0, 2000)}`);
      await Promise.race([once(this.#socket, "data"), this.#closed, late]);
    }
  }

  async #tooLate(timeoutMs: number, what: string): Promise<never> {
    const { promise, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      reject(new Error(`The hub ${what} within ${timeoutMs} ms; received: ${this.received.slice(0, 2000)}`));
    }, timeoutMs);
    // Nobody waits for this one once the other side of the race is over.
    timer.unref();
    return promise;
  }
}

/** The first answer in `text`, undefined while it is not complete. Bodies of known length and chunked ones only. */
function parseAnswer(text: string): { answer: RawAnswer; length: number } | undefined {
  const headEnd = text.indexOf("\r\n\r\n");
  if (headEnd < 0) return undefined;
  const [statusLine = "", ...lines] = text.slice(0, headEnd).split("\r\n");
  const headers = Object.fromEntries(lines.map((line) => splitHeader(line)));
  const start = headEnd + 4;
  const body = headers["transfer-encoding"] === "chunked" ? chunkedBody(text, start) : sizedBody(text, start, headers);
  if (body === undefined) return undefined;
  return { answer: { status: Number(statusLine.split(" ")[1]), headers, body: body.text }, length: body.end };
}

function splitHeader(line: string): [name: string, value: string] {
  const colon = line.indexOf(":");
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
}

interface Body {
  readonly text: string;
  readonly end: number;
}

function sizedBody(text: string, start: number, headers: Readonly<Record<string, string>>): Body | undefined {
  const end = start + Number(headers["content-length"] ?? 0);
  return text.length < end ? undefined : { text: text.slice(start, end), end };
}

function chunkedBody(text: string, start: number): Body | undefined {
  let body = "";
  for (let at = start; ;) {
    const lineEnd = text.indexOf("\r\n", at);
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    const chunkEnd = lineEnd + 2 + size;
    if (text.length < chunkEnd + 2) return undefined;
    if (size === 0) return { text: body, end: chunkEnd + 2 };
    body += text.slice(lineEnd + 2, chunkEnd);
    at = chunkEnd + 2;
  }
}
