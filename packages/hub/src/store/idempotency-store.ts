import type { Kysely } from "kysely";

import type { Schema } from "./schema.ts";

/** Answers kept for creates that carried an `Idempotency-Key`. */
export const IDEMPOTENCY_LIMITS = {
  /** An answer is given again for so long. */
  keptMs: 24 * 3600_000,
  /** Of one actor; then the oldest go. */
  perActor: 1_000,
  /** A create that did not end by then died with its process. Whether it was done before nobody knows. */
  runningMs: 60_000,
} as const;

/** Who asked for what. */
export interface IdempotentRequest {
  /** Of the actor and the key together. */
  readonly id: string;
  readonly actorId: string;
  /** Of everything that was asked. */
  readonly requestHash: string;
}

export type Beginning =
  /** The first of its kind: do it, then `keepAnswer` or `forgetAnswer`. */
  | { readonly outcome: "begun" }
  | { readonly outcome: "answered"; readonly answer: string }
  /** `unknown`: it may have been done by a process that died. */
  | { readonly outcome: "running" | "unknown" | "another-request" };

/** Whether a create is to be done, was done, or is under way. Of several at once exactly one is told `begun`. */
export async function beginAnswer(db: Kysely<Schema>, request: IdempotentRequest, nowMs: number): Promise<Beginning> {
  await db
    .deleteFrom("idempotent_answers")
    .where("created_at_ms", "<=", nowMs - IDEMPOTENCY_LIMITS.keptMs)
    .execute();
  const { id, actorId: actor_id, requestHash: request_hash } = request;
  const begun = await db
    .insertInto("idempotent_answers")
    .values({ id, actor_id, request_hash, created_at_ms: nowMs, answer: null })
    .onConflict((conflict) => conflict.column("id").doNothing())
    .returning("id")
    .executeTakeFirst();
  if (begun !== undefined) {
    await forgetOldest(db, actor_id);
    return { outcome: "begun" };
  }
  const known = await db.selectFrom("idempotent_answers").selectAll().where("id", "=", id).executeTakeFirst();
  // It may have been forgotten between the two: then the next try begins.
  if (known === undefined) return { outcome: "running" };
  if (known.request_hash !== request_hash) return { outcome: "another-request" };
  if (known.answer !== null) return { outcome: "answered", answer: known.answer };
  return { outcome: known.created_at_ms > nowMs - IDEMPOTENCY_LIMITS.runningMs ? "running" : "unknown" };
}

/** What was begun is done. @param answer Encrypted by the caller. */
export async function keepAnswer(db: Kysely<Schema>, id: string, answer: string): Promise<void> {
  await db.updateTable("idempotent_answers").set({ answer }).where("id", "=", id).execute();
}

/** What was begun failed: the key may be used again. */
export async function forgetAnswer(db: Kysely<Schema>, id: string): Promise<void> {
  await db.deleteFrom("idempotent_answers").where("id", "=", id).execute();
}

async function forgetOldest(db: Kysely<Schema>, actorId: string): Promise<void> {
  const tooMany = db
    .selectFrom("idempotent_answers")
    .select("id")
    .where("actor_id", "=", actorId)
    .orderBy("created_at_ms", "desc")
    .limit(100)
    .offset(IDEMPOTENCY_LIMITS.perActor);
  await db.deleteFrom("idempotent_answers").where("id", "in", tooMany).execute();
}
