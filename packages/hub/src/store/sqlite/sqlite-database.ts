import type { DatabaseSync, StatementSync } from "node:sqlite";

import type { Kysely } from "kysely";

import { takeRevision } from "../access-revision.ts";
import type { AccessTransaction, Database } from "../database.ts";
import type { Schema } from "../schema.ts";

/** Well under the promised 100 ms. One look costs 1.5 µs, so 20 a second are free. */
const WATCH_INTERVAL_MS = 50;

/** Other processes are noticed by a number that SQLite keeps: there is nobody who could send a message. */
export class SqliteDatabase implements Database, Disposable {
  readonly db: Kysely<Schema>;
  readonly #dataVersion: StatementSync;
  readonly #watchers = new Set<() => void>();
  #lastDataVersion: number | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(db: Kysely<Schema>, database: DatabaseSync) {
    this.db = db;
    this.#dataVersion = database.prepare("pragma data_version");
  }

  async write<T>(act: (transaction: AccessTransaction) => Promise<T>): Promise<T> {
    const result = await this.db.transaction().execute(async (db) => act({ db, revision: await takeRevision(db) }));
    // SQLite does not count this connection's own commits in `data_version`.
    this.#notify();
    return result;
  }

  watch(onChange: () => void): () => void {
    // A function of its own each time, so that two watches with the same callback end separately.
    const watcher = (): void => onChange();
    this.#watchers.add(watcher);
    if (this.#timer === undefined) {
      this.#lastDataVersion = this.#readDataVersion();
      this.#timer = setInterval(() => this.#look(), WATCH_INTERVAL_MS).unref();
    }
    return () => {
      this.#watchers.delete(watcher);
      if (this.#watchers.size === 0) this[Symbol.dispose]();
    };
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#watchers.clear();
  }

  #look(): void {
    const dataVersion = this.#readDataVersion();
    if (dataVersion !== undefined && dataVersion === this.#lastDataVersion) return;
    this.#lastDataVersion = dataVersion;
    this.#notify();
  }

  /**
   * A number that differs when another connection committed anything. undefined: the database failed. Watchers are called
   * then too: their own query meets the error and can report it, which a timer cannot.
   */
  #readDataVersion(): number | undefined {
    try {
      return Number(this.#dataVersion.get()?.["data_version"]);
    } catch {
      return undefined;
    }
  }

  #notify(): void {
    for (const watcher of this.#watchers) watcher();
  }
}
