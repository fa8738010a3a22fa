import { AppError } from "../errors.ts";
import type { MemoryBudget } from "./memory-budget.ts";

/** So much a WebSocket holds for free: common messages come and go without being counted. */
export const FREE_MESSAGE_BYTES = 64 * 1024;

/** What one WebSocket's messages take of the memory for all bodies, while they are not whole or wait. */
export class MessageMemory {
  readonly #budget: MemoryBudget;
  readonly #onFull: (error: AppError) => void;
  /** Read from the client since its last whole message. */
  #arrivedBytes = 0;
  #waitingBytes = 0;
  #takenBytes = 0;
  #isOver = false;

  /** @param onFull Called once, when there is no memory left for more. */
  constructor(budget: MemoryBudget, onFull: (error: AppError) => void) {
    this.#budget = budget;
    this.#onFull = onFull;
  }

  /** Told before the messages in them are. */
  arrived(bytes: number): void {
    this.#arrivedBytes += bytes;
    this.#settle();
  }

  /** A ping or pong came, perhaps between the parts of a message: those do not end one. */
  passedControl(payloadBytes: number): void {
    this.#arrivedBytes -= CONTROL_HEADER_BYTES + payloadBytes;
  }

  /** A message of the client is whole. What may stand behind it in the same read is not counted: 64 KiB at most. */
  completed(): void {
    this.#arrivedBytes = 0;
    this.#settle();
  }

  /** What waits now on its way to either side. */
  waits(bytes: number): void {
    this.#waitingBytes = bytes;
    this.#settle();
  }

  /** Gives everything back; nothing is counted any more. */
  release(): void {
    this.#isOver = true;
    this.#budget.give(this.#takenBytes);
    this.#takenBytes = 0;
  }

  #settle(): void {
    const held = this.#arrivedBytes + this.#waitingBytes;
    const due = held > FREE_MESSAGE_BYTES ? held : 0;
    if (this.#isOver || due === this.#takenBytes) return;
    if (due < this.#takenBytes) this.#budget.give(this.#takenBytes - due);
    else if (!this.#budget.tryTake(due - this.#takenBytes)) return this.#refuse();
    this.#takenBytes = due;
  }

  #refuse(): void {
    this.#isOver = true;
    this.#onFull(new AppError("overloaded", "The hub holds as many bytes of messages as it may. Try again later."));
  }
}

/** A control frame of a client: two bytes, and four of mask (RFC 6455 §5.2). */
const CONTROL_HEADER_BYTES = 6;
