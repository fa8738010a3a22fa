import { type Kysely, type Transaction, sql } from "kysely";

import { accessTables } from "./migrations/access-tables.ts";
import type { Schema } from "./schema.ts";
import { StoreError } from "./store-error.ts";

/** One step forward, in the same transaction as the note that it was done. Never changed once released: add another one. */
type Migration = (db: Transaction<Schema>) => Promise<void>;

/** Number 1 first. The schema's version is how many of them ran. */
export const MIGRATIONS: readonly Migration[] = [keysAndRequestLog, accessTables];

/**
 * Brings the database to this program's schema. Safe when several processes do it at once: the transaction takes the write
 * lock first.
 *
 * @throws StoreError `newer-schema` when a newer program was here. Nothing was changed then.
 */
export async function migrate(db: Kysely<Schema>, migrations = MIGRATIONS): Promise<void> {
  await db.transaction().execute(async (transaction) => {
    await transaction.schema
      .createTable("meta")
      .ifNotExists()
      .addColumn("name", "text", (column) => column.primaryKey())
      .addColumn("value", "text", (column) => column.notNull())
      .execute();
    const version = await schemaVersion(transaction);
    if (version > migrations.length) {
      throw new StoreError(
        "newer-schema",
        `The database was written by a newer tokilake (schema ${version}, this program knows ${migrations.length}). ` +
          "Start the newer version, or point --data-dir at a backup made before the update.",
      );
    }
    if (version === migrations.length) return;
    for (const migration of migrations.slice(version)) await migration(transaction);
    await transaction
      .insertInto("meta")
      .values({ name: "schema_version", value: String(migrations.length) })
      .onConflict((conflict) => conflict.column("name").doUpdateSet({ value: String(migrations.length) }))
      .execute();
  });
}

/** 0 for a new database. */
async function schemaVersion(db: Transaction<Schema>): Promise<number> {
  const row = await db.selectFrom("meta").select("value").where("name", "=", "schema_version").executeTakeFirst();
  return row === undefined ? 0 : Number(row.value);
}

async function keysAndRequestLog(db: Transaction<Schema>): Promise<void> {
  await db.schema
    .createTable("keys")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("kind", "text", (column) => column.notNull().check(sql`kind in ('api', 'worker')`))
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("prefix", "text", (column) => column.notNull())
    .addColumn("hash", "text", (column) => column.notNull().unique())
    .addColumn("created_at_ms", "bigint", (column) => column.notNull())
    .addColumn("revoked_at_ms", "bigint")
    .addColumn("last_used_at_ms", "bigint")
    .addColumn("revision", "bigint", (column) => column.notNull().unique())
    .execute();
  await db.schema.createIndex("keys_by_name").on("keys").column("name").execute();

  await db.schema
    .createTable("request_log")
    .addColumn("id", "integer", (column) => column.primaryKey())
    .addColumn("request_id", "text", (column) => column.notNull().unique())
    .addColumn("started_at_ms", "bigint", (column) => column.notNull())
    .addColumn("key_id", "text")
    .addColumn("key_name", "text")
    .addColumn("model", "text")
    .addColumn("route", "text", (column) => column.notNull())
    .addColumn("method", "text", (column) => column.notNull())
    .addColumn("streamed", "integer", (column) => column.notNull())
    .addColumn("status", "integer", (column) => column.notNull())
    .addColumn("outcome", "text", (column) => column.notNull())
    .addColumn("error_code", "text")
    .addColumn("worker_id", "text")
    .addColumn("target", "text")
    .addColumn("attempts", "integer", (column) => column.notNull())
    .addColumn("request_bytes", "bigint", (column) => column.notNull())
    .addColumn("response_bytes", "bigint", (column) => column.notNull())
    .addColumn("input_tokens", "bigint")
    .addColumn("output_tokens", "bigint")
    .addColumn("cache_read_tokens", "bigint")
    .addColumn("reasoning_tokens", "bigint")
    .addColumn("first_byte_ms", "bigint")
    .addColumn("total_ms", "bigint", (column) => column.notNull())
    .execute();
}
