import { AppError } from "../errors.ts";
import { type Actor, isAdmin, seesAll, userIdOf } from "../identity/actor.ts";
import { checkVersion } from "../identity/check-version.ts";
import { audit, type AuditEntry, type AuditValues } from "../store/audit-store.ts";
import type { AccessTransaction } from "../store/database.ts";
import { touchGroup, type GroupRecord } from "../store/group-store.ts";
import type { InviteRole } from "../store/invite-store.ts";
import type { MemberLimits } from "../store/member-limits.ts";
import {
  changeMembership,
  countMemberships,
  endMembership,
  findMembership,
  isActiveMembership,
  listMembers as listMemberRecords,
  type MemberRecord,
  type MembershipChange,
  type MembershipKey,
  type MembershipRecord,
  putMembership,
} from "../store/membership-store.ts";
import { deleteClaims } from "../store/model-claim-store.ts";
import type { Page } from "../store/page.ts";
import { dropOpenProviderRequests } from "../store/provider-request-store.ts";
import { userById } from "../store/user-store.ts";
import { managedGroup, seenGroup } from "./group-access.ts";
import { checkedExpiry } from "./group-text.ts";
import type { GroupsDeps } from "./groups-deps.ts";

/** A member as others see one. What only who manages the group is told is absent for others. */
export interface ShownMember extends Omit<MemberRecord, "email"> {
  readonly email: string | undefined;
}

/** null takes away: the member stays for ever, or has the group's limits. */
export interface MemberPatch {
  readonly role?: InviteRole | undefined;
  readonly expiresAtMs?: number | null | undefined;
  readonly limits?: MemberLimits | null | undefined;
}

/**
 * Members by their ids. Whoever manages the group sees those that left, were removed or banned as well, and e-mail addresses.
 * Users of a public group who are no members see none.
 *
 * @throws AppError `not_found`, `forbidden`
 */
export async function listMembers(
  deps: GroupsDeps,
  actor: Actor,
  groupId: string,
  page: Page,
): Promise<readonly ShownMember[]> {
  const nowMs = deps.now();
  const { db } = deps.database;
  const { membership, canManage } = await seenGroup(db, actor, groupId, nowMs);
  const isTold = canManage || seesAll(actor);
  if (!isTold && membership === undefined) throw new AppError("forbidden", "Only members see who is a member.");
  const members = await listMemberRecords(db, { groupId, ...(!isTold && { activeAtMs: nowMs }) }, page);
  return members.map((member) => (isTold ? member : withoutSecrets(member)));
}

/** One member, active or not, as {@link listMembers} shows them. @throws AppError `not_found`, `forbidden` */
export async function readMember(deps: GroupsDeps, actor: Actor, key: MembershipKey): Promise<ShownMember> {
  const nowMs = deps.now();
  const { db } = deps.database;
  const { membership, canManage } = await seenGroup(db, actor, key.groupId, nowMs);
  const isTold = canManage || seesAll(actor);
  if (!isTold && membership === undefined) throw new AppError("forbidden", "Only members see who is a member.");
  const [member] = await listMemberRecords(db, { ...key, ...(!isTold && { activeAtMs: nowMs }) }, { limit: 1 });
  if (member === undefined) throw noMember();
  return isTold || key.userId === userIdOf(actor) ? member : withoutSecrets(member);
}

/**
 * Changes a member's role, end or limits. The owner has none to change.
 *
 * @throws AppError `not_found`, `forbidden`, `conflict`, `precondition_failed`, `invalid_request`
 */
export async function updateMember(
  deps: GroupsDeps,
  actor: Actor,
  asked: { readonly key: MembershipKey; readonly version: number | undefined; readonly patch: MemberPatch },
): Promise<MembershipRecord> {
  const nowMs = deps.now();
  const { key } = asked;
  const change = checkedChange(asked.patch, nowMs);
  return deps.database.write(async (transaction) => {
    const before = await memberToChange(transaction, actor, key, nowMs);
    // One that ran out can be prolonged, as long as nobody ended it.
    if (before.status !== "active") throw noMember();
    checkVersion(before, asked.version);
    if (!isActiveMembership(before, nowMs)) await checkRoom(deps, transaction, key.groupId);
    const after = await changeMembership(transaction, key, { ...change, ...takenBy(before, change.role, nowMs) });
    if (after === undefined) throw noMember();
    if (before.role === "provider" && after.role !== "provider") await dropClaims(transaction, key);
    await audit(transaction.db, actor, entryOf(key, "member.update", before, after), nowMs);
    return after;
  });
}

