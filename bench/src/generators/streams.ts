import { setTimeout as wait } from "node:timers/promises";

import { ClientConnection, readBuffer, requestBytes } from "./client-connection.ts";
import { EventCounter } from "./event-counter.ts";
import type { LoadResult, StreamsJob } from "./job.ts";
import { type Counts, measureWindow } from "./window.ts";

/** How long streams that still run after the time that counts may take to their end. */
const END_MS = 5000;

/** Opens streams a little apart, counts their events for a while, and waits for their end. */
export async function runStreams(job: StreamsJob): Promise<LoadResult> {
  const load = new StreamsLoad(job);
  const startMs = performance.now();
  for (let opened = 0; opened < job.streams;) {
    // By the clock: a wait takes longer the more streams are open.
    const passed = job.spreadMs === 0 ? 1 : (performance.now() - startMs) / job.spreadMs;
    for (; opened < Math.min(job.streams, 1 + passed * job.streams); opened += 1) load.open();
    await wait(1);
  }
  const result = await measureWindow(load.counts, job);
  await load.end();
  return result;
}

class StreamsLoad {
  readonly counts: Counts = { requests: 0, events: 0, errors: 0, bytes: 0 };
  readonly #job: StreamsJob;
  readonly #request: Buffer;
  readonly #shared = readBuffer();
  readonly #connections: ClientConnection[] = [];
  readonly #allEnded = Promise.withResolvers<void>();
  #running = 0;
  #repeats: boolean;

  constructor(job: StreamsJob) {
    this.#job = job;
    this.#request = requestBytes(job.target, job.body);
    this.#repeats = job.repeats;
  }

  open(): void {
    let counter = new EventCounter();
    const connection: ClientConnection = new ClientConnection(this.#job.target.port, this.#shared, {
      head: (status) => {
        if (status !== 200) this.counts.errors += 1;
      },
      body: (bytes, start, end) => {
        const before = counter.count;
        counter.read(bytes, start, end);
        this.counts.events += counter.count - before;
      },
      end: () => {
        this.counts.requests += 1;
        counter = new EventCounter();
        if (this.#repeats) connection.send(this.#request);
        else this.#ended();
      },
      failed: () => {
        this.counts.errors += 1;
        this.#ended();
      },
    });
    this.#running += 1;
    this.#connections.push(connection);
    connection.send(this.#request);
  }

  /** Resolves when every stream has ended, or after 5 s. */
  async end(): Promise<void> {
    this.#repeats = false;
    if (this.#running > 0) await Promise.race([this.#allEnded.promise, wait(END_MS)]);
    for (const connection of this.#connections) connection.close();
  }

  #ended(): void {
    this.#running -= 1;
    if (this.#running === 0) this.#allEnded.resolve();
  }
}
