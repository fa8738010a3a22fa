import type { Kysely, Selectable } from "kysely";
import * as z from "zod";

import type { Schema } from "./schema.ts";
import { type UserRecord, toUserRecord } from "./user-store.ts";

/** A personal access token, `pat-…`. The secret is not here and is kept nowhere. */
export interface AccessTokenRecord {
  readonly id: string;
  readonly userId: string;
  readonly name: string;
  /** The first characters of the secret, to tell tokens apart. */
  readonly prefix: string;
  readonly scopes: readonly string[];
  readonly createdAtMs: number;
  /** undefined: never. */
  readonly expiresAtMs: number | undefined;
  readonly revokedAtMs: number | undefined;
  /** To the minute. */
  readonly lastUsedAtMs: number | undefined;
}

export interface NewAccessToken extends AccessTokenRecord {
  /** SHA-256 of the secret. Unique. */
  readonly hash: string;
}

/** Tokens that were revoked or ran out are shown for so long, and so many of a user; the next one sweeps the others out. */
const KEPT_AFTER_END_MS = 30 * 24 * 3600 * 1000;
const MAX_KEPT = 200;

export async function insertAccessToken(db: Kysely<Schema>, token: NewAccessToken): Promise<void> {
  const oldest = token.createdAtMs - KEPT_AFTER_END_MS;
  await db
    .deleteFrom("access_tokens")
    .where("user_id", "=", token.userId)
    .where((eb) =>
      eb.or([
        eb("revoked_at_ms", "<", oldest),
        eb("expires_at_ms", "<", oldest),
        eb.and([
          eb.or([eb("revoked_at_ms", "is not", null), eb("expires_at_ms", "<=", token.createdAtMs)]),
          eb(
            "id",
            "not in",
            eb
              .selectFrom("access_tokens")
              .select("id")
              .where("user_id", "=", token.userId)
              .orderBy("id", "desc")
              .limit(MAX_KEPT - 1),
          ),
        ]),
      ]),
    )
    .execute();
  await db
    .insertInto("access_tokens")
    .values({
      id: token.id,
      user_id: token.userId,
      name: token.name,
      prefix: token.prefix,
      hash: token.hash,
      scopes: JSON.stringify(token.scopes),
      created_at_ms: token.createdAtMs,
      expires_at_ms: token.expiresAtMs ?? null,
      revoked_at_ms: null,
      last_used_at_ms: null,
    })
    .execute();
}

/** The token whose secret hashes to `hash`, and its user, unless it was revoked or ran out. */
export async function accessTokenByHash(
  db: Kysely<Schema>,
  hash: string,
  nowMs: number,
): Promise<{ readonly token: AccessTokenRecord; readonly user: UserRecord } | undefined> {
  const found = await db.selectFrom("access_tokens").selectAll().where("hash", "=", hash).executeTakeFirst();
  if (found === undefined || found.revoked_at_ms !== null) return undefined;
  if (found.expires_at_ms !== null && found.expires_at_ms <= nowMs) return undefined;
  const user = await db.selectFrom("users").selectAll().where("id", "=", found.user_id).executeTakeFirst();
  return user && { token: toAccessToken(found), user: toUserRecord(user) };
}

export async function touchAccessToken(
  db: Kysely<Schema>,
  id: string,
  used: { readonly nowMs: number },
): Promise<void> {
  await db.updateTable("access_tokens").set({ last_used_at_ms: used.nowMs }).where("id", "=", id).execute();
}

/** A user's, the newest first, after the token `after` when that is given. */
export async function accessTokensOf(
  db: Kysely<Schema>,
  userId: string,
  page: { readonly limit: number; readonly after?: string | undefined },
): Promise<readonly AccessTokenRecord[]> {
  let query = db.selectFrom("access_tokens").selectAll().where("user_id", "=", userId);
  if (page.after !== undefined) query = query.where("id", "<", page.after);
  const rows = await query.orderBy("id", "desc").limit(page.limit).execute();
  return rows.map(toAccessToken);
}

/** How many of a user's tokens can be used. */
export async function liveAccessTokensOf(db: Kysely<Schema>, userId: string, nowMs: number): Promise<number> {
  const { count } = await db
    .selectFrom("access_tokens")
    .select((eb) => eb.fn.countAll<number>().as("count"))
    .where("user_id", "=", userId)
    .where("revoked_at_ms", "is", null)
    .where((eb) => eb.or([eb("expires_at_ms", "is", null), eb("expires_at_ms", ">", nowMs)]))
    .executeTakeFirstOrThrow();
  return Number(count);
}

/** Revokes one token of that user; undefined: there is none that is not revoked. */
export async function revokeAccessToken(
  db: Kysely<Schema>,
  which: { readonly id: string; readonly userId: string },
  nowMs: number,
): Promise<AccessTokenRecord | undefined> {
  const row = await db
    .updateTable("access_tokens")
    .set({ revoked_at_ms: nowMs })
    .where("id", "=", which.id)
    .where("user_id", "=", which.userId)
    .where("revoked_at_ms", "is", null)
    .returningAll()
    .executeTakeFirst();
  return row && toAccessToken(row);
}

export async function revokeAccessTokensOf(db: Kysely<Schema>, userId: string, nowMs: number): Promise<void> {
  await db
    .updateTable("access_tokens")
    .set({ revoked_at_ms: nowMs })
    .where("user_id", "=", userId)
    .where("revoked_at_ms", "is", null)
    .execute();
}

const SCOPES = z.array(z.string());

function toAccessToken(row: Selectable<Schema["access_tokens"]>): AccessTokenRecord {
  return {
    id: row.id,
    userId: row.user_id,
    name: row.name,
    prefix: row.prefix,
    scopes: SCOPES.parse(JSON.parse(row.scopes)),
    createdAtMs: row.created_at_ms,
    expiresAtMs: row.expires_at_ms ?? undefined,
    revokedAtMs: row.revoked_at_ms ?? undefined,
    lastUsedAtMs: row.last_used_at_ms ?? undefined,
  };
}