/**
 * Makes a user a member of one of the operator's groups, or changes one: this is how serving in a public group is approved.
 * Into other groups people are invited, so that nobody is in one without wanting it.
 *
 * @throws AppError `not_found`, `forbidden`, `conflict`, `invalid_request`
 */
export async function grantMembership(
  deps: GroupsDeps,
  actor: Actor,
  grant: MembershipKey & { readonly role: InviteRole; readonly expiresAtMs?: number | undefined },
): Promise<MembershipRecord> {
  const nowMs = deps.now();
  return deps.database.write(async (transaction) => {
    const { db } = transaction;
    const group = await managedGroup(db, actor, grant.groupId, nowMs);
    if (!isAdmin(actor) || group.ownerId !== undefined) {
      throw new AppError("forbidden", "People are invited into this group. Only into the operator's can they be put.");
    }
    checkedExpiry(grant.expiresAtMs, nowMs);
    if ((await userById(db, grant.userId)) === undefined) throw new AppError("not_found", "There is no such user.");
    return putMember(deps, { transaction, actor, group }, grant);
  });
}

/** The member is none any more, and comes back with a newer invite only. @throws AppError `not_found`, `forbidden`, `conflict` */
export async function removeMember(deps: GroupsDeps, actor: Actor, key: MembershipKey): Promise<MembershipRecord> {
  return endBy(deps, actor, key, { status: "removed", action: "member.remove" });
}

/**
 * No invite brings the user back; also one who is no member now. Of a public group they may not use anything any more.
 *
 * @throws AppError `not_found`, `forbidden`, `conflict`
 */
export async function banMember(deps: GroupsDeps, actor: Actor, key: MembershipKey): Promise<MembershipRecord> {
  return endBy(deps, actor, key, { status: "banned", action: "member.ban" });
}

/** A banned user may come back, with a newer invite. @throws AppError `not_found`, `forbidden` */
export async function unbanMember(deps: GroupsDeps, actor: Actor, key: MembershipKey): Promise<MembershipRecord> {
  const nowMs = deps.now();
  return deps.database.write(async (transaction) => {
    const before = await memberToChange(transaction, actor, key, nowMs);
    if (before.status !== "banned") throw new AppError("conflict", "This user is not banned.");
    const after = await endMembership(transaction, key, { status: "removed", nowMs });
    await audit(transaction.db, actor, entryOf(key, "member.unban", before, after), nowMs);
    return after;
  });
}

/** The user is a member no more, by their own wish. @throws AppError `not_found`, `conflict` */
export async function leaveGroup(deps: GroupsDeps, actor: Actor, groupId: string): Promise<void> {
  const nowMs = deps.now();
  const userId = userIdOf(actor);
  if (userId === undefined) throw new AppError("conflict", "The operator is no member and cannot leave.");
  const key = { groupId, userId };
  await deps.database.write(async (transaction) => {
    const { membership: before } = await seenGroup(transaction.db, actor, groupId, nowMs);
    if (before === undefined) throw new AppError("conflict", "You are no member of this group.");
    if (before.role === "owner") {
      throw new AppError("conflict", "Give the group to another member first, or delete it.");
    }
    const after = await endMembership(transaction, key, { status: "left", nowMs });
    await dropWhatIsLeft(transaction, key);
    await audit(transaction.db, actor, entryOf(key, "member.leave", before, after), nowMs);
  });
}

/** What is done in one transaction, by whom, to which group. */
export interface GroupWrite {
  readonly transaction: AccessTransaction;
  readonly actor: Actor;
  readonly group: GroupRecord;
}

/**
 * Puts a user in, in the caller's transaction. Without `expiresAtMs` a member stays for as long as they would have.
 *
 * @throws AppError `conflict` for a banned user, the owner, and a full group
 */
export async function putMember(
  deps: GroupsDeps,
  { transaction, actor, group }: GroupWrite,
  grant: { readonly userId: string; readonly role: InviteRole; readonly expiresAtMs?: number | undefined },
): Promise<MembershipRecord> {
  const nowMs = deps.now();
  const key = { groupId: group.id, userId: grant.userId };
  const before = await findMembership(transaction.db, key);
  checkMayBePut(before);
  const current = before && isActiveMembership(before, nowMs) ? before : undefined;
  if (current === undefined) await checkRoom(deps, transaction, group.id);
  const after = await putMembership(transaction, {
    ...key,
    role: grant.role,
    expiresAtMs: grant.expiresAtMs ?? current?.expiresAtMs,
    limits: before?.limits,
    joinedAtMs: current?.joinedAtMs ?? nowMs,
    ...takenBy(current, grant.role, nowMs),
  });
  if (after.role !== "provider") await dropClaims(transaction, key);
  await audit(transaction.db, actor, entryOf(key, "member.grant", before, after), nowMs);
  return after;
}

