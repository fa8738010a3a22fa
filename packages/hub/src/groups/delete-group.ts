import type { Kysely } from "kysely";

import { AppError } from "../errors.ts";
import type { Actor } from "../identity/actor.ts";
import { checkVersion } from "../identity/check-version.ts";
import { audit } from "../store/audit-store.ts";
import { deleteGroup as deleteGroupRecord, type GroupRecord } from "../store/group-store.ts";
import { countOpenInvites, revokeInvitesOf } from "../store/invite-store.ts";
import { countMemberships } from "../store/membership-store.ts";
import { deleteClaims } from "../store/model-claim-store.ts";
import { dropOpenProviderRequests } from "../store/provider-request-store.ts";
import type { Schema } from "../store/schema.ts";
import { managedGroup } from "./group-access.ts";
import { GROUP_LIMITS } from "./group-limits.ts";
import type { GroupWorkersDeps } from "./group-workers.ts";
import type { GroupsDeps } from "./groups-deps.ts";
import { objectOf, shownInAudit } from "./groups.ts";

/** What a deletion would break. */
export interface DeletionPreview {
  /** Its version is what the deletion asks for. */
  readonly group: GroupRecord;
  /** API keys that were not revoked and use the group, first or to fall back to. */
  readonly keys: number;
  /** Whose they are, most keys first; the first 100. */
  readonly keyOwners: readonly { readonly userId: string | undefined; readonly name: string; readonly keys: number }[];
  /** Active ones, the owner included. */
  readonly members: number;
  readonly invites: number;
  /** Names of those that serve the group now; the first 100. */
  readonly workers: readonly string[];
  readonly workersInAll: number;
}

/** @throws AppError `not_found`, `forbidden`, `conflict` */
export async function previewDeletion(deps: GroupWorkersDeps, actor: Actor, groupId: string): Promise<DeletionPreview> {
  const nowMs = deps.now();
  const { db } = deps.database;
  const group = await managedGroup(db, actor, groupId, nowMs);
  checkDeletable(group);
  const workers = deps.fleet.workersIn(groupId);
  const names = workers.map(({ workerId }) => workerId).toSorted();
  return {
    group,
    ...(await keysOf(db, groupId)),
    members: await countMemberships(db, { groupId }, nowMs),
    invites: await countOpenInvites(db, groupId, nowMs),
    workers: names.slice(0, GROUP_LIMITS.maxPreviewed),
    workersInAll: names.length,
  };
}

/**
 * Deletes a group: its slug is free, its invites and claims on model names are gone, its keys are refused with a clear error,
 * and what they run ends. Nothing brings it back.
 *
 * @param asked.version What the preview showed; undefined: whatever it is now.
 * @throws AppError `not_found`, `forbidden`, `conflict`, `precondition_failed`
 */
export async function deleteGroup(
  deps: GroupsDeps,
  actor: Actor,
  asked: { readonly groupId: string; readonly version: number | undefined },
): Promise<void> {
  const nowMs = deps.now();
  await deps.database.write(async (transaction) => {
    const { db } = transaction;
    const group = await managedGroup(db, actor, asked.groupId, nowMs);
    checkDeletable(group);
    checkVersion(group, asked.version);
    await revokeInvitesOf(db, { groupId: group.id }, nowMs);
    await deleteClaims(db, { groupId: group.id });
    await dropOpenProviderRequests(db, { groupId: group.id });
    await deleteGroupRecord(transaction, group.id, nowMs);
    await audit(db, actor, { ...objectOf(group), action: "group.delete", before: shownInAudit(group) }, nowMs);
  });
}

function checkDeletable({ kind }: GroupRecord): void {
  if (kind === "operator") throw new AppError("conflict", "The operator's group cannot be deleted.");
}

async function keysOf(db: Kysely<Schema>, groupId: string): Promise<Pick<DeletionPreview, "keys" | "keyOwners">> {
  const rows = await db
    .selectFrom("keys")
    .leftJoin("users", "users.id", "keys.owner_id")
    .select((eb) => ["keys.owner_id", "users.name", eb.fn.countAll().as("count")])
    .where("keys.revoked_at_ms", "is", null)
    .where((eb) => eb.or([eb("keys.group_id", "=", groupId), eb("keys.fallback_group_id", "=", groupId)]))
    .groupBy(["keys.owner_id", "users.name"])
    .orderBy("count", "desc")
    .execute();
  const owners = rows.map(({ owner_id: userId, name, count }) => ({
    userId: userId ?? undefined,
    name: name ?? "operator",
    keys: Number(count),
  }));
  return {
    keys: owners.reduce((sum, { keys }) => sum + keys, 0),
    keyOwners: owners.slice(0, GROUP_LIMITS.maxPreviewed),
  };
}
