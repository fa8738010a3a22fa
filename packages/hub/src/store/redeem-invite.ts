import type { Kysely } from "kysely";

import type { AccessTransaction } from "./database.ts";
import { findGroup, type GroupRecord } from "./group-store.ts";
import { findInvite, type InviteRecord, mayInvite, recordInviteUse, takeInviteUse } from "./invite-store.ts";
import {
  countMemberships,
  findMembership,
  isActiveMembership,
  type MembershipRecord,
  putMembership,
} from "./membership-store.ts";
import type { Schema } from "./schema.ts";

/** An invite as whoever holds its code may see it. */
export interface SeenInvite {
  readonly invite: InviteRecord;
  /** undefined: to the hub alone. */
  readonly group: GroupRecord | undefined;
}

/** Why a code that is right does nothing. `void`: its maker may invite no more, or the group is deleted. */
export type InviteEnd = "revoked" | "expired" | "used-up" | "void";

export type InviteState =
  | { readonly outcome: "unknown" }
  | ({ readonly outcome: "open" } & SeenInvite)
  | ({ readonly outcome: "ended"; readonly end: InviteEnd } & SeenInvite);

export interface RedemptionLimits {
  readonly maxMembers: number;
  readonly maxGroupsJoined: number;
}

/** What a code comes to without taking a use of it. */
export type Refusal =
  | { readonly outcome: "unknown" }
  | ({ readonly outcome: "ended"; readonly end: InviteEnd } & SeenInvite)
  /**
   * `needs-newer`: the user was removed, or the membership ran out, after the invite was made. To serve also: was made a member.
   */
  | ({ readonly outcome: "banned" | "needs-newer" | "group-full" | "too-many-groups" } & SeenInvite)
  /** The user has what the invite gives. */
  | ({ readonly outcome: "already-member"; readonly membership: MembershipRecord } & SeenInvite);

export type Redemption =
  | Refusal
  /** `membership` is undefined when the invite is to the hub alone. */
  | ({
      readonly outcome: "redeemed";
      readonly membership: MembershipRecord | undefined;
      readonly before: MembershipRecord | undefined;
    } & SeenInvite);

export interface RedemptionAsked {
  /** Of the code. */
  readonly hash: string;
  /** Must exist. */
  readonly userId: string;
  readonly limits: RedemptionLimits;
}

/** What the code with that hash would give at that time. Reads only. */
export async function inviteState(db: Kysely<Schema>, hash: string, nowMs: number): Promise<InviteState> {
  const invite = await findInvite(db, { hash });
  if (invite === undefined) return { outcome: "unknown" };
  const group = invite.groupId === undefined ? undefined : await findGroup(db, invite.groupId);
  const end = await endOf(db, { invite, group }, nowMs);
  return end === undefined ? { outcome: "open", invite, group } : { outcome: "ended", end, invite, group };
}

/**
 * Why redeeming would change nothing now; undefined: it would. Reads only, so that those who come too late take no lock that
 * others wait for.
 */
export async function refusalOf(
  db: Kysely<Schema>,
  asked: RedemptionAsked,
  nowMs: number,
): Promise<Refusal | undefined> {
  const looked = await look(db, asked, nowMs);
  return "outcome" in looked ? looked : undefined;
}

/**
 * Makes the user what the invite says, in the caller's transaction: a use is taken and the membership made, or neither. What is
 * written to the audit log is the caller's.
 */
export async function redeemInvite(
  transaction: AccessTransaction,
  asked: RedemptionAsked,
  nowMs: number,
): Promise<Redemption> {
  const { db } = transaction;
  const looked = await look(db, asked, nowMs);
  if ("outcome" in looked) return looked;
  const { invite, group, before } = looked;
  const { userId } = asked;
  // What was read is as it was in this transaction; this statement would decide rightly even where it is not.
  if (!(await takeInviteUse(db, invite.id, nowMs))) return { outcome: "ended", end: "used-up", invite, group };
  await recordInviteUse(db, { inviteId: invite.id, userId }, nowMs);
  const membership =
    group &&
    (await putMembership(transaction, {
      groupId: group.id,
      userId,
      role: invite.role,
      inviteId: invite.id,
      ...keptOf(before, nowMs),
    }));
  return { outcome: "redeemed", membership, before, invite, group };
}

