import { AppError } from "../errors.ts";
import type { MemoryBudget } from "./memory-budget.ts";

export const MESSAGE_MEMORY = {
  /** So much a WebSocket holds for free: common messages come and go without being counted. */
  freeBytes: 64 * 1024,
  /** A client must complete a larger message within this time, or it holds memory for nothing. 16 MiB at 1.2 Mbit/s. */
  completeMs: 120_000,
} as const;

export interface MessageMemoryEvents {
  /** There is no memory left for more. Once. */
  onFull(error: AppError): void;
  /** A message of the client takes too long. Once. */
  onSlow(error: AppError): void;
}

/** What one WebSocket's messages take of the memory for all bodies, while they are not whole or wait. */
export class MessageMemory {
  readonly #budget: MemoryBudget;
  readonly #events: MessageMemoryEvents;
  /** Read from the client since its last whole message. */
  #arrivedBytes = 0;
  #waitingBytes = 0;
  #takenBytes = 0;
  #isOver = false;
  #slow: NodeJS.Timeout | undefined;

  constructor(budget: MemoryBudget, events: MessageMemoryEvents) {
    this.#budget = budget;
    this.#events = events;
  }

  /** Told before the messages in them are. */
  arrived(bytes: number): void {
    this.#arrivedBytes += bytes;
    if (this.#arrivedBytes > MESSAGE_MEMORY.freeBytes) {
      this.#slow ??= this.#expectWhole();
    }
    this.#settle();
  }

  /** A ping or pong came, perhaps between the parts of a message: those do not end one. */
  passedControl(payloadBytes: number): void {
    this.#arrivedBytes -= CONTROL_HEADER_BYTES + payloadBytes;
  }

  /** A message of the client is whole. What may stand behind it in the same read is not counted: 64 KiB at most. */
  completed(): void {
    this.#arrivedBytes = 0;
    clearTimeout(this.#slow);
    this.#slow = undefined;
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
    clearTimeout(this.#slow);
    this.#budget.give(this.#takenBytes);
    this.#takenBytes = 0;
  }

  #settle(): void {
    const held = this.#arrivedBytes + this.#waitingBytes;
    const due = held > MESSAGE_MEMORY.freeBytes ? held : 0;
    if (this.#isOver || due === this.#takenBytes) return;
    if (due < this.#takenBytes) this.#budget.give(this.#takenBytes - due);
    else if (!this.#budget.tryTake(due - this.#takenBytes)) return this.#refuse();
    this.#takenBytes = due;
  }

  #refuse(): void {
    this.#isOver = true;
    const why = "The hub holds as many bytes of messages as it may. Try again later.";
    this.#events.onFull(new AppError("overloaded", why));
  }

  #expectWhole(): NodeJS.Timeout {
    return setTimeout(() => this.#tellSlow(), MESSAGE_MEMORY.completeMs).unref();
  }

  #tellSlow(): void {
    // While earlier messages wait, the client is not read, and so not to blame.
    if (this.#waitingBytes > 0) this.#slow = this.#expectWhole();
    else this.#events.onSlow(new AppError("request_timeout", "A message took longer than 2 minutes."));
  }
}

/** A control frame of a client: two bytes, and four of mask (RFC 6455 §5.2). */
const CONTROL_HEADER_BYTES = 6;
