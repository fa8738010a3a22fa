import type { Kysely } from "kysely";

import { AppError } from "../errors.ts";
import { type Actor, isAdmin, seesAll, userIdOf } from "../identity/actor.ts";
import { findGroup, type GroupRecord } from "../store/group-store.ts";
import { findMembership, isActiveMembership, type MembershipRecord } from "../store/membership-store.ts";
import type { Schema } from "../store/schema.ts";

/** A group, and what the actor is to it. */
export interface Standing {
  readonly group: GroupRecord;
  /** Only while it is active. */
  readonly membership: MembershipRecord | undefined;
  /** The group's owner, or whoever runs the hub. */
  readonly canManage: boolean;
}

/**
 * A group that the actor may see: a member does, everybody a public one, and whoever runs the hub.
 *
 * @throws AppError `not_found` for any other: nobody learns which ids there are.
 */
export async function seenGroup(db: Kysely<Schema>, actor: Actor, groupId: string, nowMs: number): Promise<Standing> {
  const group = await findGroup(db, groupId);
  if (group === undefined) throw noGroup();
  const userId = userIdOf(actor);
  const found = userId === undefined ? undefined : await findMembership(db, { groupId, userId });
  const standing = standingOf(actor, group, found, nowMs);
  const isOpen = group.kind === "public" && found?.status !== "banned";
  if (standing.membership === undefined && !isOpen && !seesAll(actor)) throw noGroup();
  return standing;
}

/** What the actor is to a group, by what there is between them. */
export function standingOf(
  actor: Actor,
  group: GroupRecord,
  found: MembershipRecord | undefined,
  nowMs: number,
): Standing {
  const isOwner = actor.kind === "user" && group.ownerId === actor.user.id;
  return {
    group,
    membership: found && isActiveMembership(found, nowMs) ? found : undefined,
    canManage: isOwner || isAdmin(actor),
  };
}

/**
 * A group that the actor may manage.
 *
 * @throws AppError `not_found` when they may not even see it, else `forbidden`.
 */
export async function managedGroup(
  db: Kysely<Schema>,
  actor: Actor,
  groupId: string,
  nowMs: number,
): Promise<GroupRecord> {
  const { group, canManage } = await seenGroup(db, actor, groupId, nowMs);
  if (!canManage) throw new AppError("forbidden", "Only the group's owner may do this.");
  return group;
}

export function noGroup(): AppError {
  return new AppError("not_found", "There is no such group, or you may not see it.");
}
