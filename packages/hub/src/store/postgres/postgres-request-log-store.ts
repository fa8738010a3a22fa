import { type Kysely, sql } from "kysely";

import type { RequestLogStore, RequestRecord, RequestRow } from "../request-log-store.ts";
import { FIELD_OF_COLUMN, LAST_USED_STEP_MS, lastUseOf, toRequestRecord } from "../request-row.ts";
import type { Schema } from "../schema.ts";

const COLUMNS = sql.join(Object.keys(FIELD_OF_COLUMN).map((column) => sql.ref(column)));

/** PostgreSQL takes 65,535 parameters in a statement; a row has 22. */
const ROWS_A_STATEMENT = 1_000;

export class PostgresRequestLogStore implements RequestLogStore {
  readonly #db: Kysely<Schema>;

  constructor(db: Kysely<Schema>) {
    this.#db = db;
  }

  async insertBatch(rows: readonly RequestRow[]): Promise<void> {
    await this.#db.transaction().execute(async (db) => {
      for (let from = 0; from < rows.length; from += ROWS_A_STATEMENT) {
        const some = rows.slice(from, from + ROWS_A_STATEMENT).map((row) => sql`(${sql.join(row)})`);
        await sql`insert into request_log (${COLUMNS}) values ${sql.join(some)} on conflict (request_id) do nothing`.execute(
          db,
        );
      }
      // In one order everywhere: two hubs that note the same keys must not wait for each other in a circle.
      const lastUse = [...lastUseOf(rows)].toSorted(([one], [other]) => (one < other ? -1 : 1));
      for (const [keyId, atMs] of lastUse) {
        await sql`update keys set last_used_at_ms = ${atMs} where id = ${keyId}
          and (last_used_at_ms is null or last_used_at_ms < ${atMs - LAST_USED_STEP_MS})`.execute(db);
      }
    });
  }

  async recent(limit: number): Promise<readonly RequestRecord[]> {
    const { rows } = await sql<
      Record<string, unknown>
    >`select ${COLUMNS} from request_log order by id desc limit ${limit}`.execute(this.#db);
    return rows.map(toRequestRecord);
  }

  /** Ids have gaps where a record came twice, so that a few rows less than `maxRows` may stay. Counting would read them all. */
  async trim(maxRows: number, step: number): Promise<number> {
    const { numAffectedRows } = await sql`delete from request_log where id in (select id from request_log
      where id <= (select max(id) from request_log) - ${maxRows} order by id limit ${step})`.execute(this.#db);
    return Number(numAffectedRows ?? 0);
  }
}
