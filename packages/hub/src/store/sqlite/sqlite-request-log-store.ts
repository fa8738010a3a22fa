import type { SQLInputValue, SQLOutputValue, StatementSync } from "node:sqlite";

import type { RequestLogStore, RequestRecord } from "../request-log-store.ts";
import type { Schema } from "../schema.ts";
import { type SqliteConnection, whenUnlocked } from "./when-unlocked.ts";

/** A key's last use is kept to the minute: a busy key costs one update a minute, not one a request. */
const LAST_USED_STEP_MS = 60_000;

/** Each column and the field of the record that it holds. */
const FIELD_OF_COLUMN = {
  request_id: "requestId",
  started_at_ms: "startedAtMs",
  key_id: "keyId",
  key_name: "keyName",
  model: "model",
  route: "route",
  method: "method",
  streamed: "streamed",
  status: "status",
  outcome: "outcome",
  error_code: "errorCode",
  worker_id: "workerId",
  target: "target",
  attempts: "attempts",
  request_bytes: "requestBytes",
  response_bytes: "responseBytes",
  input_tokens: "inputTokens",
  output_tokens: "outputTokens",
  cache_read_tokens: "cacheReadTokens",
  reasoning_tokens: "reasoningTokens",
  first_byte_ms: "firstByteMs",
  total_ms: "totalMs",
} as const satisfies Record<Exclude<keyof Schema["request_log"], "id">, keyof RequestRecord>;

const FIELDS = Object.values(FIELD_OF_COLUMN);
const COLUMNS = Object.keys(FIELD_OF_COLUMN).join(", ");

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
    const places = FIELDS.map(() => "?");
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

  async insertBatch(records: readonly RequestRecord[]): Promise<void> {
    try {
      await whenUnlocked(this.#sqlite, () => this.#insertAll(records));
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
  #insertAll(records: readonly RequestRecord[]): void {
    const { database } = this.#sqlite;
    database.exec("begin immediate");
    try {
      const lastUse = new Map<string, number>();
      for (const record of records) {
        this.#insert.run(...FIELDS.map((field) => toColumn(record[field])));
        if (record.keyId !== undefined) lastUse.set(record.keyId, record.startedAtMs);
      }
      for (const [keyId, atMs] of lastUse) this.#used.run(atMs, keyId, LAST_USED_STEP_MS);
      database.exec("commit");
    } catch (thrown) {
      // SQLite has rolled back by itself after some errors (disk full).
      if (database.isTransaction) database.exec("rollback");
      throw thrown;
    }
  }
}

function toColumn(value: RequestRecord[keyof RequestRecord]): SQLInputValue {
  if (value === undefined || value === null) return null;
  if (typeof value === "boolean") return value ? 1 : 0;
  return typeof value === "number" ? Math.round(value) : value;
}

function toRequestRecord(row: Record<string, SQLOutputValue>): RequestRecord {
  const record: Record<string, unknown> = {};
  for (const [column, field] of Object.entries(FIELD_OF_COLUMN)) {
    const value = row[column];
    if (value !== null) record[field] = field === "streamed" ? value === 1 : value;
  }
  // The schema's NOT NULL columns are the fields that a record must have, and only `insertBatch` writes the table.
  return record as unknown as RequestRecord;
}
