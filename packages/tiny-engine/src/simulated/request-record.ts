import type { IncomingMessage, ServerResponse } from "node:http";

import type { Upload } from "./upload.ts";

/** How a request ended. `cut`: the engine itself ended it early, as it was asked to or because it closed. */
export type RequestOutcome = "active" | "completed" | "cancelled" | "cut";

/** Numbers of requests since the start or the last reset: asked = completed + cancelled + cut + active, always. */
export interface RequestCounts {
  readonly asked: number;
  readonly completed: number;
  /** The client's connection closed before the answer was complete. */
  readonly cancelled: number;
  readonly cut: number;
  readonly active: number;
  /** Requests that generate nothing (model lists, versions, health); not part of `asked`. */
  readonly probes: number;
}

/** Bytes of a body that a record keeps as text. */
const KEPT_TEXT_BYTES = 16 * 1024;

/** One request that the engine was asked. */
export class RecordedRequest {
  readonly number: number;
  readonly method: string;
  /** Path and query as received. */
  readonly url: string;
  readonly #request: IncomingMessage;
  readonly #startedMs = performance.now();
  #upload: Upload | undefined;
  #outcome: RequestOutcome = "active";
  #endedMs: number | undefined;
  /** Model named in the body. */
  model: string | undefined;
  /** Tokens handed to the connection so far. */
  tokensSent = 0;

  constructor(number: number, request: IncomingMessage) {
    this.number = number;
    this.method = request.method ?? "";
    this.url = request.url ?? "";
    this.#request = request;
  }

  get headers(): IncomingMessage["headers"] {
    return this.#request.headers;
  }

  get outcome(): RequestOutcome {
    return this.#outcome;
  }

  /** Bytes of the body; undefined until the upload is complete. */
  get bodyBytes(): number | undefined {
    return this.#upload?.bytes;
  }

  get bodySha256(): string | undefined {
    return this.#upload?.sha256;
  }

  /** The body as text when it is no longer than 16 KiB. */
  get bodyText(): string | undefined {
    const whole = this.#upload?.whole;
    return whole !== undefined && whole.length <= KEPT_TEXT_BYTES ? whole.toString("utf8") : undefined;
  }

  /** Milliseconds from the request's head until it ended, however it did. */
  get endedAfterMs(): number | undefined {
    return this.#endedMs === undefined ? undefined : this.#endedMs - this.#startedMs;
  }

  /** Milliseconds from the request's head until the client's connection closed; undefined when it did not. */
  get cancelledAfterMs(): number | undefined {
    return this.#outcome === "cancelled" ? this.endedAfterMs : undefined;
  }

  toJSON(): Record<string, unknown> {
    const { number, method, url, headers, model, outcome, tokensSent } = this;
    const { bodyBytes, bodySha256, bodyText, endedAfterMs, cancelledAfterMs } = this;
    return {
      number,
      method,
      url,
      headers,
      model,
      outcome,
      tokensSent,
      bodyBytes,
      bodySha256,
      bodyText,
      endedAfterMs,
      cancelledAfterMs,
    };
  }

  /** @internal */
  received(upload: Upload): void {
    // A long body's kept megabyte is dropped here: a thousand records must not hold a gigabyte.
    const { whole } = upload;
    this.#upload = whole !== undefined && whole.length > KEPT_TEXT_BYTES ? { ...upload, whole: undefined } : upload;
  }

  /** @internal */
  ended(outcome: Exclude<RequestOutcome, "active">): void {
    this.#outcome = outcome;
    this.#endedMs = performance.now();
  }
}

/** Records kept; older ones are forgotten (the counts are not). */
const MAX_RECORDS = 1000;

/** Whether the wait is over. Asked again at every change. */
export type RequestPredicate = (counts: RequestCounts, requests: readonly RecordedRequest[]) => boolean;

/** Keeps the records and the counts. */
export class RequestRecorder {
  readonly #requests: RecordedRequest[] = [];
  readonly #waiting = new Set<() => void>();
  readonly #active = new Set<RecordedRequest>();
  #counts = { asked: 0, completed: 0, cancelled: 0, cut: 0, probes: 0 };
  #number = 0;

  /** The last thousand requests, oldest first. */
  get requests(): readonly RecordedRequest[] {
    return this.#requests.length > MAX_RECORDS ? this.#requests.slice(-MAX_RECORDS) : this.#requests;
  }

  counts(): RequestCounts {
    return { ...this.#counts, active: this.#active.size };
  }

  probed(): void {
    this.#counts.probes += 1;
  }

  /** Records a request. Its end is seen by itself on `response`; without one, `end` is called. */
  begin(request: IncomingMessage, response?: ServerResponse): RecordedRequest {
    const record = new RecordedRequest((this.#number += 1), request);
    this.#counts.asked += 1;
    this.#active.add(record);
    this.#requests.push(record);
    // Trimmed in bulk: taking one from the front of a long array for every request costs more than the request.
    if (this.#requests.length >= 2 * MAX_RECORDS) this.#requests.splice(0, MAX_RECORDS);
    response?.on("finish", () => this.end(record, "completed"));
    response?.on("close", () => this.end(record, "cancelled"));
    this.#changed();
    return record;
  }

  /** The first end of a request counts; later ones (a close after the finish) do not. */
  end(record: RecordedRequest, outcome: Exclude<RequestOutcome, "active">): void {
    if (record.outcome !== "active") return;
    record.ended(outcome);
    if (!this.#active.delete(record)) return; // forgotten by a reset
    this.#counts[outcome] += 1;
    this.#changed();
  }

  /** Tells waiters that a record changed. */
  received(record: RecordedRequest, upload: Upload): void {
    record.received(upload);
    this.#changed();
  }

  /** Forgets all records and counts. Requests that still run are no longer counted. */
  reset(): void {
    this.#counts = { asked: 0, completed: 0, cancelled: 0, cut: 0, probes: 0 };
    this.#requests.length = 0;
    this.#active.clear();
  }

  /** Marks what still runs as cut, for when the engine closes. */
  cutAll(): void {
    for (const record of this.#active) this.end(record, "cut");
  }

  /** Resolves as soon as `predicate` holds. @throws Error after `timeoutMs`, with the counts. */
  waitFor(predicate: RequestPredicate, timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = () => {
        if (!predicate(this.counts(), this.requests)) return;
        stop();
        resolve();
      };
      const stop = () => {
        clearTimeout(timer);
        this.#waiting.delete(check);
      };
      const timer = setTimeout(() => {
        stop();
        reject(new Error(`Not seen within ${timeoutMs} ms; counts are ${JSON.stringify(this.counts())}.`));
      }, timeoutMs);
      this.#waiting.add(check);
      check();
    });
  }

  #changed(): void {
    for (const check of this.#waiting) check();
  }
}
