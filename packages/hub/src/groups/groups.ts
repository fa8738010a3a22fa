import { AppError } from "../errors.ts";
import { type Actor, isAdmin, seesAll, userIdOf } from "../identity/actor.ts";
import { checkVersion } from "../identity/check-version.ts";
import { newId } from "../new-id.ts";
import { audit, type AuditValues, difference } from "../store/audit-store.ts";
import type { AccessTransaction } from "../store/database.ts";
import {
  changeGroup,
  countGroupsOwnedBy,
  findGroupBySlug,
  type GroupChange,
  type GroupRecord,
  insertGroup,
  isSlugFree,
  listGroups as listGroupRecords,
} from "../store/group-store.ts";
import { revokeInvitesOf } from "../store/invite-store.ts";
import type { MemberLimits } from "../store/member-limits.ts";
import {
  changeMembership,
  findMembership,
  isActiveMembership,
  type MembershipRecord,
  membershipsOf,
  putMembership,
} from "../store/membership-store.ts";
import type { Page } from "../store/page.ts";
import { userById } from "../store/user-store.ts";
import { managedGroup, noGroup, seenGroup, standingOf, type Standing } from "./group-access.ts";
import { GROUP_LIMITS } from "./group-limits.ts";
import { checkedName, checkedText, checkSlug, refused } from "./group-text.ts";
import type { GroupsDeps } from "./groups-deps.ts";

export interface GroupInput {
  readonly kind: "public" | "private";
  readonly slug: string;
  readonly name: string;
  readonly description?: string | undefined;
  readonly memberLimits?: MemberLimits | undefined;
  /** Of a private group, for the operator's command to say; left out: the actor. */
  readonly ownerId?: string | undefined;
}

export type GroupPatch = Pick<GroupChange, "slug" | "name" | "description" | "memberLimits">;

/**
 * Makes a group. A private one belongs to the user who makes it, and they are its owner; a public one, and one that the
 * operator makes, to the operator.
 *
 * @throws AppError `forbidden`, `conflict`, `invalid_request`
 */
export async function createGroup(deps: GroupsDeps, actor: Actor, input: GroupInput): Promise<GroupRecord> {
  const { kind, slug, memberLimits = {} } = input;
  checkSlug(slug);
  const name = checkedName(input.name);
  const description = checkedText(input.description ?? "", "description", GROUP_LIMITS.maxDescriptionLength);
  checkMayCreate(deps, actor, input);
  const nowMs = deps.now();
  const ownerId = kind === "private" ? (input.ownerId ?? userIdOf(actor)) : undefined;
  return deps.database.write(async (transaction) => {
    const { db } = transaction;
    await checkSlugIsFree(transaction, slug);
    if (ownerId !== undefined) await checkMayOwnMore(deps, transaction, ownerId);
    const group = await insertGroup(transaction, {
      id: newId("group", nowMs),
      kind,
      slug,
      name,
      description,
      ownerId,
      memberLimits,
      createdAtMs: nowMs,
    });
    if (ownerId !== undefined) {
      await putMembership(transaction, { groupId: group.id, userId: ownerId, role: "owner", joinedAtMs: nowMs });
    }
    await audit(db, actor, { ...objectOf(group), action: "group.create", after: shownInAudit(group) }, nowMs);
    return group;
  });
}

/** @throws AppError `not_found` */
export async function readGroup(deps: GroupsDeps, actor: Actor, groupId: string): Promise<Standing> {
  return seenGroup(deps.database.db, actor, groupId, deps.now());
}

/** A group by its id, or by what it is called now. For people who type. @throws AppError `not_found` */
export async function groupNamed(deps: GroupsDeps, actor: Actor, idOrSlug: string): Promise<GroupRecord> {
  const { db } = deps.database;
  // No slug has an underscore, and every id has.
  const id = idOrSlug.includes("_") ? idOrSlug : (await findGroupBySlug(db, idOrSlug))?.id;
  if (id === undefined) throw noGroup();
  return (await seenGroup(db, actor, id, deps.now())).group;
}

/** The actor's groups and public ones, the newest first; `all`: every group, for those who see all. @throws AppError `forbidden` */
export async function listGroups(
  deps: GroupsDeps,
  actor: Actor,
  options: { readonly all: boolean },
  page: Page,
): Promise<readonly Standing[]> {
  const nowMs = deps.now();
  const { db } = deps.database;
  const userId = userIdOf(actor);
  if (options.all && !seesAll(actor)) throw new AppError("forbidden", "Only whoever runs the hub sees all groups.");
  const seenBy = options.all || userId === undefined ? undefined : { userId, nowMs };
  const found = await listGroupRecords(db, seenBy, page);
  const ids = found.map(({ id }) => id);
  const memberships = userId === undefined ? undefined : await membershipsOf(db, userId, ids);
  return found.map((group) => standingOf(actor, group, memberships?.get(group.id), nowMs));
}

/**
 * Changes what people see of a group and what its members may use. Keys know it by its id: a new slug breaks none.
 *
 * @param version What the caller saw last; undefined: whatever it is.
 * @throws AppError `not_found`, `forbidden`, `conflict`, `precondition_failed`, `invalid_request`
 */
