const NEW_LINE = 10;
const EVENT_END = Buffer.from("\n\n");

/** Counts the server-sent events of one body: they end with an empty line, also where that comes in two pieces. */
export class EventCounter {
  /** Events that are complete. */
  count = 0;
  #endsWithNewLine = false;

  /** Takes `bytes` from `start` to before `end`. */
  read(bytes: Buffer, start: number, end: number): void {
    if (end <= start) return;
    let from = start;
    if (this.#endsWithNewLine && bytes[start] === NEW_LINE) {
      this.count += 1;
      from += 1;
    }
    // The view ends where the body's piece ends: what follows it in the buffer is HTTP's own.
    const piece = bytes.subarray(from, end);
    let at = piece.indexOf(EVENT_END);
    let rest = 0;
    while (at >= 0) {
      this.count += 1;
      rest = at + EVENT_END.length;
      at = piece.indexOf(EVENT_END, rest);
    }
    this.#endsWithNewLine = rest < piece.length && piece[piece.length - 1] === NEW_LINE;
  }
}
