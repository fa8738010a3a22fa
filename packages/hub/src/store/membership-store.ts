import type { ExpressionBuilder, ExpressionWrapper, Kysely, Selectable, SqlBool } from "kysely";

import type { MemberRole, MemberStatus } from "./access-schema.ts";
import type { AccessTransaction } from "./database.ts";
import { type MemberLimits, parseMemberLimits } from "./member-limits.ts";
import type { Page } from "./page.ts";
import type { Schema } from "./schema.ts";

export interface MembershipKey {
  readonly groupId: string;
  readonly userId: string;
}

export interface NewMembership extends MembershipKey {
  readonly role: MemberRole;
  /** undefined: for ever. */
  readonly expiresAtMs?: number | undefined;
  /** Each takes the place of the group's. */
  readonly limits?: MemberLimits | undefined;
  /** The invite that led to it. */
  readonly inviteId?: string | undefined;
  readonly joinedAtMs: number;
  /** Only an invite that was made later makes the user a provider. undefined: any does, or what was said of a membership before. */
  readonly providerInvitesAfterMs?: number | undefined;
}

export interface MembershipRecord extends NewMembership {
  readonly status: MemberStatus;
  /** When it stopped being active, other than by its expiry. */
  readonly endedAtMs: number | undefined;
  readonly version: number;
  readonly revision: number;
}

export interface MemberRecord extends MembershipRecord {
  readonly name: string;
  readonly email: string;
  /** The hub's operator closed the account. */
  readonly isDisabled: boolean;
}

export type MembershipChange = Partial<
  Pick<NewMembership, "role" | "expiresAtMs" | "limits" | "providerInvitesAfterMs">
>;

/** Whether it counts at that time. */
export function isActiveMembership(
  membership: Pick<MembershipRecord, "status" | "expiresAtMs">,
  nowMs: number,
): boolean {
  const { status, expiresAtMs } = membership;
  return status === "active" && (expiresAtMs === undefined || expiresAtMs > nowMs);
}

/** The same as a condition on rows. */
export function whereActive(
  eb: ExpressionBuilder<Schema, "memberships">,
  nowMs: number,
): ExpressionWrapper<Schema, "memberships", SqlBool> {
  return eb.and([
    eb("memberships.status", "=", "active"),
    eb.or([eb("memberships.expires_at_ms", "is", null), eb("memberships.expires_at_ms", ">", nowMs)]),
  ]);
}

/** What there is between a user and a group, active or not. */
export async function findMembership(
  db: Kysely<Schema>,
  { groupId, userId }: MembershipKey,
): Promise<MembershipRecord | undefined> {
  const row = await db
    .selectFrom("memberships")
    .selectAll()
    .where("group_id", "=", groupId)
    .where("user_id", "=", userId)
    .executeTakeFirst();
  return row && toMembership(row);
}

/** What there is between a user and several groups, active or not, by the groups' ids. */
export async function membershipsOf(
  db: Kysely<Schema>,
  userId: string,
  groupIds: readonly string[],
): Promise<ReadonlyMap<string, MembershipRecord>> {
  if (groupIds.length === 0) return new Map();
  const rows = await db
    .selectFrom("memberships")
    .selectAll()
    .where("user_id", "=", userId)
    .where("group_id", "in", groupIds)
    .execute();
  return new Map(rows.map((row) => [row.group_id, toMembership(row)]));
}

/** The user is an active member from now on, whatever was before. The caller has checked that they may be. */
export async function putMembership(
  { db, revision }: AccessTransaction,
  membership: NewMembership,
): Promise<MembershipRecord> {
  const values = {
    role: membership.role,
    status: "active",
    expires_at_ms: membership.expiresAtMs ?? null,
    limits: membership.limits === undefined ? null : JSON.stringify(membership.limits),
    invite_id: membership.inviteId ?? null,
    joined_at_ms: membership.joinedAtMs,
    ended_at_ms: null,
    revision,
  } as const;
  const { groupId: group_id, userId: user_id, providerInvitesAfterMs: after } = membership;
  const row = await db
    .insertInto("memberships")
    .values({ group_id, user_id, ...values, provider_invites_after_ms: after ?? null, version: 1 })
    .onConflict((conflict) =>
      conflict.columns(["group_id", "user_id"]).doUpdateSet((eb) => ({
        ...values,
        ...(after !== undefined && { provider_invites_after_ms: after }),
        version: eb("memberships.version", "+", 1),
      })),
    )
    .returningAll()
    .executeTakeFirstOrThrow();
  return toMembership(row);
}

