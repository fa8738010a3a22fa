const NEWEST_WEIGHT = 0.3;
/** A few events say more of the network than of the engine. */
const MIN_EVENTS = 8;
const LINE_FEED = 0x0a;

/** How fast an engine streams to one client, measured from its own answers. */
export class DecodeSpeed {
  readonly #now: () => number;
  #perSecond: number | undefined;

  /** @param now Milliseconds of a monotonic clock. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Tokens per second of one stream, smoothed over the last answers. Engines send one token per server-sent event, so
   * events are counted. Undefined until the first long enough answer.
   */
  get tokensPerSecond(): number | undefined {
    return this.#perSecond;
  }

  /** Starts to measure one streamed answer. */
  start(): AnswerMeter {
    return new AnswerMeter(this.#now, (perSecond) => {
      const before = this.#perSecond ?? perSecond;
      this.#perSecond = before + (perSecond - before) * NEWEST_WEIGHT;
    });
  }
}

/** Counts the events of one answer. */
export class AnswerMeter {
  readonly #now: () => number;
  readonly #report: (perSecond: number) => void;
  #events = 0;
  #firstAtMs = 0;
  #lastAtMs = 0;
  #endsWithLineFeed = false;

  constructor(now: () => number, report: (perSecond: number) => void) {
    this.#now = now;
    this.#report = report;
  }

  /** Counts the blank lines in `chunk`; each ends an event. CRLF streams are not measured. */
  count(chunk: Uint8Array): void {
    let at = chunk.indexOf(LINE_FEED);
    while (at !== -1) {
      const isBlank = at === 0 ? this.#endsWithLineFeed : chunk[at - 1] === LINE_FEED;
      if (isBlank) this.#event();
      at = chunk.indexOf(LINE_FEED, at + 1);
    }
    this.#endsWithLineFeed = chunk.at(-1) === LINE_FEED;
  }

  end(): void {
    const elapsedMs = this.#lastAtMs - this.#firstAtMs;
    if (this.#events >= MIN_EVENTS && elapsedMs > 0) this.#report(((this.#events - 1) * 1000) / elapsedMs);
  }

  #event(): void {
    this.#lastAtMs = this.#now();
    if (this.#events++ === 0) this.#firstAtMs = this.#lastAtMs;
  }
}
