import { LIMITS } from "../limits.ts";
import type { BodyFilter } from "./body-filter.ts";
import { ServeFailure } from "./serve-failure.ts";

const DONE: IteratorResult<Uint8Array, undefined> = { done: true, value: undefined };

export interface RequestBodyOptions {
  /** The length that the opener announced. */
  readonly announcedLength: number | undefined;
  readonly filter: BodyFilter;
  readonly maxBytes: number;
}

/**
 * The body of one stream on its way to the engine: filtered, counted, pulled one chunk at a time.
 *
 * Written by hand and not as a generator, since a generator cannot be closed while its `next()` waits.
 */
export class RequestBody implements AsyncIterableIterator<Uint8Array, undefined> {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #options: RequestBodyOptions;
  readonly #over = Promise.withResolvers<IteratorResult<Uint8Array, undefined>>();
  #ready: Uint8Array[] = [];
  #received = 0;
  #isFinished = false;
  #isHalted = false;
  #length: number | undefined;
  #whole: Uint8Array | undefined;

  constructor(source: AsyncIterable<Uint8Array>, options: RequestBodyOptions) {
    this.#source = source[Symbol.asyncIterator]();
    this.#options = options;
  }

  /** Content length of what `next()` gives, undefined when the engine must be told in chunks. Known after `prepare()`. */
  get length(): number | undefined {
    return this.#length;
  }

  /** The filtered body, when it was small enough to be read whole. After `prepare()`. */
  get whole(): Uint8Array | undefined {
    return this.#whole;
  }

  /** True when the last byte was taken. */
  get isFinished(): boolean {
    return this.#isFinished && this.#ready.length === 0;
  }

  /**
   * Settles what the engine is told of the length. A small body is read whole, so that its length after a rewrite is
   * known; a large one keeps the announced length when no rewrite is due, and goes in chunks otherwise.
   */
  async prepare(options: { mayChange: boolean }): Promise<void> {
    const { announcedLength, maxBytes } = this.#options;
    if (announcedLength !== undefined && announcedLength > maxBytes) throw tooLarge(maxBytes);
    if (announcedLength !== undefined && announcedLength > LIMITS.maxBufferedBodyBytes) {
      if (!options.mayChange) this.#length = announcedLength;
      return;
    }
    while (!this.#isFinished && this.#received <= LIMITS.maxBufferedBodyBytes) await this.#pull();
    if (!this.#isFinished) return;
    this.#whole = Buffer.concat(this.#ready);
    this.#ready = [];
    this.#length = this.#whole.length;
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    for (;;) {
      if (this.#isHalted) return this.#over.promise;
      const value = this.#ready.shift();
      if (value !== undefined) return { done: false, value };
      if (this.#isFinished) return DONE;
      await this.#pull();
    }
  }

  /** Gives no more bytes, without ending: an end would complete the request at the engine. */
  halt(): void {
    this.#isHalted = true;
  }

  /** The exchange is over: whoever still waits is let go, and the source is closed. */
  close(): void {
    this.#isHalted = true;
    this.#ready = [];
    this.#over.resolve(DONE);
    // What the source says to being closed early changes nothing any more.
    void Promise.resolve(this.#source.return?.()).catch(() => undefined);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async #pull(): Promise<void> {
    const step = await this.#source.next();
    const { filter, maxBytes } = this.#options;
    if (step.done === true) {
      this.#ready.push(...filter.finish());
      this.#isFinished = true;
    } else {
      this.#received += step.value.length;
      if (this.#received > maxBytes) throw tooLarge(maxBytes);
      this.#ready.push(...filter.push(step.value));
    }
    // The head with the length has left already. A body that names another model than the request must not pass.
    if (this.#length !== undefined && filter.growth !== 0) {
      throw new ServeFailure("forbidden", "the body names another model than the request");
    }
    this.#checkLength();
  }

  /** A body that is not as long as announced is cut: the engine must not take it for whole. */
  #checkLength(): void {
    const { announcedLength } = this.#options;
    if (announcedLength === undefined || announcedLength === this.#received) return;
    if (!this.#isFinished && this.#received < announcedLength) return;
    throw new ServeFailure("protocol", `body of ${this.#received} bytes where ${announcedLength} were announced`);
  }
}

function tooLarge(maxBytes: number): ServeFailure {
  return new ServeFailure("too-large", `request body over ${maxBytes} bytes`);
}
