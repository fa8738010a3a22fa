import { once } from "node:events";
import { Worker } from "node:worker_threads";

import type { RequestRecord } from "../store/request-log-store.ts";
import type { RequestRow } from "../store/request-log-store.ts";
import { rowOf } from "../store/request-row.ts";
import type { Log } from "./log.ts";
import type { RequestLog } from "./request-log.ts";

/** Rows kept in memory while the writer is behind: usually 13 MB, at worst `MAX_ROW_LENGTH` times this. */
const MAX_WAITING = 50_000;

/** Rows in one transaction. */
const BATCH_ROWS = 500;

/** A row waits at most this long for others to share its transaction. */
const BATCH_WAIT_MS = 500;

/** A row longer than this has its texts cut: a client chooses its model's name, so it could be megabytes. */
const MAX_ROW_LENGTH = 2000;

const MAX_TEXT = 200;

/** After the database failed, until the same batch is tried again. */
const RETRY_MS = 1000;

/** From the death of the writer to the next one; the longer one when it died before it could open the database. */
const RESTART_MS = { afterWork: 100, afterFailedStart: 2000 };

/** A batch that was in the writer's hands each of these times when it died is given up: it may be the cause. */
const MAX_DEATHS_OF_A_BATCH = 3;

const CLOSE_TIMEOUT_MS = 5000;

export interface ThreadOptions {
  readonly databaseUrl: string;
  readonly maxRows: number;
}

/** To the thread. `rows`: each a `RequestRow` as JSON, joined by commas. Objects would be twice as long and take twice the time at both ends. */
export type ThreadOrder = { readonly do: "write"; readonly rows: string } | { readonly do: "close" };

/** From the thread: one `ready`, then one answer to each `write`. */
export type ThreadAnswer = { readonly is: "ready" | "written" } | { readonly is: "failed"; readonly message: string };

export interface BatchedRequestLogOptions extends ThreadOptions {
  readonly log: Log;
  /** The writer. Tests give one that fails. */
  readonly thread?: URL;
  readonly maxWaiting?: number;
  readonly batchRows?: number;
  readonly batchWaitMs?: number;
}

/**
 * The request log: a bounded queue in front of a thread that writes batches to the database. One batch is on its way at a
 * time, and it stays in the queue until the thread says that it is written; a thread that dies is started again and gets
 * it once more (a record that comes twice is kept once).
 */
export class BatchedRequestLog implements RequestLog, AsyncDisposable {
  readonly #options: Required<BatchedRequestLogOptions>;
  /** JSON texts: made one at a time as records come, not 500 at once when they are sent. */
  #waiting: string[] = [];
  /** How many of the first in `#waiting` are with the thread. */
  #sent = 0;
  #deathsOfBatch = 0;
  #dropped = 0;
  #restarts = 0;
  #isFailing = false;
  #isClosing = false;
  #writer: Worker | undefined;
  #isReady = false;
  #timer: NodeJS.Timeout | undefined;
  /** Called when nothing is waiting. */
  #onEmpty: (() => void)[] = [];