/** The membership after the change; undefined when there is none. */
export async function changeMembership(
  { db, revision }: AccessTransaction,
  { groupId, userId }: MembershipKey,
  change: MembershipChange,
): Promise<MembershipRecord | undefined> {
  const row = await db
    .updateTable("memberships")
    .set((eb) => ({
      ...(change.role !== undefined && { role: change.role }),
      ...("expiresAtMs" in change && { expires_at_ms: change.expiresAtMs ?? null }),
      ...(change.providerInvitesAfterMs !== undefined && { provider_invites_after_ms: change.providerInvitesAfterMs }),
      ...("limits" in change && { limits: change.limits === undefined ? null : JSON.stringify(change.limits) }),
      version: eb("version", "+", 1),
      revision,
    }))
    .where("group_id", "=", groupId)
    .where("user_id", "=", userId)
    .returningAll()
    .executeTakeFirst();
  return row && toMembership(row);
}

/** From `nowMs` on the user is no member: `status` says why. A user who never was one can be banned, too. */
export async function endMembership(
  { db, revision }: AccessTransaction,
  { groupId, userId }: MembershipKey,
  end: { readonly status: Exclude<MemberStatus, "active">; readonly nowMs: number },
): Promise<MembershipRecord> {
  const { status, nowMs } = end;
  const byOthers = status !== "left" && { provider_invites_after_ms: nowMs };
  const row = await db
    .insertInto("memberships")
    .values({
      group_id: groupId,
      user_id: userId,
      role: "member",
      status,
      expires_at_ms: null,
      limits: null,
      invite_id: null,
      joined_at_ms: nowMs,
      ended_at_ms: nowMs,
      provider_invites_after_ms: null,
      ...byOthers,
      version: 1,
      revision,
    })
    .onConflict((conflict) =>
      conflict.columns(["group_id", "user_id"]).doUpdateSet((eb) => ({
        status,
        ended_at_ms: nowMs,
        ...byOthers,
        version: eb("memberships.version", "+", 1),
        revision,
      })),
    )
    .returningAll()
    .executeTakeFirstOrThrow();
  return toMembership(row);
}

/** Members by their ids, with what people know them by. `activeAtMs`: only those that are active then; left out: all. */
export async function listMembers(
  db: Kysely<Schema>,
  filter: { readonly groupId: string; readonly activeAtMs?: number | undefined; readonly userId?: string | undefined },
  page: Page,
): Promise<readonly MemberRecord[]> {
  const { groupId, activeAtMs, userId } = filter;
  let query = db
    .selectFrom("memberships")
    .innerJoin("users", "users.id", "memberships.user_id")
    .selectAll("memberships")
    .select(["users.name", "users.email", "users.disabled_at_ms"])
    .where("memberships.group_id", "=", groupId);
  if (activeAtMs !== undefined) query = query.where((eb) => whereActive(eb, activeAtMs));
  if (userId !== undefined) query = query.where("memberships.user_id", "=", userId);
  if (page.after !== undefined) query = query.where("memberships.user_id", ">", page.after);
  const rows = await query.orderBy("memberships.user_id").limit(page.limit).execute();
  return rows.map((row) => ({
    ...toMembership(row),
    name: row.name,
    email: row.email,
    isDisabled: row.disabled_at_ms !== null,
  }));
}

/** How many active members a group has, the owner included, or of how many groups that are not deleted a user is one. */
export async function countMemberships(
  db: Kysely<Schema>,
  of: { readonly groupId: string } | { readonly userId: string },
  nowMs: number,
): Promise<number> {
  const query = db
    .selectFrom("memberships")
    .innerJoin("groups", "groups.id", "memberships.group_id")
    .select((eb) => eb.fn.countAll().as("count"))
    .where("groups.deleted_at_ms", "is", null)
    .where((eb) => whereActive(eb, nowMs));
  const counted = "groupId" in of ? query.where("group_id", "=", of.groupId) : query.where("user_id", "=", of.userId);
  const { count } = await counted.executeTakeFirstOrThrow();
  return Number(count);
}

function toMembership(row: Selectable<Schema["memberships"]>): MembershipRecord {
  return {
    groupId: row.group_id,
    userId: row.user_id,
    role: row.role,
    status: row.status,
    expiresAtMs: row.expires_at_ms ?? undefined,
    limits: row.limits === null ? undefined : parseMemberLimits(row.limits),
    inviteId: row.invite_id ?? undefined,
    joinedAtMs: row.joined_at_ms,
    providerInvitesAfterMs: row.provider_invites_after_ms ?? undefined,
    endedAtMs: row.ended_at_ms ?? undefined,
    version: row.version,
    revision: row.revision,
  };
}