/** An invite that can be used, and what its user was before; or why not. */
async function look(
  db: Kysely<Schema>,
  asked: RedemptionAsked,
  nowMs: number,
): Promise<Refusal | (SeenInvite & { readonly before: MembershipRecord | undefined })> {
  const state = await inviteState(db, asked.hash, nowMs);
  if (state.outcome === "unknown") return state;
  const { invite, group } = state;
  const before = group && (await findMembership(db, { groupId: group.id, userId: asked.userId }));
  if (before?.status === "banned") return { outcome: "banned", invite, group };
  const current = before && isActiveMembership(before, nowMs) ? before : undefined;
  if (current && gives(current, invite)) return { outcome: "already-member", membership: current, invite, group };
  if (state.outcome === "ended") return state;
  const obstacle = await obstacleOf(db, { ...asked, invite, group, before }, nowMs);
  return obstacle === undefined ? { invite, group, before } : { outcome: obstacle, invite, group };
}

/** Whether others took from the user what the invite gives, after it was made. Leaving and coming back does not undo that. */
function isTooOld({ role, createdAtMs }: InviteRecord, before: MembershipRecord, nowMs: number): boolean {
  const endedAtMs = endedByOthersAtMs(before, nowMs);
  if (endedAtMs !== undefined && createdAtMs <= endedAtMs) return true;
  const { providerInvitesAfterMs: takenAtMs } = before;
  return role === "provider" && takenAtMs !== undefined && createdAtMs <= takenAtMs;
}

/** Why the user does not become what this invite gives now. */
async function obstacleOf(
  db: Kysely<Schema>,
  asked: RedemptionAsked & SeenInvite & { readonly before: MembershipRecord | undefined },
  nowMs: number,
): Promise<"needs-newer" | "group-full" | "too-many-groups" | undefined> {
  const { invite, group, before, userId, limits } = asked;
  if (group === undefined) return undefined;
  if (before && isTooOld(invite, before, nowMs)) return "needs-newer";
  if (before && isActiveMembership(before, nowMs)) return undefined;
  if ((await countMemberships(db, { groupId: group.id }, nowMs)) >= limits.maxMembers) return "group-full";
  if ((await countMemberships(db, { userId }, nowMs)) >= limits.maxGroupsJoined) return "too-many-groups";
  return undefined;
}

/** What the group's owner decided about this user outlives leaving and coming back. */
function keptOf(
  before: MembershipRecord | undefined,
  nowMs: number,
): Pick<MembershipRecord, "limits" | "expiresAtMs" | "joinedAtMs" | "providerInvitesAfterMs"> {
  if (before === undefined) return { limits: undefined, expiresAtMs: undefined, joinedAtMs: nowMs };
  const { limits, expiresAtMs, joinedAtMs } = before;
  const endedAtMs = endedByOthersAtMs(before, nowMs);
  return {
    limits,
    expiresAtMs: endedAtMs === undefined ? expiresAtMs : undefined,
    providerInvitesAfterMs: endedAtMs,
    joinedAtMs: isActiveMembership(before, nowMs) ? joinedAtMs : nowMs,
  };
}

/** When a membership ended without the user's own doing. An invite from before that does not bring it back. */
function endedByOthersAtMs({ status, endedAtMs, expiresAtMs }: MembershipRecord, nowMs: number): number | undefined {
  if (status === "removed") return endedAtMs;
  return expiresAtMs !== undefined && expiresAtMs <= nowMs ? expiresAtMs : undefined;
}

async function endOf(db: Kysely<Schema>, { invite, group }: SeenInvite, nowMs: number): Promise<InviteEnd | undefined> {
  if (invite.revokedAtMs !== undefined) return "revoked";
  if (invite.groupId !== undefined && group === undefined) return "void";
  if (invite.createdBy !== undefined && !(await mayInvite(db, invite.createdBy, invite.groupId))) return "void";
  if (invite.expiresAtMs !== undefined && invite.expiresAtMs <= nowMs) return "expired";
  return invite.uses >= invite.maxUses ? "used-up" : undefined;
}

/** Whether the membership is as good as what the invite gives. */
function gives({ role }: MembershipRecord, invite: InviteRecord): boolean {
  return role !== "member" || invite.role === "member";
}
