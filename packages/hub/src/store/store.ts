import type { Database } from "./database.ts";
import type { RequestLogStore } from "./request-log-store.ts";

/** One connection to the database. Whoever opened it closes it. The request log is written on a connection of its own. */
export interface Store extends AsyncDisposable {
  /** For the stores of users, groups, keys and what belongs to them. */
  readonly database: Database;
  readonly requestLog: RequestLogStore;
}

export interface StoreOptions {
  /**
   * `every-commit`: what was committed survives a power cut. `bulk`: the last moments before a power cut may be lost, and
   * the database is whole all the same; a crash of the process loses nothing either way.
   */
  readonly durability: "every-commit" | "bulk";
  /** How long a write waits for another connection's, without blocking the thread. 5,000 when left out; writes take milliseconds. */
  readonly busyTimeoutMs?: number;
}
