import { AppError } from "../errors.ts";
import type { Actor, UserActor } from "../identity/actor.ts";
import { inviteHashOf } from "../identity/invite-code.ts";
import { audit, type AuditActor } from "../store/audit-store.ts";
import type { AccessTransaction } from "../store/database.ts";
import type { GroupRecord } from "../store/group-store.ts";
import type { InviteRole } from "../store/invite-store.ts";
import type { MembershipRecord } from "../store/membership-store.ts";
import {
  type InviteEnd,
  type InviteState,
  inviteState,
  type Redemption,
  type RedemptionLimits,
  redeemInvite,
  type Refusal,
  refusalOf,
  type SeenInvite,
} from "../store/redeem-invite.ts";
import { userById } from "../store/user-store.ts";
import { GROUP_LIMITS } from "./group-limits.ts";
import type { GroupsDeps } from "./groups-deps.ts";
import type { Guesses } from "./guesses.ts";
import { entryOf as inviteEntryOf } from "./invites.ts";
import { entryOf as memberEntryOf } from "./members.ts";

export interface RedeemDeps extends GroupsDeps {
  readonly guesses: Guesses;
}

/** What an invite offers, as whoever holds its code may know before they use it. */
export interface OfferedInvite {
  readonly role: InviteRole;
  /** undefined: to the hub alone. */
  readonly group: Pick<GroupRecord, "id" | "slug" | "name" | "description" | "kind"> | undefined;
  /** Who made it, as they call themselves; undefined: the operator. */
  readonly invitedBy: string | undefined;
  readonly expiresAtMs: number | undefined;
}

/** What became of a redeemed invite. */
export interface Redeemed {
  /** `already-member`: nothing changed, and no use was taken. */
  readonly outcome: "redeemed" | "already-member";
  /** undefined: the invite was to the hub alone. */
  readonly group: GroupRecord | undefined;
  readonly membership: MembershipRecord | undefined;
}

/**
 * What an invite offers.
 *
 * @param by Who asks; a string: nobody known, from this address.
 * @throws AppError `not_found` for a wrong code, `invite_ended` with the reason for a right one, `rate_limit_exceeded`
 */
export async function previewInvite(deps: RedeemDeps, by: Actor | string, code: string): Promise<OfferedInvite> {
  const { db } = deps.database;
  const { invite, group } = await openInvite(deps, by, code);
  const maker = invite.createdBy === undefined ? undefined : await userById(db, invite.createdBy);
  return { role: invite.role, group, invitedBy: maker?.name, expiresAtMs: invite.expiresAtMs };
}

/**
 * The actor becomes what the invite says: all of it or nothing, and never more people than it has uses.
 *
 * @throws AppError `not_found` for a wrong code, `rate_limit_exceeded`; for a right one `invite_ended`, `forbidden` for who was
 * banned or needs a newer one, `conflict` when the group is full or the user is in too many
 */
export async function redeemCode(deps: RedeemDeps, actor: UserActor, code: string): Promise<Redeemed> {
  const { hash } = (await knownInvite(deps, actor, code)).invite;
  const asked = { by: actor, userId: actor.user.id, hash };
  // Who comes too late takes no lock that others wait for.
  const refusal = await refusalOf(deps.database.db, { ...asked, limits: limitsOf(deps) }, deps.now());
  if (refusal !== undefined) return settled(refusal);
  return deps.database.write((transaction) => redeemIn(deps, transaction, asked, deps.now()));
}

/**
 * The same within the caller's transaction, for the hash of a code.
 *
 * @param asked.by For the audit log.
 * @throws AppError as {@link redeemCode}, but for the limit of tries; the transaction must then not be committed
 */
export async function redeemIn(
  deps: GroupsDeps,
  transaction: AccessTransaction,
  asked: { readonly by: AuditActor; readonly userId: string; readonly hash: string },
  nowMs: number,
): Promise<Redeemed> {
  const { by, userId, hash } = asked;
  const redemption = await redeemInvite(transaction, { hash, userId, limits: limitsOf(deps) }, nowMs);
  if (redemption.outcome !== "redeemed") return settled(redemption);
  await writeDown(transaction, { by, userId }, redemption, nowMs);
  return { outcome: "redeemed", group: redemption.group, membership: redemption.membership };
}

function limitsOf({ settings }: GroupsDeps): RedemptionLimits {
  return { maxMembers: settings.maxMembersPerGroup, maxGroupsJoined: GROUP_LIMITS.maxGroupsJoined };
}

/** What is told when nothing changed. */
function settled(refusal: Refusal): Redeemed {
  switch (refusal.outcome) {
    case "already-member":
      return { outcome: "already-member", group: refusal.group, membership: refusal.membership };
    case "unknown":
      throw noSuchInvite();
    case "ended":
      throw endedInvite(refusal.end);
    case "banned":
      throw new AppError("forbidden", "You are banned from this group.");
    case "needs-newer":
      throw new AppError(
        "forbidden",
        "Your membership was ended or changed after this invite was made. Ask for a new invite.",
      );
    case "group-full":
      throw new AppError("conflict", "The group is full.");
    case "too-many-groups":
      throw new AppError("conflict", `You are in ${GROUP_LIMITS.maxGroupsJoined} groups already. Leave one first.`);
  }
}

/** An invite that can be used, by what somebody typed. @throws AppError as {@link previewInvite} */
export async function openInvite(deps: RedeemDeps, by: Actor | string, code: string): Promise<SeenInvite> {
  const state = await knownInvite(deps, by, code);
  if (state.outcome === "ended") throw endedInvite(state.end);
  return state;
}

/** An invite, whether or not it can be used. @throws AppError `not_found` for a wrong code, `rate_limit_exceeded` */
export async function knownInvite(
  deps: RedeemDeps,
  by: Actor | string,
  code: string,
): Promise<Exclude<InviteState, { readonly outcome: "unknown" }>> {
  const hash = inviteHashOf(code);
  const state = hash === undefined ? undefined : await inviteState(deps.database.db, hash, deps.now());
  if (state !== undefined && state.outcome !== "unknown") return state;
  throw deps.guesses.wrong(by, noSuchInvite().message);
}

const ENDS: Readonly<Record<InviteEnd, string>> = {
  revoked: "This invite was revoked. Ask for a new one.",
  expired: "This invite has expired. Ask for a new one.",
  "used-up": "This invite was used as often as it may be. Ask for a new one.",
  void: "Whoever made this invite may invite no more, or the group is gone. Ask for a new one.",
};

/** Only for who holds the right code. */
export function endedInvite(end: InviteEnd): AppError {
  return new AppError("invite_ended", ENDS[end]);
}

export function noSuchInvite(): AppError {
  return new AppError("not_found", "There is no invite with this code. Check it for typing errors.");
}

async function writeDown(
  { db }: AccessTransaction,
  { by, userId }: { readonly by: AuditActor; readonly userId: string },
  { invite, group, membership, before }: Extract<Redemption, { outcome: "redeemed" }>,
  nowMs: number,
): Promise<void> {
  const use = { after: { user_id: userId, group_id: group?.id ?? null } };
  await audit(db, by, inviteEntryOf(invite, "invite.redeem", use), nowMs);
  if (membership !== undefined)
    await audit(db, by, memberEntryOf(membership, "member.join", before, membership), nowMs);
}
