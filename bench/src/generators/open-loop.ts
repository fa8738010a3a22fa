import { Worker } from "node:worker_threads";

import { cpuMsOf } from "../machine/cpu-meter.ts";
import { percentile } from "../report/statistics.ts";
import { type ArrivalClockData, monotonicMs } from "./arrival-clock.ts";
import { poissonArrivals } from "./arrivals.ts";
import { ClientConnection, readBuffer, requestBytes } from "./client-connection.ts";
import type { LoadResult, OpenLoopJob } from "./job.ts";

/** Time between the start of the clock's thread and its first arrival. */
const LEAD_MS = 200;
/** How long answers may take after the last request was due. Those that take longer count with what they took so far. */
const GRACE_MS = 1000;

/** Asks when the clock says so. Latencies count from the moment a request was due, also when no connection was free. */
export async function runOpenLoop(job: OpenLoopJob): Promise<LoadResult> {
  const loop = new OpenLoop(job);
  return loop.run();
}

class OpenLoop {
  readonly #job: OpenLoopJob;
  readonly #arrivals: Float64Array;
  readonly #latencies: Float64Array;
  readonly #request: Buffer;
  readonly #connections: ClientConnection[] = [];
  readonly #idle: number[] = [];
  /** By connection: the request that it was given last. */
  readonly #asked: number[] = [];
  /** Requests that are due and wait for a connection: their numbers, oldest first from `#nextWaiting` on. */
  readonly #waiting: number[] = [];
  #nextWaiting = 0;
  #startMs = 0;
  #unanswered: number;
  #errors = 0;
  readonly #done = Promise.withResolvers<void>();
  readonly #warm = Promise.withResolvers<void>();
  readonly #firstCounted: number;

  constructor(job: OpenLoopJob) {
    this.#job = job;
    this.#arrivals = poissonArrivals(job.perSecond, job.warmMs + job.runMs, job.seed);
    this.#latencies = new Float64Array(this.#arrivals.length).fill(Number.NaN);
    this.#unanswered = this.#arrivals.length;
    this.#firstCounted = this.#arrivals.findIndex((time) => time >= job.warmMs);
    this.#request = requestBytes(job.target, job.body);
    const shared = readBuffer();
    for (let number = 0; number < job.connections; number += 1) {
      this.#connections.push(this.#connect(number, shared));
      this.#idle.push(number);
    }
  }

  async run(): Promise<LoadResult> {
    this.#startMs = monotonicMs() + LEAD_MS;
    const workerData: ArrivalClockData = { startMs: this.#startMs, arrivals: this.#arrivals };
    const clock = new Worker(new URL("./arrival-clock.ts", import.meta.url), { workerData });
    clock.on("message", (index: number) => this.#due(index));
    clock.on("error", (error) => this.#done.reject(error));
    await this.#warm.promise;
    const start = { atMs: performance.now(), watchedMs: cpuMsOf(this.#job.watch), own: process.cpuUsage() };
    await this.#done.promise;
    const own = process.cpuUsage(start.own);
    const elapsedMs = performance.now() - start.atMs;
    const watchedCpuMs = cpuMsOf(this.#job.watch) - start.watchedMs;
    for (const connection of this.#connections) connection.close();
    await clock.terminate();
    return { elapsedMs, watchedCpuMs, ownCpuMs: (own.user + own.system) / 1000, ...this.#latencyResult() };
  }

  #latencyResult(): Pick<LoadResult, "requests" | "events" | "bytes" | "errors" | "latency"> {
    const endMs = monotonicMs() - this.#startMs;
    const counted = this.#latencies.slice(this.#firstCounted).map((latency, index) => {
      const due = this.#arrivals[this.#firstCounted + index] ?? 0;
      return Number.isNaN(latency) ? endMs - due : latency;
    });
    const sorted = counted.toSorted();
    const latency = { p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99) };
    return { requests: sorted.length, events: 0, bytes: 0, errors: this.#errors, latency };
  }

  #due(index: number): void {
    if (index === this.#firstCounted) this.#warm.resolve();
    if (index === this.#arrivals.length - 1) setTimeout(() => this.#done.resolve(), GRACE_MS);
    this.#waiting.push(index);
    this.#sendWaiting();
  }

  #sendWaiting(): void {
    while (this.#nextWaiting < this.#waiting.length && this.#idle.length > 0) {
      const number = this.#idle.pop() ?? 0;
      this.#asked[number] = this.#waiting[this.#nextWaiting] ?? 0;
      this.#nextWaiting += 1;
      this.#connections[number]?.send(this.#request);
    }
  }

  #connect(number: number, shared: Uint8Array): ClientConnection {
    const { until } = this.#job;
    const text = until === "end" ? undefined : Buffer.from(until.text);
    let isTimed = false;
    const timed = () => {
      isTimed = true;
      const index = this.#asked[number] ?? 0;
      this.#latencies[index] = monotonicMs() - this.#startMs - (this.#arrivals[index] ?? 0);
    };
    return new ClientConnection(this.#job.target.port, shared, {
      head: (status) => {
        isTimed = false;
        if (status !== 200) this.#errors += 1;
      },
      body: (bytes, start, end) => {
        if (!isTimed && text !== undefined && bytes.subarray(start, end).includes(text)) timed();
      },
      end: () => {
        if (text === undefined) timed();
        else if (!isTimed) this.#errors += 1;
        this.#idle.push(number);
        this.#unanswered -= 1;
        this.#sendWaiting();
        if (this.#unanswered === 0) this.#done.resolve();
      },
      failed: () => (this.#errors += 1),
    });
  }
}
