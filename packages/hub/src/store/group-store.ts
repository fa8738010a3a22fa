import type { Kysely, Selectable } from "kysely";

import type { GroupKind } from "./access-schema.ts";
import type { AccessTransaction } from "./database.ts";
import { type MemberLimits, parseMemberLimits } from "./member-limits.ts";
import type { Page } from "./page.ts";
import type { Schema } from "./schema.ts";

export interface NewGroup {
  readonly id: string;
  readonly kind: GroupKind;
  /** Lower case; unique among groups that are not deleted. */
  readonly slug: string;
  readonly name: string;
  readonly description: string;
  /** undefined: the operator's. */
  readonly ownerId: string | undefined;
  /** Of each member, unless the membership says otherwise. */
  readonly memberLimits: MemberLimits;
  readonly createdAtMs: number;
}

export interface GroupRecord extends NewGroup {
  /** Grows with each change of what people see of it. */
  readonly version: number;
  readonly revision: number;
}

export type GroupChange = Partial<Pick<NewGroup, "slug" | "name" | "description" | "ownerId" | "memberLimits">>;

/** Keeps a group. The caller has checked the slug with {@link isSlugFree} in the same transaction. */
export async function insertGroup({ db, revision }: AccessTransaction, group: NewGroup): Promise<GroupRecord> {
  const row = await db
    .insertInto("groups")
    .values({
      id: group.id,
      kind: group.kind,
      slug: group.slug,
      name: group.name,
      description: group.description,
      owner_id: group.ownerId ?? null,
      member_limits: JSON.stringify(group.memberLimits),
      created_at_ms: group.createdAtMs,
      deleted_at_ms: null,
      version: 1,
      revision,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  return toGroup(row);
}

/** Whether a group may be called so. Holds until the end of the transaction: writers of groups come one at a time. */
export async function isSlugFree(db: Kysely<Schema>, slug: string): Promise<boolean> {
  const taken = await db
    .selectFrom("groups")
    .select("id")
    .where("slug", "=", slug)
    .where("deleted_at_ms", "is", null)
    .executeTakeFirst();
  return taken === undefined;
}

/** A group that is not deleted. */
export async function findGroup(db: Kysely<Schema>, id: string): Promise<GroupRecord | undefined> {
  const row = await db
    .selectFrom("groups")
    .selectAll()
    .where("id", "=", id)
    .where("deleted_at_ms", "is", null)
    .executeTakeFirst();
  return row && toGroup(row);
}

/** The group that is called so now. */
export async function findGroupBySlug(db: Kysely<Schema>, slug: string): Promise<GroupRecord | undefined> {
  const row = await db
    .selectFrom("groups")
    .selectAll()
    .where("slug", "=", slug)
    .where("deleted_at_ms", "is", null)
    .executeTakeFirst();
  return row && toGroup(row);
}

/**
 * Groups that are not deleted, the newest first.
 *
 * @param seenBy Only those where the user is a member now, and public ones that did not ban them; undefined: all.
 */
export async function listGroups(
  db: Kysely<Schema>,
  seenBy: { readonly userId: string; readonly nowMs: number } | undefined,
  page: Page,
): Promise<readonly GroupRecord[]> {
  let query = db.selectFrom("groups").selectAll().where("deleted_at_ms", "is", null);
  if (seenBy !== undefined) {
    const mine = db
      .selectFrom("memberships")
      .select("group_id")
      .where("user_id", "=", seenBy.userId)
      .where("status", "=", "active")
      .where((eb) => eb.or([eb("expires_at_ms", "is", null), eb("expires_at_ms", ">", seenBy.nowMs)]));
    const banned = db
      .selectFrom("memberships")
      .select("group_id")
      .where("user_id", "=", seenBy.userId)
      .where("status", "=", "banned");
    query = query.where((eb) =>
      eb.or([eb("id", "in", mine), eb.and([eb("kind", "=", "public"), eb("id", "not in", banned)])]),
    );
  }
  if (page.after !== undefined) query = query.where("id", "<", page.after);
  const rows = await query.orderBy("id", "desc").limit(page.limit).execute();
  return rows.map(toGroup);
}

/** How many groups a user owns now. */
export async function countGroupsOwnedBy(db: Kysely<Schema>, userId: string): Promise<number> {
  const { count } = await db
    .selectFrom("groups")
    .select((eb) => eb.fn.countAll().as("count"))
    .where("owner_id", "=", userId)
    .where("deleted_at_ms", "is", null)
    .executeTakeFirstOrThrow();
  return Number(count);
}

/** The group after the change; undefined when there is none. A new slug was checked by the caller, as for a new group. */
export async function changeGroup(
  { db, revision }: AccessTransaction,
  id: string,
  change: GroupChange,
): Promise<GroupRecord | undefined> {
  const { slug, name, description, memberLimits } = change;
  const row = await db
    .updateTable("groups")
    .set((eb) => ({
      ...(slug !== undefined && { slug }),
      ...(name !== undefined && { name }),
      ...(description !== undefined && { description }),
      ...("ownerId" in change && { owner_id: change.ownerId ?? null }),
      ...(memberLimits !== undefined && { member_limits: JSON.stringify(memberLimits) }),
      version: eb("version", "+", 1),
      revision,
    }))
    .where("id", "=", id)
    .where("deleted_at_ms", "is", null)
    .returningAll()
    .executeTakeFirst();
  return row && toGroup(row);
}

/** Its slug is free from then on. The row stays, so that running hubs and keys can tell that it is gone. */
export async function deleteGroup({ db, revision }: AccessTransaction, id: string, nowMs: number): Promise<void> {
  await db
    .updateTable("groups")
    .set((eb) => ({ deleted_at_ms: nowMs, version: eb("version", "+", 1), revision }))
    .where("id", "=", id)
    .where("deleted_at_ms", "is", null)
    .execute();
}

/** Running hubs look at the group anew, although nothing changed that people see of it: whose model names are whose, say. */
export async function touchGroup({ db, revision }: AccessTransaction, id: string): Promise<void> {
  await db.updateTable("groups").set({ revision }).where("id", "=", id).execute();
}

function toGroup(row: Selectable<Schema["groups"]>): GroupRecord {
  return {
    id: row.id,
    kind: row.kind,
    slug: row.slug,
    name: row.name,
    description: row.description,
    ownerId: row.owner_id ?? undefined,
    memberLimits: parseMemberLimits(row.member_limits),
    createdAtMs: row.created_at_ms,
    version: row.version,
    revision: row.revision,
  };
}
