import { TunnelError } from "../tunnel-error.ts";

/** Commands of smux version 1 (`xtaci/smux`, frame.go). 4, a window update, belongs to its version 2 and is an error here. */
export const SMUX = { open: 0, close: 1, push: 2, nop: 3 } as const;
export type SmuxCommand = (typeof SMUX)[keyof typeof SMUX];

const SMUX_HEADER_BYTES = 8;
/** More payload goes into several frames. Received are up to 65,535, as the length has 16 bits. */
export const SMUX_MAX_PAYLOAD = 32_768;

const VERSION = 1;

/** The eight bytes before a payload: version, command, length and stream id, little-endian. */
export function smuxHeader(command: SmuxCommand, id: number, payloadBytes = 0): Buffer {
  const header = Buffer.allocUnsafe(SMUX_HEADER_BYTES);
  header[0] = VERSION;
  header[1] = command;
  header.writeUInt16LE(payloadBytes, 2);
  header.writeUInt32LE(id, 4);
  return header;
}

export interface SmuxFrameEvents {
  onOpen(id: number): void;
  /** A piece of a payload: a frame may come in several. The bytes are a view into what was pushed. Never empty. */
  onPush(id: number, piece: Buffer): void;
  onClose(id: number): void;
}

/** Reads frames from a byte stream cut anywhere. Keeps at most one header. */
export class SmuxParser {
  readonly #events: SmuxFrameEvents;
  readonly #header = Buffer.alloc(SMUX_HEADER_BYTES);
  #headerBytes = 0;
  #payloadLeft = 0;
  #id = 0;

  constructor(events: SmuxFrameEvents) {
    this.#events = events;
  }

  /** @throws TunnelError "protocol". Nothing may be pushed after that. */
  push(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#payloadLeft > 0) {
        const piece = bytes.subarray(at, at + this.#payloadLeft);
        at += piece.length;
        this.#payloadLeft -= piece.length;
        this.#events.onPush(this.#id, piece);
      } else {
        const copied = bytes.copy(this.#header, this.#headerBytes, at);
        at += copied;
        this.#headerBytes += copied;
        if (this.#headerBytes < SMUX_HEADER_BYTES) return;
        this.#headerBytes = 0;
        this.#onHeader();
      }
    }
  }

  #onHeader(): void {
    const header = this.#header;
    if (header[0] !== VERSION) throw malformed("another version of smux");
    const command = header[1];
    const length = header.readUInt16LE(2);
    this.#id = header.readUInt32LE(4);
    if (command === SMUX.push) {
      this.#payloadLeft = length;
      return;
    }
    if (length !== 0) throw malformed("a payload where none belongs");
    if (command === SMUX.open) this.#events.onOpen(this.#id);
    else if (command === SMUX.close) this.#events.onClose(this.#id);
    else if (command !== SMUX.nop) throw malformed("an unknown smux command");
  }
}

function malformed(message: string): TunnelError {
  return new TunnelError("protocol", { message });
}
