import type { Kysely } from "kysely";

import type { Schema } from "./schema.ts";

/**
 * Notes that a sign-in attempt came to its end, for as long as it could be shown again. False: it did already.
 *
 * The attempt itself is kept by the browser, sealed: nobody can fill this table by beginning attempts.
 */
export async function useAttempt(
  db: Kysely<Schema>,
  attempt: { readonly id: string; readonly expiresAtMs: number },
  nowMs: number,
): Promise<boolean> {
  await db.deleteFrom("used_attempts").where("expires_at_ms", "<=", nowMs).execute();
  const row = await db
    .insertInto("used_attempts")
    .values({ id: attempt.id, expires_at_ms: attempt.expiresAtMs })
    .onConflict((conflict) => conflict.column("id").doNothing())
    .returning("id")
    .executeTakeFirst();
  return row !== undefined;
}
