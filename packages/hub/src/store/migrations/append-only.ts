import { type Transaction, sql } from "kysely";

import type { DialectName } from "../dialect-name.ts";
import type { Schema } from "../schema.ts";

/** The database itself refuses to change or remove what the audit log has, whatever a program above it does. */
export async function auditLogAppendOnly(db: Transaction<Schema>, dialect: DialectName): Promise<void> {
  if (dialect === "sqlite") {
    for (const change of ["update", "delete"]) {
      await sql`create trigger ${sql.ref(`audit_log_no_${change}`)} before ${sql.raw(change)} on audit_log
        begin select raise(abort, 'the audit log is append-only'); end`.execute(db);
    }
    return;
  }
  await sql`create function audit_log_append_only() returns trigger language plpgsql as
    $$ begin raise exception 'the audit log is append-only'; end $$`.execute(db);
  await sql`create trigger audit_log_append_only before update or delete or truncate on audit_log
    for each statement execute function audit_log_append_only()`.execute(db);
}
