import type { Kysely, Selectable } from "kysely";

import type { MemberRole } from "./access-schema.ts";
import type { Page } from "./page.ts";
import type { Schema } from "./schema.ts";

/** What an invite makes of who redeems it. Nobody becomes an owner so. */
export type InviteRole = Exclude<MemberRole, "owner">;

/** An invite to keep. The code itself is not here and is kept nowhere. */
export interface NewInvite {
  readonly id: string;
  /** undefined: an invitation to the hub alone. */
  readonly groupId: string | undefined;
  readonly role: InviteRole;
  /** SHA-256 of the code, base64url. Unique. */
  readonly hash: string;
  /** The code's first four characters, to tell codes apart. */
  readonly prefix: string;
  /** At least 1. */
  readonly maxUses: number;
  readonly note: string;
  /** undefined: the operator. */
  readonly createdBy: string | undefined;
  readonly createdAtMs: number;
  readonly expiresAtMs: number | undefined;
}

export interface InviteRecord extends NewInvite {
  /** Never more than `maxUses`. */
  readonly uses: number;
  readonly revokedAtMs: number | undefined;
  readonly version: number;
}

export interface InviteUse {
  readonly userId: string;
  readonly name: string;
  readonly email: string;
  /** The last time, when it was more than once. */
  readonly usedAtMs: number;
}

/** Old invites dropped at once; each new one drops some. */
const MAX_DROPPED = 500;

