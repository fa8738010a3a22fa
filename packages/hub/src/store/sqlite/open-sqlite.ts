import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { Kysely } from "kysely";

import { migrate } from "../migrate.ts";
import type { Schema } from "../schema.ts";
import { StoreError } from "../store-error.ts";
import type { Store, StoreOptions } from "../store.ts";
import { nodeSqliteDialect } from "./node-sqlite-dialect.ts";
import { SqliteDatabase } from "./sqlite-database.ts";
import { toStoreError } from "./sqlite-error.ts";
import { SqliteRequestLogStore } from "./sqlite-request-log-store.ts";
import { whenUnlocked } from "./when-unlocked.ts";

const BUSY_TIMEOUT_MS = 5000;

/** After a checkpoint the write-ahead log is cut down to this. Without it the file keeps the size of the largest burst. */
const MAX_IDLE_WAL_BYTES = 64 * 1024 * 1024;

/** Opens or makes the file `path`, with its folder, readable by this user only. */
export async function openSqliteStore(path: string, options: StoreOptions): Promise<Store> {
  const explain = (thrown: unknown): unknown => toStoreError(thrown, path);
  try {
    makePrivateFile(path);
    const database = new DatabaseSync(path, { timeout: 0, enableForeignKeyConstraints: true });
    const connection = { database, timeoutMs: options.busyTimeoutMs ?? BUSY_TIMEOUT_MS, explain };
    try {
      await whenUnlocked(connection, () => database.exec("pragma journal_mode = wal"));
      database.exec(`pragma synchronous = ${options.durability === "every-commit" ? "full" : "normal"}`);
      database.exec(`pragma journal_size_limit = ${MAX_IDLE_WAL_BYTES}`);
      const db = new Kysely<Schema>({ dialect: nodeSqliteDialect(connection) });
      await migrate(db, { dialect: "sqlite" });
      const watched = new SqliteDatabase(db, database);
      return {
        database: watched,
        requestLog: new SqliteRequestLogStore(connection),
        [Symbol.asyncDispose]: async () => close(watched, database),
      };
    } catch (thrown) {
      database.close();
      throw thrown;
    }
  } catch (thrown) {
    throw explain(thrown);
  }
}

function close(watched: SqliteDatabase, database: DatabaseSync): void {
  watched[Symbol.dispose]();
  if (database.isOpen) database.close();
}

/** SQLite gives its write-ahead log the mode of the main file, so that one decides for all. */
function makePrivateFile(path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    closeSync(openSync(path, "a", 0o600));
  } catch (thrown) {
    throw new StoreError("cannot-open", `The database ${path} cannot be opened: ${reasonOf(thrown)}.`, {
      cause: thrown,
    });
  }
}

function reasonOf(thrown: unknown): string {
  const code = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
  switch (code) {
    case "EACCES":
    case "EPERM":
      return "this user may not write there";
    case "EROFS":
      return "the file system is read-only";
    case "ENOSPC":
      return "the disk is full";
    case "EEXIST":
    case "ENOTDIR":
      return "a part of its path is a file, not a folder";
    case "EISDIR":
      return "it is a folder";
    default:
      return String(code ?? thrown);
  }
}
