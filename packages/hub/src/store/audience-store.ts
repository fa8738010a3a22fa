import type { Kysely } from "kysely";

import { whereActive } from "./membership-store.ts";
import type { Schema } from "./schema.ts";

/** The groups where a user is an active member now, and those among them that are his. */
export async function groupsOfViewer(
  db: Kysely<Schema>,
  userId: string,
  nowMs: number,
): Promise<{ readonly groupIds: readonly string[]; readonly ownedGroupIds: readonly string[] }> {
  const rows = await db
    .selectFrom("memberships")
    .innerJoin("groups", "groups.id", "memberships.group_id")
    .select(["groups.id", "groups.owner_id"])
    .where("memberships.user_id", "=", userId)
    .where("groups.deleted_at_ms", "is", null)
    .where((eb) => whereActive(eb, nowMs))
    .execute();
  return {
    groupIds: rows.map(({ id }) => id),
    ownedGroupIds: rows.filter(({ owner_id }) => owner_id === userId).map(({ id }) => id),
  };
}

/** Whose keys these are, and in which group; undefined: the operator's. Ids that are none are left out. */
export async function ownersOfKeys(
  db: Kysely<Schema>,
  ids: readonly string[],
): Promise<ReadonlyMap<string, { readonly ownerId: string | undefined; readonly groupId: string | undefined }>> {
  if (ids.length === 0) return new Map();
  const rows = await db.selectFrom("keys").select(["id", "owner_id", "group_id"]).where("id", "in", ids).execute();
  return new Map(
    rows.map((row) => [row.id, { ownerId: row.owner_id ?? undefined, groupId: row.group_id ?? undefined }]),
  );
}

/** The largest revision so far. */
export async function currentRevision(db: Kysely<Schema>): Promise<number> {
  const row = await db.selectFrom("meta").select("value").where("name", "=", "access_revision").executeTakeFirst();
  return Number(row?.value ?? 0);
}
