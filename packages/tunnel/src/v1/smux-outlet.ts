import { Fifo } from "../mux/fifo.ts";
import { SMUX, SMUX_MAX_PAYLOAD, smuxHeader } from "./smux-frame.ts";

export interface OutletOptions {
  readonly id: number;
  /** We open the stream: a SYN goes first. */
  readonly opens: boolean;
  /** `hasRoom` is true below this. */
  readonly roomBytes: number;
  /** There is room again. */
  onRoom?(): void;
  /** All that was pushed so far was handed to the connection. */
  onEmpty?(): void;
  /** FIN was handed to the connection: nothing follows. */
  onClosed?(): void;
}

/** The bytes that wait to leave on one smux stream: SYN, data, FIN. */
export class SmuxOutlet {
  readonly id: number;
  /** In a ring of the sender. Only the sender writes it. */
  isQueued = false;
  /** Nothing leaves for now. Whoever lets it go queues it again. */
  isHeld = false;
  queuedBytes = 0;
  readonly #options: OutletOptions;
  readonly #pieces = new Fifo<Buffer>();
  #rest: Buffer | undefined;
  #opening: "no" | "due" | "sent";
  #closing: "no" | "due" | "sent" = "no";

  constructor(options: OutletOptions) {
    this.#options = options;
    this.id = options.id;
    this.#opening = options.opens ? "due" : "no";
  }

  get hasRoom(): boolean {
    return this.queuedBytes < this.#options.roomBytes;
  }

  /** The peer may know of the stream. */
  get isOpened(): boolean {
    return this.#opening !== "due";
  }

  get isClosing(): boolean {
    return this.#closing !== "no";
  }

  get isReady(): boolean {
    if (this.isHeld || this.#closing === "sent") return false;
    return this.#opening === "due" || this.queuedBytes > 0 || this.#closing === "due";
  }

  /** Takes over `bytes`. */
  push(bytes: Buffer): void {
    if (bytes.length === 0 || this.isClosing) return;
    this.#pieces.push(bytes);
    this.queuedBytes += bytes.length;
  }

  /** FIN, behind all that was pushed. */
  close(): void {
    if (this.#closing === "no") this.#closing = "due";
  }

  /** FIN now, what waits is dropped. A stream that the peer never heard of is just forgotten. */
  abandon(): void {
    this.isHeld = false;
    this.#pieces.clear();
    this.#rest = undefined;
    this.queuedBytes = 0;
    if (this.#opening === "due") this.#closing = "sent";
    else this.close();
  }

  /** Adds the frames of one turn, at most one of data. Returns their bytes. */
  takeTurn(frames: Buffer[]): number {
    let bytes = 0;
    const add = (frame: Buffer): void => {
      frames.push(frame);
      bytes += frame.length;
    };
    if (this.#opening === "due") {
      this.#opening = "sent";
      add(smuxHeader(SMUX.open, this.id));
    }
    if (this.queuedBytes > 0) {
      const hadRoom = this.hasRoom;
      const length = Math.min(this.queuedBytes, SMUX_MAX_PAYLOAD);
      add(smuxHeader(SMUX.push, this.id, length));
      this.#takePieces(length, add);
      this.queuedBytes -= length;
      if (!hadRoom && this.hasRoom) this.#options.onRoom?.();
      if (this.queuedBytes === 0) this.#options.onEmpty?.();
    }
    if (this.queuedBytes === 0 && this.#closing === "due") {
      this.#closing = "sent";
      add(smuxHeader(SMUX.close, this.id));
      this.#options.onClosed?.();
    }
    return bytes;
  }

  #takePieces(length: number, add: (piece: Buffer) => void): void {
    let left = length;
    while (left > 0) {
      const piece = this.#rest ?? this.#pieces.shift();
      if (piece === undefined) return;
      add(piece.subarray(0, left));
      this.#rest = piece.length > left ? piece.subarray(left) : undefined;
      left -= Math.min(left, piece.length);
    }
  }
}
