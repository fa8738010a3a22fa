import { ClientConnection, readBuffer, requestBytes } from "./client-connection.ts";
import type { HoldStreamsJob } from "./job.ts";

/** Streams that may be asked for and have not answered yet: more at once would measure the accept queue. */
const OPENING = 64;

/** Streams that are open and read, for as long as this process lives. */
export class HeldStreams {
  readonly #failure = Promise.withResolvers<never>();
  /** Never resolves; rejects when a stream is refused, breaks or ends. */
  readonly failed = this.#failure.promise;
  readonly #job: HoldStreamsJob;
  readonly #request: Buffer;
  readonly #shared = readBuffer();
  #asked = 0;
  #open = 0;
  #step = Promise.withResolvers<void>();

  constructor(job: HoldStreamsJob) {
    this.#job = job;
    this.#request = requestBytes(job.target, job.body);
  }

  /** Opens more until `count` have brought their first bytes. Waits for ever when one fails: see `failed`. */
  async grow(count: number): Promise<void> {
    while (this.#open < count) {
      while (this.#asked < count && this.#asked - this.#open < OPENING) this.#ask();
      this.#step = Promise.withResolvers<void>();
      await this.#step.promise;
    }
  }

  #ask(): void {
    let isOpen = false;
    this.#asked += 1;
    const number = this.#asked;
    const fail = (why: string) => {
      this.#failure.reject(new Error(`Stream ${number} ${why}, with ${this.#open} open.`));
    };
    const connection = new ClientConnection(this.#job.target.port, this.#shared, {
      head(status) {
        if (status !== 200) fail(`was answered ${status}`);
      },
      body: () => {
        if (isOpen) return;
        isOpen = true;
        this.#open += 1;
        this.#step.resolve();
      },
      end: () => fail("ended"),
      failed: () => fail("broke"),
    });
    connection.send(this.#request);
  }
}
