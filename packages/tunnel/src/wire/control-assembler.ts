import { WIRE_LIMITS } from "../limits.ts";
import { TunnelError } from "../tunnel-error.ts";

/** Joins the pieces of CONTROL messages. Holds at most 256 KiB. */
export class ControlAssembler {
  readonly #onMessage: (payload: Buffer) => void;
  #pieces: Buffer[] = [];
  #bytes = 0;

  constructor(onMessage: (payload: Buffer) => void) {
    this.#onMessage = onMessage;
  }

  /** Takes one piece, a view. @throws TunnelError "abuse" when the message grows too large. */
  add(piece: Buffer, isLast: boolean): void {
    if (this.#bytes + piece.length > WIRE_LIMITS.controlBytes) {
      throw new TunnelError("abuse", { message: "CONTROL too large" });
    }
    if (isLast && this.#pieces.length === 0) {
      this.#onMessage(piece);
      return;
    }
    if (piece.length === 0 && !isLast) throw new TunnelError("abuse", { message: "empty CONTROL piece" });
    // A copy: a small view would keep its whole message in memory.
    this.#pieces.push(Buffer.from(piece));
    this.#bytes += piece.length;
    if (!isLast) return;
    const message = Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#bytes = 0;
    this.#onMessage(message);
  }
}
