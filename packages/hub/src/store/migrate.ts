import type { Kysely, Transaction } from "kysely";

import type { DialectName } from "./dialect-name.ts";
import { accessTables } from "./migrations/access-tables.ts";
import { keysAndRequestLog } from "./migrations/keys-and-request-log.ts";
import type { Schema } from "./schema.ts";
import { StoreError } from "./store-error.ts";

/** One step forward, in the same transaction as the note that it was done. Never changed once released: add another one. */
type Migration = (db: Transaction<Schema>, dialect: DialectName) => Promise<void>;

export interface MigrateOptions {
  readonly dialect: DialectName;
  /** Keeps other processes out until the transaction ends. SQLite needs none: a transaction has the only write lock. */
  readonly lock?: (db: Transaction<Schema>) => Promise<unknown>;
  readonly migrations?: readonly Migration[];
}

/** Number 1 first. The schema's version is how many of them ran. */
export const MIGRATIONS: readonly Migration[] = [keysAndRequestLog, accessTables];

/**
 * Brings the database to this program's schema. Safe when several processes do it at once: the transaction takes a
 * lock first.
 *
 * @throws StoreError `newer-schema` when a newer program was here. Nothing was changed then.
 */
export async function migrate(
  db: Kysely<Schema>,
  { dialect, lock, migrations = MIGRATIONS }: MigrateOptions,
): Promise<void> {
  await db.transaction().execute(async (transaction) => {
    await lock?.(transaction);
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
    for (const migration of migrations.slice(version)) await migration(transaction, dialect);
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
