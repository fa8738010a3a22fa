import type { RequestOutcome } from "./schema.ts";

export type { RequestOutcome };

/** One finished request. Facts only: no body, no header, no address of an engine. An absent field is unknown, never zero. */
export interface RequestRecord {
  /** Unique. A record that comes twice is kept once. */
  readonly requestId: string;
  readonly startedAtMs: number;
  readonly keyId?: string | undefined;
  readonly keyName?: string | undefined;
  /** As the client asked for it. */
  readonly model?: string | undefined;
  /** The pattern that matched, such as `/v1/chat/completions`; never the raw path. */
  readonly route: string;
  readonly method: string;
  readonly streamed: boolean;
  /** The status the client got. 0 when it left before there was one. */
  readonly status: number;
  readonly outcome: RequestOutcome;
  readonly errorCode?: string | undefined;
  /** The worker and its target that answered, or that failed last. */
  readonly workerId?: string | undefined;
  readonly target?: string | undefined;
  /** How many times a channel was asked. 0: none was. */
  readonly attempts: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly inputTokens?: number | undefined;
  readonly outputTokens?: number | undefined;
  readonly cacheReadTokens?: number | undefined;
  readonly reasoningTokens?: number | undefined;
  /** From the start of the request until the first byte for the client. */
  readonly firstByteMs?: number | undefined;
  readonly totalMs: number;
}

/** A record's values in the order of `FIELD_OF_COLUMN` (request-row.ts), as both databases take them: booleans are 0 and 1, times whole milliseconds. */
export type RequestRow = readonly (string | number | null)[];

/** The log of finished requests: many writes in batches, bounded, the oldest go first. */
export interface RequestLogStore {
  /** Writes all or none. A row whose `requestId` is known already is skipped. Also notes when each key was last used. */
  insertBatch(rows: readonly RequestRow[]): Promise<void>;

  /** The newest records, newest first. */
  recent(limit: number): Promise<readonly RequestRecord[]>;

  /** Deletes the oldest rows beyond `maxRows`, at most `step` of them, so that the write lock is held briefly. Returns how many. */
  trim(maxRows: number, step: number): Promise<number>;
}