  constructor(options: BatchedRequestLogOptions) {
    this.#options = {
      thread: new URL("./request-log-thread.ts", import.meta.url),
      maxWaiting: MAX_WAITING,
      batchRows: BATCH_ROWS,
      batchWaitMs: BATCH_WAIT_MS,
      ...options,
    };
    this.#start();
  }

  /** Records waiting to be written. */
  get queued(): number {
    return this.#waiting.length;
  }

  /** Records lost since the start, because too many were waiting. */
  get dropped(): number {
    return this.#dropped;
  }

  /** How often the thread died and was started again. */
  get restarts(): number {
    return this.#restarts;
  }

  record(record: RequestRecord): void {
    if (this.#isClosing || this.#waiting.length >= this.#options.maxWaiting) {
      this.#drop();
      return;
    }
    this.#waiting.push(jsonOf(record));
    if (this.#waiting.length - this.#sent >= this.#options.batchRows) this.#send();
    else this.#timer ??= setTimeout(() => this.#send(), this.#options.batchWaitMs);
  }

  /** Resolves with true as soon as nothing waits to be written, with false when that took too long. */
  async flush(timeoutMs = CLOSE_TIMEOUT_MS): Promise<boolean> {
    if (this.#waiting.length === 0) return true;
    this.#send();
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#onEmpty.push(() => resolve(true));
    const deadline = setTimeout(() => resolve(false), timeoutMs);
    return promise.finally(() => clearTimeout(deadline));
  }

  /** Writes what is waiting, for at most five seconds, and ends the thread. Records that come later are dropped. */
  async close(): Promise<void> {
    if (this.#isClosing) return;
    const isWritten = await this.flush();
    this.#isClosing = true;
    clearTimeout(this.#timer);
    if (!isWritten) {
      this.#options.log.error({ lost: this.#waiting.length }, "the request log could not write its last records");
    }
    const writer = this.#writer;
    this.#writer = undefined;
    if (writer === undefined) return;
    const exited = once(writer, "exit", { signal: AbortSignal.timeout(CLOSE_TIMEOUT_MS) });
    post(writer, { do: "close" });
    await exited.catch(() => writer.terminate());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #start(): void {
    const { databaseUrl, maxRows, thread } = this.#options;
    const writer = new Worker(thread, { workerData: { databaseUrl, maxRows } satisfies ThreadOptions });
    this.#writer = writer;
    this.#isReady = false;
    writer.on("message", (answer: ThreadAnswer) => this.#hear(answer));
    writer.on("error", (error) => this.#options.log.error({ error }, "the request log's writer died"));
    writer.on("exit", () => this.#writerEnded(writer));
  }

  #send(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!this.#isReady || this.#sent > 0 || this.#waiting.length === 0 || this.#writer === undefined) return;
    this.#sent = Math.min(this.#waiting.length, this.#options.batchRows);
    post(this.#writer, { do: "write", rows: this.#waiting.slice(0, this.#sent).join(",") });
  }

  #hear(answer: ThreadAnswer): void {
    switch (answer.is) {
      case "ready":
        this.#isReady = true;
        this.#send();
        return;
      case "written":
        if (this.#isFailing) this.#options.log.info({}, "the request log can be written again");
        this.#isFailing = false;
        this.#settle();
        return;
      case "failed":
        if (!this.#isFailing) {
          this.#options.log.error(
            { reason: answer.message },
            "the request log cannot be written; records wait in memory",
          );
        }
        this.#isFailing = true;
        this.#sent = 0;
        this.#timer ??= setTimeout(() => this.#send(), RETRY_MS);
        return;
    }
  }

  /** The batch on its way is done with. */
  #settle(): void {
    this.#waiting.splice(0, this.#sent);
    this.#sent = 0;
    this.#deathsOfBatch = 0;
    if (this.#waiting.length === 0) {
      for (const resolve of this.#onEmpty.splice(0)) resolve();
    } else if (this.#waiting.length >= this.#options.batchRows || this.#onEmpty.length > 0) {
      this.#send();
    } else {
      this.#timer ??= setTimeout(() => this.#send(), this.#options.batchWaitMs);
    }
  }

  #writerEnded(writer: Worker): void {
    if (this.#writer !== writer) return;
    const delayMs = this.#isReady ? RESTART_MS.afterWork : RESTART_MS.afterFailedStart;
    this.#writer = undefined;
    this.#isReady = false;
    this.#restarts += 1;
    if (this.#sent > 0) this.#deathsOfBatch += 1;
    if (this.#deathsOfBatch >= MAX_DEATHS_OF_A_BATCH) this.#giveUpBatch();
    this.#sent = 0;
    setTimeout(() => {
      if (!this.#isClosing) this.#start();
    }, delayMs);
  }

  #giveUpBatch(): void {
    this.#options.log.error({ lost: this.#sent }, "request records are lost: the writer died of them again and again");
    this.#dropped += this.#sent;
    this.#settle();
  }

  #drop(): void {
    // One line for each thousand: the log must not drown in what it says about the other log.
    if (this.#dropped % 1000 === 0) {
      this.#options.log.error({ dropped: this.#dropped + 1 }, "request records are lost: too many wait to be written");
    }
    this.#dropped += 1;
  }
}

function post(writer: Worker, order: ThreadOrder): void {
  writer.postMessage(order);
}

function jsonOf(record: RequestRecord): string {
  const row = rowOf(record);
  const json = JSON.stringify(row);
  return json.length > MAX_ROW_LENGTH ? JSON.stringify(row.map(shortened)) : json;
}

function shortened(value: RequestRow[number]): RequestRow[number] {
  return typeof value === "string" && value.length > MAX_TEXT ? value.slice(0, MAX_TEXT) : value;
}
