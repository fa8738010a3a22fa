import { StoreError, type StoreErrorCode } from "../store-error.ts";

/** `thrown` by `pg`, as something an operator can act on. Anything else is given back as it is. */
export function toStoreError(thrown: unknown, url: string): unknown {
  if (thrown instanceof StoreError || !(thrown instanceof Error)) return thrown;
  const known = CAUSES.get("code" in thrown ? String(thrown.code) : thrown.message);
  const [code, text] = known ?? ["failed", "The database {place} failed: {reason}."];
  const message = text.replace("{place}", placeOf(url)).replace("{reason}", thrown.message);
  return new StoreError(code, message, { cause: thrown });
}

/** Host, port and name of a `postgres://` address, without user and password. */
export function placeOf(url: string): string {
  try {
    const { hostname, port, pathname } = new URL(url);
    return `${hostname || "the local socket"}${port === "" ? "" : `:${port}`}${pathname}`;
  } catch {
    return "the configured address";
  }
}

const NOBODY_ANSWERS = "No PostgreSQL answers at {place}. Start it, or correct the address.";
const NO_SUCH_MACHINE = "There is no machine by the name in {place}.";
const REFUSED = "PostgreSQL at {place} refuses this user or password.";
const LOST = "The connection to PostgreSQL at {place} broke: {reason}.";
const NO_CONNECTION = "PostgreSQL at {place} takes no connection now: {reason}.";

/** By the code of Node's system errors, or of https://www.postgresql.org/docs/15/errcodes-appendix.html; by the text of one without. */
const CAUSES: ReadonlyMap<string, readonly [StoreErrorCode, string]> = new Map([
  ["ECONNREFUSED", ["cannot-open", NOBODY_ANSWERS]],
  ["ENOENT", ["cannot-open", NOBODY_ANSWERS]],
  ["ETIMEDOUT", ["cannot-open", NOBODY_ANSWERS]],
  // Of pg, when it connects.
  ["Connection terminated due to connection timeout", ["cannot-open", NOBODY_ANSWERS]],
  ["ECONNRESET", ["connection-lost", LOST]],
  ["EPIPE", ["connection-lost", LOST]],
  // Of pg: at the query that runs, and at those behind it.
  ["Connection terminated unexpectedly", ["connection-lost", LOST]],
  ["Connection terminated", ["connection-lost", LOST]],
  ["Client has encountered a connection error and is not queryable", ["connection-lost", LOST]],
  ["Client was closed and is not queryable", ["connection-lost", LOST]],
  // Of pg, when the server's own limit on a statement was not heard either.
  ["Query read timeout", ["connection-lost", LOST]],
  // The server ends, or ended a transaction that stood still.
  ["57P01", ["connection-lost", LOST]],
  ["57P02", ["connection-lost", LOST]],
  ["25P03", ["connection-lost", LOST]],
  ["EHOSTUNREACH", ["cannot-open", NOBODY_ANSWERS]],
  ["ENOTFOUND", ["cannot-open", NO_SUCH_MACHINE]],
  ["EAI_AGAIN", ["cannot-open", NO_SUCH_MACHINE]],
  ["23505", ["conflict", "Another row has this value already."]],
  ["28P01", ["cannot-open", REFUSED]],
  ["28000", ["cannot-open", REFUSED]],
  ["3D000", ["cannot-open", "PostgreSQL has no such database: {place}. Make it with createdb."]],
  ["42501", ["read-only", "This user may not make or change tables in {place}."]],
  ["25006", ["read-only", "{place} takes no writes: it is a standby. Name the primary."]],
  ["53100", ["disk-full", "No space left for the database {place}. Free some disk space."]],
  ["53300", ["locked", NO_CONNECTION]],
  ["57P03", ["locked", NO_CONNECTION]],
  // Of pg-pool: all connections are in use, and stayed so.
  ["timeout exceeded when trying to connect", ["locked", NO_CONNECTION]],
  // Two that waited for each other, and this one was chosen. All of it was undone.
  ["40P01", ["locked", "Two writers in {place} waited for each other."]],
  ["55P03", ["locked", "Another program holds a lock in {place}, and waiting did not help."]],
]);
