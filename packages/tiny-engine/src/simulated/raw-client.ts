import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** What a connection gave until it ended. */
export interface RawAnswer {
  /** Everything received, as Latin-1: head, chunk sizes and all. */
  readonly text: string;
  /** Sizes of the pieces in which it came. */
  readonly pieces: readonly number[];
  /** `reset` when the connection ended with an error. */
  readonly end: "end" | "reset";
}

/** A client that sees what is on the wire and nothing else. For tests. */
export class RawClient implements Disposable {
  readonly socket: Socket;
  readonly #pieces: Buffer[] = [];
  #end: RawAnswer["end"] = "end";
  readonly #closed: Promise<unknown>;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => this.#pieces.push(chunk));
    socket.on("error", () => (this.#end = "reset"));
    this.#closed = new Promise((resolve) => socket.on("close", resolve));
  }

  static async open(port: number): Promise<RawClient> {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    return new RawClient(socket);
  }

  /** Asks for `body` to be posted to `path`, on a connection that the server may close afterwards. */
  post(path: string, body: object, headers = "connection: close\r\n"): void {
    const text = JSON.stringify(body);
    this.socket.write(
      `POST ${path} HTTP/1.1\r\nhost: engine\r\n${headers}content-type: application/json\r\n` +
        `content-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
    );
  }

  /** What came so far, as Latin-1. */
  get text(): string {
    return Buffer.concat(this.#pieces).toString("latin1");
  }

  /** Resolves as soon as `wanted` was received. */
  async sees(wanted: string): Promise<void> {
    while (!this.text.includes(wanted)) await once(this.socket, "data");
  }

  /** Resolves when the connection has ended, whoever ended it. */
  async answer(): Promise<RawAnswer> {
    await this.#closed;
    return { text: this.text, pieces: this.#pieces.map((piece) => piece.length), end: this.#end };
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}
