import { type Transaction, sql } from "kysely";

import type { DialectName } from "../dialect-name.ts";
import type { Schema } from "../schema.ts";

/** Keys by the hash of their secret, and one row for each request. */
export async function keysAndRequestLog(db: Transaction<Schema>, dialect: DialectName): Promise<void> {
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
    .addColumn("revision", "bigint", (column) => column.notNull())
    .execute();
  await db.schema.createIndex("keys_by_revision").on("keys").column("revision").execute();
  await db.schema.createIndex("keys_by_name").on("keys").column("name").execute();

  await db.schema
    .createTable("request_log")
    // What grows by itself is spelled differently: in SQLite an integer key does.
    .addColumn("id", dialect === "sqlite" ? "integer" : "bigint", (column) =>
      dialect === "sqlite" ? column.primaryKey() : column.primaryKey().generatedAlwaysAsIdentity(),
    )
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
