export type StoreErrorCode =
  /** A row with that name or address is there already. */
  | "conflict"
  | "locked"
  | "disk-full"
  | "read-only"
  | "cannot-open"
  /** The connection broke. What was not committed is undone. */
  | "connection-lost"
  /** The connection broke while it committed: all of it was done, or nothing, and nobody knows which. */
  | "outcome-unknown"
  | "not-a-database"
  | "damaged"
  | "newer-schema"
  | "unsupported"
  | "failed";

/** What went wrong with the database, in one line that an operator can act on. Not for API clients: it names the file. */
export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly code: StoreErrorCode;

  constructor(code: StoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
