import type { RequestOutcome, RequestRecord } from "../store/request-log-store.ts";

export type { RequestOutcome, RequestRecord };

/** Where the journey leaves its records. */
export interface RequestLog {
  /** Never blocks and never throws. The record is written within about a second; when the writer is too far behind it is counted and dropped. */
  record(record: RequestRecord): void;
}
