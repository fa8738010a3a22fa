import { WIRE_LIMITS } from "../limits.ts";
import { TunnelError } from "../tunnel-error.ts";

/** Joins the pieces of CONTROL messages. Holds at most 256 KiB, in one piece of memory: each of many tiny ones would cost 170. */
export class ControlAssembler {
  readonly #onMessage: (payload: Buffer) => void;
  /** Grows by doubling. */
  #begun: Buffer | undefined;
  #bytes = 0;

  constructor(onMessage: (payload: Buffer) => void) {
    this.#onMessage = onMessage;
  }

  /** Memory of the message that is not whole. */
  get heldBytes(): number {
    return this.#begun?.length ?? 0;
  }

  /** Takes one piece, a view. @throws TunnelError "abuse" when the message grows too large. */
  add(piece: Buffer, isLast: boolean): void {
    if (this.#bytes + piece.length > WIRE_LIMITS.controlBytes) {
      throw new TunnelError("abuse", { message: "CONTROL too large" });
    }
    if (isLast && this.#begun === undefined) {
      this.#onMessage(piece);
      return;
    }
    if (piece.length === 0 && !isLast) throw new TunnelError("abuse", { message: "empty CONTROL piece" });
    const message = this.#append(piece);
    if (!isLast) return;
    this.#begun = undefined;
    this.#bytes = 0;
    this.#onMessage(message);
  }

  #append(piece: Buffer): Buffer {
    const needed = this.#bytes + piece.length;
    let begun = this.#begun;
    if (begun === undefined || needed > begun.length) {
      begun = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(this.#bytes * 2, WIRE_LIMITS.controlBytes)));
      this.#begun?.copy(begun, 0, 0, this.#bytes);
      this.#begun = begun;
    }
    begun.set(piece, this.#bytes);
    this.#bytes = needed;
    return begun.subarray(0, needed);
  }
}
