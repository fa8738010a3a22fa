import type { SmuxOutlet } from "./smux-outlet.ts";

/** What the list asks of its session. */
export interface CancelHost {
  readonly nowMs: number;
  /** Runs `task` later; not at all once the session has ended. */
  after(ms: number, task: () => void): void;
  sendCancel(requestId: string, streamId: number): void;
  /** The stream's FIN leaves now. */
  closeStream(outlet: SmuxOutlet): void;
}

interface Cancelled {
  readonly requestId: string;
  readonly outlet: SmuxOutlet;
  sentAtMs: number;
  isConfirmed: boolean;
}

/** After the first cancellation, until the worker ended the stream. */
const REPEAT_AT_MS = [250, 1000, 5000];
/** While data still comes for a stream that was closed after all repeats. */
const REPEAT_EVERY_MS = 5000;

/**
 * Requests that were given up and whose streams the worker has not ended. A v1 worker loses a cancellation that overtakes
 * the start of its own HTTP call (it answers `cancel_noop` and works on), and a closed stream does not stop it. So each
 * cancellation is repeated until the worker closes the stream.
 */
export class CancelList {
  readonly #host: CancelHost;
  readonly #maxEntries: number;
  readonly #entries = new Map<number, Cancelled>();

  constructor(host: CancelHost, maxEntries: number) {
    this.#host = host;
    this.#maxEntries = maxEntries;
  }

  get size(): number {
    return this.#entries.size;
  }

  add(outlet: SmuxOutlet, requestId: string): void {
    const entry: Cancelled = { requestId, outlet, sentAtMs: 0, isConfirmed: false };
    if (this.#entries.size >= this.#maxEntries) this.#forgetOldest();
    this.#entries.set(outlet.id, entry);
    this.#send(entry);
    this.#planRepeat(entry, 0);
  }

  /** The worker answered a cancellation of this stream. */
  onAnswer(streamId: number, isStopped: boolean): void {
    const entry = this.#entries.get(streamId);
    if (entry !== undefined && isStopped) entry.isConfirmed = true;
  }

  /** Data came for the stream: dropped. */
  onData(streamId: number): void {
    const entry = this.#entries.get(streamId);
    if (entry === undefined || this.#host.nowMs - entry.sentAtMs < REPEAT_EVERY_MS) return;
    this.#send(entry);
  }

  /** The worker closed the stream. */
  onClose(streamId: number): void {
    const entry = this.#entries.get(streamId);
    if (entry === undefined) return;
    this.#entries.delete(streamId);
    this.#host.closeStream(entry.outlet);
  }

  #planRepeat(entry: Cancelled, index: number): void {
    const atMs = REPEAT_AT_MS[index];
    if (atMs === undefined) return;
    this.#host.after(atMs - (REPEAT_AT_MS[index - 1] ?? 0), () => {
      if (this.#entries.get(entry.outlet.id) !== entry) return;
      if (!entry.isConfirmed) this.#send(entry);
      // The stream is closed, and stays listed for data that comes all the same.
      if (index === REPEAT_AT_MS.length - 1) this.#host.closeStream(entry.outlet);
      this.#planRepeat(entry, index + 1);
    });
  }

  #send(entry: Cancelled): void {
    entry.sentAtMs = this.#host.nowMs;
    this.#host.sendCancel(entry.requestId, entry.outlet.id);
  }

  #forgetOldest(): void {
    for (const [id, entry] of this.#entries) {
      this.#entries.delete(id);
      this.#host.closeStream(entry.outlet);
      return;
    }
  }
}
