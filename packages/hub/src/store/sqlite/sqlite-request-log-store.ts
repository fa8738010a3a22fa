import type { StatementSync } from "node:sqlite";

import type { RequestLogStore, RequestRecord, RequestRow } from "../request-log-store.ts";
import { FIELD_OF_COLUMN, LAST_USED_STEP_MS, lastUseOf, toRequestRecord } from "../request-row.ts";
import { type SqliteConnection, whenUnlocked } from "./when-unlocked.ts";

const NAMES = Object.keys(FIELD_OF_COLUMN);
const COLUMNS = NAMES.join(", ");

/** Prepared statements without Kysely: this is the one table that is written once per request. */
export class SqliteRequestLogStore implements RequestLogStore {
  readonly #sqlite: SqliteConnection;
  readonly #insert: StatementSync;
  readonly #used: StatementSync;
  readonly #recent: StatementSync;
  readonly #trim: StatementSync;

  constructor(sqlite: SqliteConnection) {
    const { database } = sqlite;
    this.#sqlite = sqlite;
    const places = NAMES.map(() => "?");
    this.#insert = database.prepare(
      `insert into request_log (${COLUMNS}) values (${places.join(", ")}) on conflict (request_id) do nothing`,
    );
    this.#used = database.prepare(
      "update keys set last_used_at_ms = ?1 where id = ?2 and (last_used_at_ms is null or last_used_at_ms < ?1 - ?3)",
    );
    this.#recent = database.prepare(`select ${COLUMNS} from request_log order by id desc limit ?`);
    // Row ids are handed out in order and only the lowest are deleted, so their span is the number of rows, without counting.
    this.#trim = database.prepare(
      "delete from request_log where id in (select id from request_log " +
        "where id <= (select max(id) from request_log) - ?1 order by id limit ?2)",
    );
  }

  async insertBatch(rows: readonly RequestRow[]): Promise<void> {
    try {
      await whenUnlocked(this.#sqlite, () => this.#insertAll(rows));
    } catch (thrown) {
      throw this.#sqlite.explain(thrown);
    }
  }

  async recent(limit: number): Promise<readonly RequestRecord[]> {
    try {
      return await whenUnlocked(this.#sqlite, () => this.#recent.all(limit).map(toRequestRecord));
    } catch (thrown) {
      throw this.#sqlite.explain(thrown);
    }
  }

  async trim(maxRows: number, step: number): Promise<number> {
    try {
      const { changes } = await whenUnlocked(this.#sqlite, () => this.#trim.run(maxRows, step));
      return Number(changes);
    } catch (thrown) {
      throw this.#sqlite.explain(thrown);
    }
  }

  /** One transaction, without a pause in it: nothing else can get onto this connection meanwhile. */
  #insertAll(rows: readonly RequestRow[]): void {
    const { database } = this.#sqlite;
    database.exec("begin immediate");
    try {
      for (const row of rows) this.#insert.run(...row);
      for (const [keyId, atMs] of lastUseOf(rows)) this.#used.run(atMs, keyId, LAST_USED_STEP_MS);
      database.exec("commit");
    } catch (thrown) {
      // SQLite has rolled back by itself after some errors (disk full).
      if (database.isTransaction) database.exec("rollback");
      throw thrown;
    }
  }
}
