import { connect, type Socket } from "node:net";

import type { Target } from "./job.ts";
import { type ResponseEvents, ResponseReader } from "./response-reader.ts";

/** All reads of all connections go through these bytes: each is used up before the next read begins. */
const READ_BYTES = 256 * 1024;

/** Memory that the connections of one generator read into. */
export function readBuffer(): Uint8Array {
  return new Uint8Array(READ_BYTES);
}

/** One kept-alive connection, one request at a time. */
export class ClientConnection {
  readonly #socket: Socket;
  readonly #failed: () => void;
  #isClosed = false;

  /** @param events `failed` is called once when the connection breaks or brings what is no response. */
  constructor(port: number, shared: Uint8Array, events: ResponseEvents & { failed(): void }) {
    const reader = new ResponseReader(events);
    const bytes = Buffer.from(shared.buffer);
    this.#failed = () => events.failed();
    this.#socket = connect({
      port,
      host: "127.0.0.1",
      noDelay: true,
      onread: {
        buffer: shared,
        callback: (length) => {
          if (!this.#isClosed) this.#read(reader, bytes.subarray(0, length));
          return true;
        },
      },
    });
    this.#socket.on("error", () => this.#fail());
    this.#socket.on("close", () => this.#fail());
  }

  /** Sends what `requestBytes` made. Not before the last answer ended. */
  send(request: Buffer): void {
    this.#socket.write(request);
  }

  /** At once; nothing is told any more. */
  close(): void {
    this.#isClosed = true;
    this.#socket.destroy();
  }

  #read(reader: ResponseReader, bytes: Buffer): void {
    try {
      reader.read(bytes);
    } catch {
      // What came is no response: counted as a failure, which is all that a load test needs to know.
      this.#fail();
    }
  }

  #fail(): void {
    if (this.#isClosed) return;
    this.close();
    this.#failed();
  }
}

/** A whole POST request as it goes over the wire. */
export function requestBytes(target: Target, body: string): Buffer {
  const headers = Object.entries(target.headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(
    `POST ${target.path} HTTP/1.1\r\nhost: 127.0.0.1:${target.port}\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n${headers.join("")}\r\n${body}`,
  );
}
