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

/** Whose a key is. */
export interface KeyAudience {
  /** undefined: the operator. */
  readonly ownerId: string | undefined;
  /** undefined: the operator's. */
  readonly groupId: string | undefined;
  /** It may have been used in another group than this one. */
  readonly hasFallback: boolean;
}

/** Whose keys these are, and in which group. Ids that are none are left out. */
export async function ownersOfKeys(
  db: Kysely<Schema>,
  ids: readonly string[],
): Promise<ReadonlyMap<string, KeyAudience>> {
  if (ids.length === 0) return new Map();
  const columns = ["id", "owner_id", "group_id", "fallback_group_id"] as const;
  const rows = await db.selectFrom("keys").select(columns).where("id", "in", ids).execute();
  return new Map(
    rows.map((row) => [
      row.id,
      {
        ownerId: row.owner_id ?? undefined,
        groupId: row.group_id ?? undefined,
        hasFallback: row.fallback_group_id !== null,
      },
    ]),
  );
}

/** The largest revision so far. */
export async function currentRevision(db: Kysely<Schema>): Promise<number> {
  const row = await db.selectFrom("meta").select("value").where("name", "=", "access_revision").executeTakeFirst();
  return Number(row?.value ?? 0);
}
