import type { Kysely, Transaction } from "kysely";

import type { Schema } from "./schema.ts";

/**
 * A database as the stores use it: the same queries on SQLite and PostgreSQL.
 *
 * No query waits for anything but the database: hashing, mail and network calls come before or after.
 */
export interface Database {
  /** For reading, and for writes that no hub has to hear of. */
  readonly db: Kysely<Schema>;

  /**
   * Runs `act` in one transaction and tells every hub of this database afterwards. All or nothing; durable when it resolves.
   *
   * One at a time across all processes, so that revisions appear in the order of their numbers.
   */
  write<T>(act: (transaction: AccessTransaction) => Promise<T>): Promise<T>;

  /**
   * Calls `onChange` when something may have been written, by this process or another one, within 100 ms. It may also be
   * called when nothing was. Returns the end of it. Does not keep the process alive.
   */
  watch(onChange: () => void): () => void;
}

export interface AccessTransaction {
  readonly db: Transaction<Schema>;
  /** For the rows of this transaction; larger than that of any transaction before. */
  readonly revision: number;
}
