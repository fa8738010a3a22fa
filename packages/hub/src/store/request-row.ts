import type { RequestRecord, RequestRow } from "./request-log-store.ts";
import type { Schema } from "./schema.ts";

/** A key's last use is kept to the minute: a busy key costs one update a minute, not one a request. */
export const LAST_USED_STEP_MS = 60_000;

/** Each column and the field of the record that it holds. */
export const FIELD_OF_COLUMN = {
  request_id: "requestId",
  started_at_ms: "startedAtMs",
  key_id: "keyId",
  key_name: "keyName",
  model: "model",
  route: "route",
  method: "method",
  streamed: "streamed",
  status: "status",
  outcome: "outcome",
  error_code: "errorCode",
  worker_id: "workerId",
  target: "target",
  attempts: "attempts",
  request_bytes: "requestBytes",
  response_bytes: "responseBytes",
  input_tokens: "inputTokens",
  output_tokens: "outputTokens",
  cache_read_tokens: "cacheReadTokens",
  reasoning_tokens: "reasoningTokens",
  first_byte_ms: "firstByteMs",
  total_ms: "totalMs",
} as const satisfies Record<Exclude<keyof Schema["request_log"], "id">, keyof RequestRecord>;

const FIELDS = Object.values(FIELD_OF_COLUMN);
const STARTED_AT = FIELDS.indexOf("startedAtMs");
const KEY_ID = FIELDS.indexOf("keyId");

export function rowOf(record: RequestRecord): RequestRow {
  return FIELDS.map((field) => toColumn(record[field]));
}

/** When each key of these rows was last used: its id and epoch milliseconds. */
export function lastUseOf(rows: readonly RequestRow[]): ReadonlyMap<string, number> {
  const lastUse = new Map<string, number>();
  for (const row of rows) {
    const keyId = row[KEY_ID];
    if (typeof keyId === "string") lastUse.set(keyId, Number(row[STARTED_AT]));
  }
  return lastUse;
}

export function toRequestRecord(row: Readonly<Record<string, unknown>>): RequestRecord {
  const record: Record<string, unknown> = {};
  for (const [column, field] of Object.entries(FIELD_OF_COLUMN)) {
    const value = row[column];
    if (value !== null) record[field] = field === "streamed" ? value === 1 : value;
  }
  // The schema's NOT NULL columns are the fields that a record must have, and only `insertBatch` writes the table.
  return record as unknown as RequestRecord;
}

function toColumn(value: RequestRecord[keyof RequestRecord]): string | number | null {
  if (value === undefined || value === null) return null;
  if (typeof value === "boolean") return value ? 1 : 0;
  return typeof value === "number" ? Math.round(value) : value;
}
