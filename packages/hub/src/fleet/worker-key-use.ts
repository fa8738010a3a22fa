import type { Log } from "../observe/log.ts";

export const WORKER_KEY_USE = {
  /** The keys of all connected workers are noted so often: a key's last use is kept to the minute. */
  everyMs: 60_000,
  /** A key whose worker came is noted after this, together with others that came: a restart brings thousands at once. */
  afterMs: 1_000,
} as const;

export interface WorkerKeyUseDeps {
  /** Ids of the keys that connected workers came with. */
  readonly connected: () => Iterable<string>;
  /** Keeps when the keys were last used. */
  readonly note: (keyIds: readonly string[], atMs: number) => Promise<void>;
  readonly log: Log;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

/** Keeps when each worker key was last used, so that nobody takes one in use for a forgotten one. */
export class WorkerKeyUse implements Disposable {
  readonly #deps: WorkerKeyUseDeps;
  readonly #interval: NodeJS.Timeout;
  readonly #came = new Set<string>();
  #soon: NodeJS.Timeout | undefined;

  constructor(deps: WorkerKeyUseDeps) {
    this.#deps = deps;
    this.#interval = setInterval(() => void this.#note(deps.connected()), WORKER_KEY_USE.everyMs).unref();
  }

  /** A worker came with this key. One that is gone before a note that failed is tried again is not noted. */
  came(keyId: string): void {
    this.#came.add(keyId);
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      const came = [...this.#came];
      this.#came.clear();
      void this.#note(came);
    }, WORKER_KEY_USE.afterMs).unref();
  }

  /** Notes nothing from now on. */
  [Symbol.dispose](): void {
    clearInterval(this.#interval);
    clearTimeout(this.#soon);
  }

  async #note(keyIds: Iterable<string>): Promise<void> {
    const { note, log, now } = this.#deps;
    try {
      await note([...new Set(keyIds)], now());
    } catch (error) {
      log.warn({ error }, "when worker keys were last used was not noted; trying again within a minute");
    }
  }
}
