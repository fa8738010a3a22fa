import type { ResetOptions, ResponseHead, StreamOpening, TunnelErrorCode, TunnelStream } from "@tokilake/tunnel";

/** The worker's end of a stream without a tunnel, for tests: what the hub sends is pushed, what it gets is kept. */
export class FakeStream implements TunnelStream {
  readonly id = 1;
  readonly opening: StreamOpening;
  readonly head = Promise.withResolvers<ResponseHead>().promise;
  readonly trailers = undefined;
  isStopped = false;
  /** How many bytes of the body the worker has taken. */
  bytesTaken = 0;
  /** What the worker sent. */
  answer: ResponseHead | undefined;
  written: Uint8Array[] = [];
  endedWith: Readonly<Record<string, unknown>> | undefined;
  resetWith: ({ code: TunnelErrorCode } & ResetOptions) | undefined;
  stoppedWith: TunnelErrorCode | undefined;
  /** Bytes that `write` takes before it answers false. */
  room = Infinity;
  readonly #abort = new AbortController();
  readonly #waiters = new Set<() => void>();
  readonly #chunks: Uint8Array[] = [];
  #isBodyEnded = false;
  #isBodyClosed = false;

  constructor(opening: Partial<StreamOpening>, body?: Uint8Array | string) {
    this.opening = {
      requestId: "r1",
      target: "t",
      method: "POST",
      path: "/v1/chat/completions",
      query: "",
      headers: [["content-type", "application/json"]],
      priority: "interactive",
      ...(body !== undefined && { bodyLength: Buffer.byteLength(body) }),
      ...opening,
    };
    if (body === undefined) return;
    this.push(Buffer.from(body));
    this.endBody();
  }

  get body(): AsyncIterable<Uint8Array> {
    return { [Symbol.asyncIterator]: () => ({ next: () => this.#next(), return: () => this.#return() }) };
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get text(): string {
    return Buffer.concat(this.written).toString();
  }

  push(bytes: Uint8Array): void {
    this.#chunks.push(bytes);
    this.#changed();
  }

  endBody(): void {
    this.#isBodyEnded = true;
    this.#changed();
  }

  /** The hub resets the stream, or is lost. */
  abort(): void {
    this.#abort.abort(new Error("cancelled"));
    this.#changed();
  }

  /** Waits until `isTrue`, looking after each event of the stream. */
  async until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) await new Promise<void>((resolve) => this.#waiters.add(resolve));
  }

  respond(head: ResponseHead): void {
    if (this.answer !== undefined) throw new Error("head sent twice");
    this.answer = head;
    this.#changed();
  }

  write(bytes: Uint8Array): boolean {
    this.written.push(bytes);
    this.room -= bytes.length;
    this.#changed();
    return this.room > 0;
  }

  async drained(): Promise<void> {
    await this.until(() => this.room > 0 || this.signal.aborted);
    this.signal.throwIfAborted();
  }

  /** The hub takes more bytes. */
  addRoom(bytes: number): void {
    this.room += bytes;
    this.#changed();
  }

  end(trailers: Readonly<Record<string, unknown>> = {}): void {
    this.endedWith = trailers;
    this.#changed();
  }

  stop(code: TunnelErrorCode): void {
    this.stoppedWith = code;
    this.#changed();
  }

  reset(code: TunnelErrorCode, options: ResetOptions = {}): void {
    this.resetWith ??= { code, ...options };
    this.abort();
  }

  async #next(): Promise<IteratorResult<Uint8Array>> {
    await this.until(() => this.#chunks.length > 0 || this.#isBodyEnded || this.#isBodyClosed || this.signal.aborted);
    if (this.#isBodyClosed) return { done: true, value: undefined };
    this.signal.throwIfAborted();
    const value = this.#chunks.shift();
    if (value === undefined) return { done: true, value: undefined };
    this.bytesTaken += value.length;
    this.#changed();
    return { done: false, value };
  }

  async #return(): Promise<IteratorResult<Uint8Array>> {
    this.#isBodyClosed = true;
    this.#changed();
    return Promise.resolve({ done: true, value: undefined });
  }

  #changed(): void {
    const waiting = [...this.#waiters];
    this.#waiters.clear();
    for (const resolve of waiting) resolve();
  }
}
