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

export type Redemption =
  | { readonly outcome: "unknown" }
  | ({ readonly outcome: "ended"; readonly end: InviteEnd } & SeenInvite)
  /** No use was taken. `needs-newer`: the user was removed, or the membership ran out, after the invite was made. */
  | ({ readonly outcome: "banned" | "needs-newer" | "group-full" | "too-many-groups" } & SeenInvite)
  /** No use was taken: the user has what the invite gives. `before` is the same. */
  | ({ readonly outcome: "already-member"; readonly membership: MembershipRecord } & SeenInvite)
  /** `membership` is undefined when the invite is to the hub alone. */
  | ({
      readonly outcome: "redeemed";
      readonly membership: MembershipRecord | undefined;
      readonly before: MembershipRecord | undefined;
    } & SeenInvite);

/** What the code with that hash would give at that time. Reads only. */
export async function inviteState(db: Kysely<Schema>, hash: string, nowMs: number): Promise<InviteState> {
  const invite = await findInvite(db, { hash });
  if (invite === undefined) return { outcome: "unknown" };
  const group = invite.groupId === undefined ? undefined : await findGroup(db, invite.groupId);
  const end = await endOf(db, { invite, group }, nowMs);
  return end === undefined ? { outcome: "open", invite, group } : { outcome: "ended", end, invite, group };
}

/**
 * Makes `userId` what the invite says, in the caller's transaction: a use is taken and the membership made, or neither.
 * The user must exist. What is written to the audit log is the caller's.
 */
export async function redeemInvite(
  transaction: AccessTransaction,
  asked: { readonly hash: string; readonly userId: string; readonly limits: RedemptionLimits },
  nowMs: number,
): Promise<Redemption> {
  const { db } = transaction;
  const state = await inviteState(db, asked.hash, nowMs);
  if (state.outcome === "unknown") return state;
  const { invite, group } = state;
  if (group !== undefined) return redeemForGroup(transaction, { ...asked, state, group }, nowMs);
  if (state.outcome === "ended") return state;
  if (!(await takeUse(db, { inviteId: invite.id, userId: asked.userId }, nowMs))) return usedUp(state);
  return { outcome: "redeemed", membership: undefined, before: undefined, invite, group };
}

type Asked = Parameters<typeof redeemInvite>[1];
type Known = Exclude<InviteState, { readonly outcome: "unknown" }>;

async function redeemForGroup(
  transaction: AccessTransaction,
  asked: Asked & { readonly state: Known; readonly group: GroupRecord },
  nowMs: number,
): Promise<Redemption> {
  const { db } = transaction;
  const { state, group, userId } = asked;
  const { invite } = state;
  const before = await findMembership(db, { groupId: group.id, userId });
  if (before?.status === "banned") return { outcome: "banned", invite, group };
  const current = before && isActiveMembership(before, nowMs) ? before : undefined;
  if (current && gives(current, invite)) return { outcome: "already-member", membership: current, invite, group };
  if (state.outcome === "ended") return state;
  const obstacle = current ? undefined : await obstacleOf(db, { ...asked, before }, nowMs);
  if (obstacle !== undefined) return { outcome: obstacle, invite, group };
  if (!(await takeUse(db, { inviteId: invite.id, userId }, nowMs))) return usedUp(state);
  const membership = await putMembership(transaction, {
    groupId: group.id,
    userId,
    role: invite.role,
    inviteId: invite.id,
    ...keptOf(before, nowMs),
  });
  return { outcome: "redeemed", membership, before, invite, group };
}

/** What was read before is as it was in this transaction; this would decide rightly even where it is not. */
async function takeUse(
  db: Kysely<Schema>,
  use: { readonly inviteId: string; readonly userId: string },
  nowMs: number,
): Promise<boolean> {
  if (!(await takeInviteUse(db, use.inviteId, nowMs))) return false;
  await recordInviteUse(db, use, nowMs);
  return true;
}

function usedUp({ invite, group }: SeenInvite): Redemption {
  return { outcome: "ended", end: "used-up", invite, group };
}

/** Why the user does not become a member with this invite now. */
async function obstacleOf(
  db: Kysely<Schema>,
  asked: Asked & { readonly state: Known; readonly group: GroupRecord; readonly before: MembershipRecord | undefined },
  nowMs: number,
): Promise<"needs-newer" | "group-full" | "too-many-groups" | undefined> {
  const { state, group, before, userId, limits } = asked;
  const endedAtMs = before && endedByOthersAtMs(before, nowMs);
  if (endedAtMs !== undefined && state.invite.createdAtMs <= endedAtMs) return "needs-newer";
  if ((await countMemberships(db, { groupId: group.id }, nowMs)) >= limits.maxMembers) return "group-full";
  if ((await countMemberships(db, { userId }, nowMs)) >= limits.maxGroupsJoined) return "too-many-groups";
  return undefined;
}

/** What the group's owner decided about this user outlives leaving and coming back. */
function keptOf(
  before: MembershipRecord | undefined,
  nowMs: number,
): Pick<MembershipRecord, "limits" | "expiresAtMs" | "joinedAtMs"> {
  if (before === undefined) return { limits: undefined, expiresAtMs: undefined, joinedAtMs: nowMs };
  const { limits, expiresAtMs, joinedAtMs } = before;
  return {
    limits,
    expiresAtMs: endedByOthersAtMs(before, nowMs) === undefined ? expiresAtMs : undefined,
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
