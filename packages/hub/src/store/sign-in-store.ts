import type { ExpressionBuilder, Kysely, Selectable } from "kysely";

import type { Schema } from "./schema.ts";
import { type UserRecord, toUserRecord } from "./user-store.ts";

/** A person signed in on one device. The secret in its cookie is not here. */
export interface SignInRecord {
  readonly id: string;
  readonly userId: string;
  readonly createdAtMs: number;
  /** To the minute. */
  readonly lastSeenAtMs: number;
  readonly expiresAtMs: number;
  readonly address: string;
  readonly userAgent: string;
  readonly confirmedAtMs: number;
}

export interface NewSignIn extends SignInRecord {
  /** SHA-256 of the cookie's secret. Unique. */
  readonly hash: string;
}

/** Sign-ins that ended are kept for so long, to answer questions, and so many of a user; the next one sweeps the others out. */
const KEPT_AFTER_END_MS = 30 * 24 * 3600 * 1000;
const MAX_KEPT = 200;

/** Keeps a sign-in, and ends the user's oldest ones so that at most `maxLive` are left. */
export async function insertSignIn(db: Kysely<Schema>, signIn: NewSignIn, maxLive: number): Promise<void> {
  const nowMs = signIn.createdAtMs;
  await db
    .deleteFrom("sign_ins")
    .where("user_id", "=", signIn.userId)
    .where((eb) =>
      eb.or([
        eb("ended_at_ms", "<", nowMs - KEPT_AFTER_END_MS),
        eb("expires_at_ms", "<", nowMs - KEPT_AFTER_END_MS),
        eb.and([
          eb("ended_at_ms", "is not", null),
          eb("id", "not in", newestOf(eb, signIn.userId).limit(MAX_KEPT - 1)),
        ]),
      ]),
    )
    .execute();
  await db
    .insertInto("sign_ins")
    .values({
      id: signIn.id,
      user_id: signIn.userId,
      hash: signIn.hash,
      created_at_ms: nowMs,
      last_seen_at_ms: signIn.lastSeenAtMs,
      expires_at_ms: signIn.expiresAtMs,
      ended_at_ms: null,
      address: signIn.address,
      user_agent: signIn.userAgent,
      confirmed_at_ms: signIn.confirmedAtMs,
    })
    .execute();
  await db
    .updateTable("sign_ins")
    .set({ ended_at_ms: nowMs })
    .where("user_id", "=", signIn.userId)
    .where("ended_at_ms", "is", null)
    .where("id", "not in", (eb) => newestOf(eb, signIn.userId).where("ended_at_ms", "is", null).limit(maxLive))
    .execute();
}

/** The sign-in whose cookie hashes to `hash`, and its user, unless it ended, ran out, or was not seen since `seenSinceMs`. */
export async function signInByHash(
  db: Kysely<Schema>,
  hash: string,
  at: { readonly nowMs: number; readonly seenSinceMs: number },
): Promise<{ readonly signIn: SignInRecord; readonly user: UserRecord } | undefined> {
  const found = await db.selectFrom("sign_ins").selectAll().where("hash", "=", hash).executeTakeFirst();
  if (found === undefined || found.ended_at_ms !== null) return undefined;
  if (found.expires_at_ms <= at.nowMs || found.last_seen_at_ms < at.seenSinceMs) return undefined;
  const user = await db.selectFrom("users").selectAll().where("id", "=", found.user_id).executeTakeFirst();
  return user && { signIn: toSignIn(found), user: toUserRecord(user) };
}

export async function touchSignIn(db: Kysely<Schema>, id: string, seen: { readonly nowMs: number }): Promise<void> {
  await db.updateTable("sign_ins").set({ last_seen_at_ms: seen.nowMs }).where("id", "=", id).execute();
}

/** A user's live sign-ins, the newest first. */
export async function liveSignInsOf(
  db: Kysely<Schema>,
  userId: string,
  at: { readonly nowMs: number; readonly seenSinceMs: number },
): Promise<readonly SignInRecord[]> {
  const rows = await db
    .selectFrom("sign_ins")
    .selectAll()
    .where("user_id", "=", userId)
    .where("ended_at_ms", "is", null)
    .where("expires_at_ms", ">", at.nowMs)
    .where("last_seen_at_ms", ">=", at.seenSinceMs)
    .orderBy("id", "desc")
    .execute();
  return rows.map(toSignIn);
}

/** Whether nobody ended a sign-in. That its time ran out is not looked at. */
export async function isLiveSignIn(db: Kysely<Schema>, id: string): Promise<boolean> {
  const query = db.selectFrom("sign_ins").select("id").where("id", "=", id).where("ended_at_ms", "is", null);
  return (await query.executeTakeFirst()) !== undefined;
}

/** Gives a live sign-in another secret, its user having shown who he is at `nowMs`. False: it is not live any more. */
export async function renewSignIn(
  db: Kysely<Schema>,
  id: string,
  renewed: { readonly hash: string; readonly nowMs: number },
): Promise<boolean> {
  const row = await db
    .updateTable("sign_ins")
    .set({ hash: renewed.hash, confirmed_at_ms: renewed.nowMs, last_seen_at_ms: renewed.nowMs })
    .where("id", "=", id)
    .where("ended_at_ms", "is", null)
    .returning("id")
    .executeTakeFirst();
  return row !== undefined;
}

/** Ends one live sign-in of that user. False: the user has none of that id. */
export async function endSignIn(
  db: Kysely<Schema>,
  which: { readonly id: string; readonly userId: string },
  nowMs: number,
): Promise<boolean> {
  const row = await db
    .updateTable("sign_ins")
    .set({ ended_at_ms: nowMs })
    .where("id", "=", which.id)
    .where("user_id", "=", which.userId)
    .where("ended_at_ms", "is", null)
    .returning("id")
    .executeTakeFirst();
  return row !== undefined;
}

/** Ends all live sign-ins of a user, but for `exceptId`. Returns how many. */
export async function endSignInsOf(
  db: Kysely<Schema>,
  userId: string,
  nowMs: number,
  exceptId?: string,
): Promise<number> {
  let query = db
    .updateTable("sign_ins")
    .set({ ended_at_ms: nowMs })
    .where("user_id", "=", userId)
    .where("ended_at_ms", "is", null);
  if (exceptId !== undefined) query = query.where("id", "!=", exceptId);
  return (await query.returning("id").execute()).length;
}

function newestOf(eb: ExpressionBuilder<Schema, "sign_ins">, userId: string) {
  return eb.selectFrom("sign_ins").select("id").where("user_id", "=", userId).orderBy("id", "desc");
}

function toSignIn(row: Selectable<Schema["sign_ins"]>): SignInRecord {
  return {
    id: row.id,
    userId: row.user_id,
    createdAtMs: row.created_at_ms,
    lastSeenAtMs: row.last_seen_at_ms,
    expiresAtMs: row.expires_at_ms,
    address: row.address,
    userAgent: row.user_agent,
    confirmedAtMs: row.confirmed_at_ms,
  };
}