export async function updateGroup(
  deps: GroupsDeps,
  actor: Actor,
  asked: { readonly groupId: string; readonly version: number | undefined; readonly patch: GroupPatch },
): Promise<GroupRecord> {
  const nowMs = deps.now();
  const patch = checkedPatch(asked.patch);
  return deps.database.write(async (transaction) => {
    const before = await managedGroup(transaction.db, actor, asked.groupId, nowMs);
    checkVersion(before, asked.version);
    if (patch.slug !== undefined && patch.slug !== before.slug) {
      if (before.kind === "operator") throw new AppError("conflict", "The operator's group keeps its slug.");
      checkSlug(patch.slug);
      await checkSlugIsFree(transaction, patch.slug);
    }
    const after = await changeGroup(transaction, before.id, patch);
    if (after === undefined) throw noGroup();
    await audit(
      transaction.db,
      actor,
      { ...objectOf(after), action: "group.update", ...difference(shownInAudit(before), shownInAudit(after)) },
      nowMs,
    );
    return after;
  });
}

/**
 * Gives a private group to one of its active members. It takes effect at once: who is asked first could keep a group whose
 * owner is gone from ever having another. The owner before stays as a provider, and their invites end.
 *
 * @throws AppError `not_found`, `forbidden`, `conflict`, `precondition_failed`, `invalid_request`
 */
export async function transferGroup(
  deps: GroupsDeps,
  actor: Actor,
  asked: { readonly groupId: string; readonly version: number | undefined; readonly userId: string },
): Promise<GroupRecord> {
  const nowMs = deps.now();
  return deps.database.write(async (transaction) => {
    const { db } = transaction;
    const { userId } = asked;
    const before = await managedGroup(db, actor, asked.groupId, nowMs);
    checkVersion(before, asked.version);
    if (before.kind !== "private") throw new AppError("conflict", "Only a private group can be given to somebody.");
    if (before.ownerId === userId) throw new AppError("conflict", "The group is theirs already.");
    await heirOf(transaction, { groupId: before.id, userId }, nowMs);
    await checkMayOwnMore(deps, transaction, userId);
    if (before.ownerId !== undefined) {
      await changeMembership(transaction, { groupId: before.id, userId: before.ownerId }, { role: "provider" });
      await revokeInvitesOf(db, { groupId: before.id, createdBy: before.ownerId }, nowMs);
    }
    const owner = { role: "owner", expiresAtMs: undefined, limits: undefined } as const;
    await changeMembership(transaction, { groupId: before.id, userId }, owner);
    const after = await changeGroup(transaction, before.id, { ownerId: userId });
    if (after === undefined) throw noGroup();
    const change = { before: { owner_id: before.ownerId ?? null }, after: { owner_id: userId } };
    await audit(db, actor, { ...objectOf(after), action: "group.transfer", ...change }, nowMs);
    return after;
  });
}

/** How the audit log knows a group. */
export function objectOf(group: Pick<GroupRecord, "id">): { objectType: "group"; objectId: string; groupId: string } {
  return { objectType: "group", objectId: group.id, groupId: group.id };
}

/** What of a group the audit log keeps. */
export function shownInAudit(group: GroupRecord): AuditValues {
  const { kind, slug, name, description, ownerId, memberLimits } = group;
  return { kind, slug, name, description, owner_id: ownerId ?? null, member_limits: memberLimits };
}

function checkMayCreate({ settings }: GroupsDeps, actor: Actor, { kind, ownerId }: GroupInput): void {
  if (ownerId !== undefined && actor.kind === "user" && ownerId !== actor.user.id) {
    throw new AppError("forbidden", "A group is made for oneself. Give it away afterwards.");
  }
  if (isAdmin(actor)) return;
  if (kind === "public") throw new AppError("forbidden", "Only whoever runs the hub makes public groups.");
  if (actor.kind === "user" && actor.user.role === "auditor") {
    throw new AppError("forbidden", "An auditor reads and changes nothing.");
  }
  if (actor.kind === "user" && settings.isMailOn && !actor.user.isEmailVerified) {
    throw new AppError("forbidden", "Confirm your e-mail address first, with the link that was sent to it.");
  }
}

async function checkSlugIsFree({ db }: AccessTransaction, slug: string): Promise<void> {
  if (await isSlugFree(db, slug)) return;
  throw new AppError("conflict", `slug: another group is called "${slug}".`, { param: "slug" });
}

async function checkMayOwnMore({ settings }: GroupsDeps, { db }: AccessTransaction, userId: string): Promise<void> {
  const { maxGroupsPerUser } = settings;
  if ((await countGroupsOwnedBy(db, userId)) < maxGroupsPerUser) return;
  throw new AppError("conflict", `A user owns at most ${maxGroupsPerUser} groups. Delete one, or give one away.`);
}

async function heirOf(
  { db }: AccessTransaction,
  key: { readonly groupId: string; readonly userId: string },
  nowMs: number,
): Promise<MembershipRecord> {
  const membership = await findMembership(db, key);
  const user = await userById(db, key.userId);
  const isHeir = membership !== undefined && isActiveMembership(membership, nowMs) && user?.disabledAtMs === undefined;
  if (!isHeir) throw refused("user_id", "user_id: must be an active member of the group.");
  return membership;
}

function checkedPatch(patch: GroupPatch): GroupPatch {
  const { slug, name, description, memberLimits } = patch;
  return {
    ...(slug !== undefined && { slug }),
    ...(name !== undefined && { name: checkedName(name) }),
    ...(description !== undefined && {
      description: checkedText(description, "description", GROUP_LIMITS.maxDescriptionLength),
    }),
    ...(memberLimits !== undefined && { memberLimits }),
  };
}
