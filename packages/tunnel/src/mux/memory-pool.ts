/** New growth stops here; above it, long stalled streams are ended. */
const PRESSED_SHARE = 0.8;
/** One stream may hold this part of what is free, so that the first comers leave some to the others. */
const STREAM_SHARE = 1 / 8;

/** Window bytes above the initial windows, shared by all sessions of one server or client. Windows only grow from it. */
export class MemoryPool {
  readonly #capacity: number;
  #used = 0;

  constructor(capacityBytes: number) {
    this.#capacity = capacityBytes;
  }

  get usedBytes(): number {
    return this.#used;
  }

  get isPressed(): boolean {
    return this.#used >= this.#capacity * PRESSED_SHARE;
  }

  /** Reserves `bytes` for a stream that already holds `held`. False: stay as you are. */
  tryReserve(bytes: number, held: number): boolean {
    if (this.#used + bytes > this.#capacity * PRESSED_SHARE) return false;
    if (held + bytes > (this.#capacity - this.#used) * STREAM_SHARE) return false;
    this.#used += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#used -= bytes;
  }
}
