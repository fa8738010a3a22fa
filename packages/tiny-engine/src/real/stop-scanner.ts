/**
 * Finds stop strings in text that comes in pieces. Text that may be the beginning of a stop string is held back, so a
 * stop string never reaches the reader, however it was cut into tokens.
 */
export class StopScanner {
  readonly #stops: readonly string[];
  readonly #longest: number;
  #held = "";

  /** @param stops Not empty strings; the list may be empty. */
  constructor(stops: readonly string[]) {
    this.#stops = stops;
    this.#longest = Math.max(0, ...stops.map((stop) => stop.length));
  }

  /** The text that can be shown now, and whether a stop string was found right after it. */
  push(piece: string): { text: string; isStopped: boolean } {
    const text = this.#held + piece;
    const at = this.#firstStop(text);
    if (at >= 0) {
      this.#held = "";
      return { text: text.slice(0, at), isStopped: true };
    }
    const held = this.#heldLength(text);
    this.#held = text.slice(text.length - held);
    return { text: text.slice(0, text.length - held), isStopped: false };
  }

  /** What was held back, now that no more text comes. */
  end(): string {
    const held = this.#held;
    this.#held = "";
    return held;
  }

  #firstStop(text: string): number {
    const places = this.#stops.map((stop) => text.indexOf(stop)).filter((place) => place >= 0);
    return places.length === 0 ? -1 : Math.min(...places);
  }

  #heldLength(text: string): number {
    for (let length = Math.min(this.#longest - 1, text.length); length > 0; length -= 1) {
      const end = text.slice(text.length - length);
      if (this.#stops.some((stop) => stop.startsWith(end))) return length;
    }
    return 0;
  }
}
