import type { Kysely, Selectable } from "kysely";

import type { Schema } from "./schema.ts";

export type LinkPurpose = Schema["one_time_links"]["purpose"];

/** What a link stands for. The secret in it is not here. */
export interface LinkRecord {
  readonly id: string;
  readonly purpose: LinkPurpose;
  /** undefined: set-up, when there is nobody yet. */
  readonly userId: string | undefined;
  /** The address it was sent to. */
  readonly email: string | undefined;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
}

export interface NewLink extends LinkRecord {
  /** SHA-256 of the link's secret. Unique. */
  readonly hash: string;
}

/** Keeps a link, and sweeps out what ran out. Those made before stay good: a stranger who asks for a link cannot void the owner's. */
export async function insertLink(db: Kysely<Schema>, link: NewLink): Promise<void> {
  await db.deleteFrom("one_time_links").where("expires_at_ms", "<=", link.createdAtMs).execute();
  await db
    .insertInto("one_time_links")
    .values({
      id: link.id,
      purpose: link.purpose,
      user_id: link.userId ?? null,
      email: link.email ?? null,
      hash: link.hash,
      created_at_ms: link.createdAtMs,
      expires_at_ms: link.expiresAtMs,
      used_at_ms: null,
    })
    .execute();
}

/** Uses up the link whose secret hashes to `hash`; undefined: there is none, it ran out, or somebody was faster. */
export async function useLink(
  db: Kysely<Schema>,
  wanted: { readonly hash: string; readonly purpose: LinkPurpose },
  nowMs: number,
): Promise<LinkRecord | undefined> {
  const row = await db
    .updateTable("one_time_links")
    .set({ used_at_ms: nowMs })
    .where("hash", "=", wanted.hash)
    .where("purpose", "=", wanted.purpose)
    .where("used_at_ms", "is", null)
    .where("expires_at_ms", ">", nowMs)
    .returningAll()
    .executeTakeFirst();
  return row && toLink(row);
}

/** The link, without using it up: to look at before the expensive part. */
export async function openLink(
  db: Kysely<Schema>,
  wanted: { readonly hash: string; readonly purpose: LinkPurpose },
  nowMs: number,
): Promise<LinkRecord | undefined> {
  const row = await db
    .selectFrom("one_time_links")
    .selectAll()
    .where("hash", "=", wanted.hash)
    .where("purpose", "=", wanted.purpose)
    .where("used_at_ms", "is", null)
    .where("expires_at_ms", ">", nowMs)
    .executeTakeFirst();
  return row && toLink(row);
}

/** Removes all links for that purpose of one user, or of nobody. */
export async function endLinks(db: Kysely<Schema>, purpose: LinkPurpose, userId: string | undefined): Promise<void> {
  const query = db.deleteFrom("one_time_links").where("purpose", "=", purpose);
  await (userId === undefined ? query.where("user_id", "is", null) : query.where("user_id", "=", userId)).execute();
}

function toLink(row: Selectable<Schema["one_time_links"]>): LinkRecord {
  return {
    id: row.id,
    purpose: row.purpose,
    userId: row.user_id ?? undefined,
    email: row.email ?? undefined,
    createdAtMs: row.created_at_ms,
    expiresAtMs: row.expires_at_ms,
  };
}
