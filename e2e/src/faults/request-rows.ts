import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { eventually } from "../eventually.ts";

/** A row of the request log, as an operator's own tool would read it. */
export interface RequestRow {
  readonly outcome: string;
  readonly errorCode: string | null;
}

function requestRows(dataDir: string): RequestRow[] {
  const database = new DatabaseSync(join(dataDir, "tokilake.db"), { readOnly: true });
  try {
    const rows = database.prepare("SELECT outcome, error_code FROM request_log ORDER BY id").all();
    return rows.map((row) => ({
      outcome: String(row["outcome"]),
      errorCode: row["error_code"] === null ? null : String(row["error_code"]),
    }));
  } finally {
    database.close();
  }
}

/** The rows once there are so many: they are written half a second after the request. @throws Error after 10 s. */
export function requestRowsOnceThere(dataDir: string, count: number): Promise<RequestRow[]> {
  return eventually(`the request log has ${count} rows`, () => {
    const rows = requestRows(dataDir);
    return rows.length >= count && rows;
  });
}
