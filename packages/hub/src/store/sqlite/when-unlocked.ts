import type { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";

import { isLocked } from "./sqlite-error.ts";

const FIRST_DELAY_MS = 1;
const LONGEST_DELAY_MS = 20;

export interface SqliteConnection {
  /** Opened with `timeout: 0`. */
  readonly database: DatabaseSync;
  /** How long to wait for the locks of others. */
  readonly timeoutMs: number;
  /** Turns an error of the database into one for people. */
  explain(thrown: unknown): unknown;
}

/**
 * What `act` gives, tried again while another connection holds the lock. SQLite's own waiting blocks the thread: the hub
 * would serve nobody meanwhile, and another connection of the same thread could never finish what it holds the lock for.
 *
 * @param sinceMs Of `performance.now()`: when the waiting began.
 */
export async function whenUnlocked<T>(
  { database, timeoutMs }: Pick<SqliteConnection, "database" | "timeoutMs">,
  act: () => T,
  sinceMs = performance.now(),
): Promise<T> {
  const deadlineMs = sinceMs + timeoutMs;
  for (let delayMs = FIRST_DELAY_MS; ; delayMs = Math.min(2 * delayMs, LONGEST_DELAY_MS)) {
    try {
      return act();
    } catch (thrown) {
      // Within a transaction the lock is ours already, and a statement of it must not be repeated alone.
      if (!isLocked(thrown) || database.isTransaction || performance.now() >= deadlineMs) throw thrown;
    }
    await sleep(delayMs);
  }
}
