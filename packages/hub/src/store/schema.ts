import type { Generated } from "kysely";

import type { AccessSchema, KeyAccessColumns } from "./access-schema.ts";
import type { KeyKind } from "./access-schema.ts";

/** How a request ended. `cut`: after its first byte it failed visibly. `refused`: the hub did not try (key, limits, no model). */
export type RequestOutcome = "complete" | "failed" | "cut" | "cancelled" | "refused";

/** The tables as Kysely sees them. Times are epoch milliseconds, booleans 0 or 1, absent values NULL. */
export interface Schema extends AccessSchema {
  meta: { name: string; value: string };
  keys: KeyAccessColumns & {
    id: string;
    kind: KeyKind;
    name: string;
    prefix: string;
    hash: string;
    created_at_ms: number;
    revoked_at_ms: number | null;
    last_used_at_ms: number | null;
    revision: number;
  };
  request_log: {
    id: Generated<number>;
    request_id: string;
    started_at_ms: number;
    key_id: string | null;
    key_name: string | null;
    model: string | null;
    route: string;
    method: string;
    streamed: number;
    status: number;
    outcome: RequestOutcome;
    error_code: string | null;
    worker_id: string | null;
    target: string | null;
    attempts: number;
    request_bytes: number;
    response_bytes: number;
    input_tokens: number | null;
    output_tokens: number | null;
    cache_read_tokens: number | null;
    reasoning_tokens: number | null;
    first_byte_ms: number | null;
    total_ms: number;
  };
}