/** The audit log's entry of what became of a membership. */
export function entryOf(
  { groupId, userId }: MembershipKey,
  action: string,
  before: MembershipRecord | undefined,
  after: MembershipRecord,
): AuditEntry {
  return {
    action,
    objectType: "member",
    objectId: userId,
    groupId,
    before: before && shownInAudit(before),
    after: shownInAudit(after),
  };
}

function checkedChange({ role, expiresAtMs, limits }: MemberPatch, nowMs: number): MembershipChange {
  checkedExpiry(expiresAtMs ?? undefined, nowMs);
  return {
    ...(role !== undefined && { role }),
    ...(expiresAtMs !== undefined && { expiresAtMs: expiresAtMs ?? undefined }),
    ...(limits !== undefined && { limits: limits ?? undefined }),
  };
}

/** Who is made a member becomes no provider again with an invite that lies around. */
function takenBy(
  before: Pick<MembershipRecord, "role"> | undefined,
  role: InviteRole | "owner" | undefined,
  nowMs: number,
): Pick<MembershipChange, "providerInvitesAfterMs"> {
  return before?.role === "provider" && role === "member" ? { providerInvitesAfterMs: nowMs } : {};
}

/** Who left, or may serve no more, keeps no model names: others could never serve them. */
async function dropClaims(transaction: AccessTransaction, { groupId, userId }: MembershipKey): Promise<void> {
  await deleteClaims(transaction.db, { groupId, ownerId: userId });
  await touchGroup(transaction, groupId);
}

/** Who is no member any more may not even see what they asked of the group, so that they could never take it back. */
async function dropWhatIsLeft(transaction: AccessTransaction, key: MembershipKey): Promise<void> {
  await dropClaims(transaction, key);
  await dropOpenProviderRequests(transaction.db, key);
}

async function endBy(
  deps: GroupsDeps,
  actor: Actor,
  key: MembershipKey,
  end: { readonly status: "removed" | "banned"; readonly action: string },
): Promise<MembershipRecord> {
  const nowMs = deps.now();
  return deps.database.write(async (transaction) => {
    const { db } = transaction;
    await managedGroup(db, actor, key.groupId, nowMs);
    if ((await userById(db, key.userId)) === undefined) throw noMember();
    const before = await findMembership(db, key);
    if (before?.role === "owner") throw ownerStays();
    // A membership that ran out can be ended as well: then no invite from before brings it back either.
    if (end.status === "removed" && before?.status !== "active") throw noMember();
    if (before?.status === end.status) return before;
    const after = await endMembership(transaction, key, { status: end.status, nowMs });
    await dropWhatIsLeft(transaction, key);
    await audit(db, actor, entryOf(key, end.action, before, after), nowMs);
    return after;
  });
}

/** @throws AppError `not_found`, `forbidden`; `conflict` for the group's owner */
async function memberToChange(
  { db }: AccessTransaction,
  actor: Actor,
  key: MembershipKey,
  nowMs: number,
): Promise<MembershipRecord> {
  await managedGroup(db, actor, key.groupId, nowMs);
  const membership = await findMembership(db, key);
  if (membership === undefined) throw noMember();
  if (membership.role === "owner") throw ownerStays();
  return membership;
}

function withoutSecrets(member: MemberRecord): ShownMember {
  return { ...member, email: undefined, limits: undefined, expiresAtMs: undefined, inviteId: undefined };
}

function shownInAudit({ role, status, expiresAtMs, limits, inviteId }: MembershipRecord): AuditValues {
  return {
    role,
    status,
    expires_at_ms: expiresAtMs ?? null,
    limits: limits ?? null,
    ...(inviteId !== undefined && { invite_id: inviteId }),
  };
}

function noMember(): AppError {
  return new AppError("not_found", "There is no such member.");
}

function ownerStays(): AppError {
  return new AppError("conflict", "The group's owner stays. Give the group to somebody else first.");
}

function checkMayBePut(before: MembershipRecord | undefined): void {
  if (before?.status === "banned") throw new AppError("conflict", "This user is banned. Lift that first.");
  if (before?.role === "owner") throw ownerStays();
}

async function checkRoom({ settings, now }: GroupsDeps, { db }: AccessTransaction, groupId: string): Promise<void> {
  const { maxMembersPerGroup } = settings;
  if ((await countMemberships(db, { groupId }, now())) < maxMembersPerGroup) return;
  throw new AppError("conflict", `The group is full: it may have ${maxMembersPerGroup} members.`);
}
