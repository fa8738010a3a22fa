import { StoreError } from "../store-error.ts";

/** Primary result codes of SQLite (https://www.sqlite.org/rescode.html); the low byte of an extended one. */
const BUSY = 5;
const LOCKED = 6;
const READONLY = 8;
const CORRUPT = 11;
const FULL = 13;
const CANTOPEN = 14;
const NOTADB = 26;

/** Extended ones: a unique index or a primary key has the value already. */
const CONFLICTS: readonly number[] = [1555, 2067];

/** `thrown` by `node:sqlite`, as something an operator can act on. Anything else is given back as it is. */
export function toStoreError(thrown: unknown, path: string): unknown {
  const code = sqliteCode(thrown);
  if (code === undefined || thrown instanceof StoreError) return thrown;
  const options = { cause: thrown };
  if (CONFLICTS.includes(code)) return new StoreError("conflict", "Another row has this value already.", options);
  switch (code & 0xff) {
    case BUSY:
    case LOCKED:
      return new StoreError(
        "locked",
        `The database ${path} is locked by another program, and waiting did not help. ` +
          "Look for a stopped tokilake process or a backup that copies the file, end it, and try again.",
        options,
      );
    case FULL:
      return new StoreError("disk-full", `No space left for the database ${path}. Free some disk space.`, options);
    case READONLY:
      return new StoreError(
        "read-only",
        `The database ${path} cannot be written. Give this user write access to the file and its folder.`,
        options,
      );
    case CANTOPEN:
      return new StoreError(
        "cannot-open",
        `The database ${path} cannot be opened. Check that the folder exists and that this user may write there.`,
        options,
      );
    case NOTADB:
      return new StoreError(
        "not-a-database",
        `${path} is not a SQLite database. Move it away, or choose another --data-dir.`,
        options,
      );
    case CORRUPT:
      return new StoreError("damaged", `The database ${path} is damaged. Restore it from a backup.`, options);
    default:
      return new StoreError("failed", `The database ${path} failed: ${messageOf(thrown)}.`, options);
  }
}

/** Another connection holds what was needed; later it may work. */
export function isLocked(thrown: unknown): boolean {
  const code = sqliteCode(thrown);
  return code !== undefined && ((code & 0xff) === BUSY || (code & 0xff) === LOCKED);
}

function sqliteCode(thrown: unknown): number | undefined {
  if (!(thrown instanceof Error) || !("code" in thrown) || thrown.code !== "ERR_SQLITE_ERROR") return undefined;
  return "errcode" in thrown && typeof thrown.errcode === "number" ? thrown.errcode : 0;
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