/** Running hubs keep no invites in memory, so that none has to hear of what changes here. */
export async function insertInvite(db: Kysely<Schema>, invite: NewInvite): Promise<InviteRecord> {
  const row = await db
    .insertInto("invites")
    .values({
      id: invite.id,
      group_id: invite.groupId ?? null,
      role: invite.role,
      hash: invite.hash,
      prefix: invite.prefix,
      max_uses: invite.maxUses,
      uses: 0,
      note: invite.note,
      created_by: invite.createdBy ?? null,
      created_at_ms: invite.createdAtMs,
      expires_at_ms: invite.expiresAtMs ?? null,
      revoked_at_ms: null,
      version: 1,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  return toInvite(row);
}

export async function findInvite(
  db: Kysely<Schema>,
  by: { readonly id: string } | { readonly hash: string },
): Promise<InviteRecord | undefined> {
  const query = db.selectFrom("invites").selectAll();
  const row = await ("id" in by ? query.where("id", "=", by.id) : query.where("hash", "=", by.hash)).executeTakeFirst();
  return row && toInvite(row);
}

/** The invites of a group, or those to the hub alone (`undefined`), the newest first. */
export async function listInvites(
  db: Kysely<Schema>,
  groupId: string | undefined,
  page: Page,
): Promise<readonly InviteRecord[]> {
  let query = db.selectFrom("invites").selectAll();
  query = groupId === undefined ? query.where("group_id", "is", null) : query.where("group_id", "=", groupId);
  if (page.after !== undefined) query = query.where("id", "<", page.after);
  const rows = await query.orderBy("id", "desc").limit(page.limit).execute();
  return rows.map(toInvite);
}

/** How many invites of a group, or to the hub alone, could still be used as far as they themselves say. */
export async function countOpenInvites(
  db: Kysely<Schema>,
  groupId: string | undefined,
  nowMs: number,
): Promise<number> {
  const query = db
    .selectFrom("invites")
    .select((eb) => eb.fn.countAll().as("count"))
    .where("revoked_at_ms", "is", null)
    .where((eb) => eb.or([eb("expires_at_ms", "is", null), eb("expires_at_ms", ">", nowMs)]))
    .whereRef("uses", "<", "max_uses");
  const { count } = await (
    groupId === undefined ? query.where("group_id", "is", null) : query.where("group_id", "=", groupId)
  ).executeTakeFirstOrThrow();
  return Number(count);
}

/** The invite after it was revoked; undefined when it was revoked before, or is not there. */
export async function revokeInvite(db: Kysely<Schema>, id: string, nowMs: number): Promise<InviteRecord | undefined> {
  const row = await db
    .updateTable("invites")
    .set((eb) => ({ revoked_at_ms: nowMs, version: eb("version", "+", 1) }))
    .where("id", "=", id)
    .where("revoked_at_ms", "is", null)
    .returningAll()
    .executeTakeFirst();
  return row && toInvite(row);
}

/** Revokes what is left of a group's invites; with `createdBy` only of those that this user made. */
export async function revokeInvitesOf(
  db: Kysely<Schema>,
  of: { readonly groupId: string; readonly createdBy?: string | undefined },
  nowMs: number,
): Promise<void> {
  let query = db
    .updateTable("invites")
    .set((eb) => ({ revoked_at_ms: nowMs, version: eb("version", "+", 1) }))
    .where("group_id", "=", of.groupId)
    .where("revoked_at_ms", "is", null);
  if (of.createdBy !== undefined) query = query.where("created_by", "=", of.createdBy);
  await query.execute();
}

/** Drops the invites of a group, or to the hub alone, that could be used no more at `beforeMs`, with the notes of who used them. */
export async function deleteEndedInvites(
  db: Kysely<Schema>,
  groupId: string | undefined,
  beforeMs: number,
): Promise<void> {
  let ended = db
    .selectFrom("invites")
    .select("id")
    .where((eb) =>
      eb.or([
        eb("revoked_at_ms", "<", beforeMs),
        eb("expires_at_ms", "<", beforeMs),
        eb.and([eb("uses", ">=", eb.ref("max_uses")), eb("created_at_ms", "<", beforeMs)]),
      ]),
    );
  ended = groupId === undefined ? ended.where("group_id", "is", null) : ended.where("group_id", "=", groupId);
  const ids = (await ended.limit(MAX_DROPPED).execute()).map(({ id }) => id);
  if (ids.length === 0) return;
  await db.deleteFrom("invite_uses").where("invite_id", "in", ids).execute();
  await db.deleteFrom("device_joins").where("invite_id", "in", ids).execute();
  await db.deleteFrom("invites").where("id", "in", ids).execute();
}

/**
 * Takes one use of an invite. One statement decides and counts: however many ask at once, no more than `maxUses` get one.
 * Returns whether there was one.
 */
export async function takeInviteUse(db: Kysely<Schema>, id: string, nowMs: number): Promise<boolean> {
  const row = await db
    .updateTable("invites")
    .set((eb) => ({ uses: eb("uses", "+", 1), version: eb("version", "+", 1) }))
    .where("id", "=", id)
    .where("revoked_at_ms", "is", null)
    .where((eb) => eb.or([eb("expires_at_ms", "is", null), eb("expires_at_ms", ">", nowMs)]))
    .whereRef("uses", "<", "max_uses")
    .returning("id")
    .executeTakeFirst();
  return row !== undefined;
}

/** Notes who took a use. */
export async function recordInviteUse(
  db: Kysely<Schema>,
  use: { readonly inviteId: string; readonly userId: string },
  nowMs: number,
): Promise<void> {
  await db
    .insertInto("invite_uses")
    .values({ invite_id: use.inviteId, user_id: use.userId, used_at_ms: nowMs })
    .onConflict((conflict) => conflict.columns(["invite_id", "user_id"]).doUpdateSet({ used_at_ms: nowMs }))
    .execute();
}

/** Who used an invite, by their ids. */
export async function listInviteUses(db: Kysely<Schema>, inviteId: string, page: Page): Promise<readonly InviteUse[]> {
  let query = db
    .selectFrom("invite_uses")
    .innerJoin("users", "users.id", "invite_uses.user_id")
    .select(["invite_uses.user_id", "invite_uses.used_at_ms", "users.name", "users.email"])
    .where("invite_uses.invite_id", "=", inviteId);
  if (page.after !== undefined) query = query.where("invite_uses.user_id", ">", page.after);
  const rows = await query.orderBy("invite_uses.user_id").limit(page.limit).execute();
  return rows.map((row) => ({ userId: row.user_id, name: row.name, email: row.email, usedAtMs: row.used_at_ms }));
}

/** Whether a user may invite now: into a group its owner may, anywhere an admin. */
export async function mayInvite(db: Kysely<Schema>, userId: string, groupId: string | undefined): Promise<boolean> {
  const owned = db
    .selectFrom("groups")
    .select("owner_id")
    .where("id", "=", groupId ?? "")
    .where("deleted_at_ms", "is", null);
  const row = await db
    .selectFrom("users")
    .select("id")
    .where("id", "=", userId)
    .where("disabled_at_ms", "is", null)
    .where((eb) => eb.or([eb("role", "in", ["root", "admin"]), eb("id", "in", owned)]))
    .executeTakeFirst();
  return row !== undefined;
}

function toInvite(row: Selectable<Schema["invites"]>): InviteRecord {
  // The table's check keeps `owner` out.
  const role: InviteRole = row.role === "provider" ? "provider" : "member";
  return {
    id: row.id,
    groupId: row.group_id ?? undefined,
    role,
    hash: row.hash,
    prefix: row.prefix,
    maxUses: row.max_uses,
    uses: row.uses,
    note: row.note,
    createdBy: row.created_by ?? undefined,
    createdAtMs: row.created_at_ms,
    expiresAtMs: row.expires_at_ms ?? undefined,
    revokedAtMs: row.revoked_at_ms ?? undefined,
    version: row.version,
  };
}
