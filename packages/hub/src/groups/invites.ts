import type { Kysely } from "kysely";

import { AppError } from "../errors.ts";
import { type Actor, isAdmin, seesAll, userIdOf } from "../identity/actor.ts";
import { inviteHashOf, newInviteCode, shownCode } from "../identity/invite-code.ts";
import { newId } from "../new-id.ts";
import { audit, type AuditEntry, type AuditValues } from "../store/audit-store.ts";
import {
  countOpenInvites,
  deleteEndedInvites,
  findInvite,
  insertInvite,
  type InviteRecord,
  type InviteRole,
  type InviteUse,
  listInvites as listInviteRecords,
  listInviteUses as listInviteUseRecords,
  mayInvite,
  revokeInvite as revokeInviteRecord,
} from "../store/invite-store.ts";
import type { Page } from "../store/page.ts";
import type { InviteEnd } from "../store/redeem-invite.ts";
import type { Schema } from "../store/schema.ts";
import { managedGroup, seenGroup } from "./group-access.ts";
import { GROUP_LIMITS } from "./group-limits.ts";
import { checkedExpiry, checkedText, refused } from "./group-text.ts";
import type { GroupsDeps } from "./groups-deps.ts";

export interface InviteInput {
  /** undefined: to the hub alone, where accounts are made by invitation. */
  readonly groupId?: string | undefined;
  readonly role: InviteRole;
  readonly maxUses: number;
  readonly expiresAtMs?: number | undefined;
  readonly note?: string | undefined;
}

/** An invite as whoever manages its group sees it: how it stands now. */
export interface ShownInvite extends InviteRecord {
  readonly state: "open" | InviteEnd;
}

/** The code is only here, and can never be read again. */
export interface NewlyMadeInvite {
  readonly invite: ShownInvite;
  readonly code: string;
  /** Opened in a browser it signs in and joins; `tokiame join` takes it, too. */
  readonly link: string;
}

/** @throws AppError `not_found`, `forbidden`, `conflict`, `invalid_request` */
export async function createInvite(deps: GroupsDeps, actor: Actor, input: InviteInput): Promise<NewlyMadeInvite> {
  const nowMs = deps.now();
  const { groupId, role, maxUses } = input;
  const note = checkedText(input.note ?? "", "note", GROUP_LIMITS.maxNoteLength);
  const expiresAtMs = checkedExpiry(input.expiresAtMs, nowMs);
  if (!Number.isInteger(maxUses) || maxUses < 1 || maxUses > GROUP_LIMITS.maxInviteUses) {
    throw refused("max_uses", `max_uses: must be a whole number from 1 to ${GROUP_LIMITS.maxInviteUses}.`);
  }
  const code = newInviteCode();
  const invite = {
    id: newId("invite", nowMs),
    groupId,
    role,
    hash: hashOf(code),
    prefix: shownCode(code),
    maxUses,
    note,
    createdBy: userIdOf(actor),
    createdAtMs: nowMs,
    expiresAtMs,
  };
  const made = await deps.database.write(async ({ db }) => {
    await checkMayInvite(db, actor, input, nowMs);
    await checkRoom(deps, db, groupId, nowMs);
    const record = await insertInvite(db, invite);
    await audit(db, actor, entryOf(record, "invite.create", { after: shownInAudit(record) }), nowMs);
    return record;
  });
  return { invite: { ...made, state: "open" }, code, link: inviteLink(deps, code) };
}

/**
 * The invites of a group, or those to the hub alone, the newest first. For whoever manages the group.
 *
 * @throws AppError `not_found`, `forbidden`
 */
export async function listInvites(
  deps: GroupsDeps,
  actor: Actor,
  groupId: string | undefined,
  page: Page,
): Promise<readonly ShownInvite[]> {
  const nowMs = deps.now();
  const { db } = deps.database;
  await checkMaySee(db, actor, groupId, nowMs);
  const invites = await listInviteRecords(db, groupId, page);
  return withStates(db, invites, nowMs);
}

/** @throws AppError `not_found` also for one of a group that the actor does not manage. */
export async function readInvite(deps: GroupsDeps, actor: Actor, id: string): Promise<ShownInvite> {
  const nowMs = deps.now();
  const { db } = deps.database;
  const [shown] = await withStates(db, [await seenInvite(db, actor, id, nowMs)], nowMs);
  if (shown === undefined) throw noInvite();
  return shown;
}

/** Nobody gets in with it any more; who did stays. Once more does nothing. @throws AppError `not_found`, `forbidden` */
export async function revokeInvite(deps: GroupsDeps, actor: Actor, id: string): Promise<ShownInvite> {
  const nowMs = deps.now();
  const revoked = await deps.database.write(async ({ db }) => {
    const before = await seenInvite(db, actor, id, nowMs);
    if (!(await mayManage(db, actor, before.groupId, nowMs))) throw new AppError("forbidden");
    const after = await revokeInviteRecord(db, id, nowMs);
    if (after === undefined) return before;
    const change = { before: { revoked_at_ms: null }, after: { revoked_at_ms: nowMs } };
    await audit(db, actor, entryOf(after, "invite.revoke", change), nowMs);
    return after;
  });
  return { ...revoked, state: "revoked" };
}

/** Who used an invite, by their ids. @throws AppError `not_found` */
export async function listInviteUses(
  deps: GroupsDeps,
  actor: Actor,
  id: string,
  page: Page,
): Promise<readonly InviteUse[]> {
  const { db } = deps.database;
  await seenInvite(db, actor, id, deps.now());
  return listInviteUseRecords(db, id, page);
}

/** The code stands behind the `#`: browsers do not send that, so that no log and no proxy has it. */
export function inviteLink({ settings }: Pick<GroupsDeps, "settings">, code: string): string {
  return settings.publicUrl.of("/join", code);
}

/** The audit log's entry of an invite. */
export function entryOf(
  invite: Pick<InviteRecord, "id" | "groupId">,
  action: string,
  change: { readonly before?: AuditValues; readonly after?: AuditValues },
): AuditEntry {
  return { action, objectType: "invite", objectId: invite.id, groupId: invite.groupId, ...change };
}

function hashOf(code: string): string {
  const hash = inviteHashOf(code);
  if (hash === undefined) throw new Error("a new code is not a code");
  return hash;
}

async function checkMayInvite(db: Kysely<Schema>, actor: Actor, input: InviteInput, nowMs: number): Promise<void> {
  if (input.groupId !== undefined) {
    await managedGroup(db, actor, input.groupId, nowMs);
    return;
  }
  if (!isAdmin(actor))
    throw new AppError("forbidden", "Only whoever runs the hub invites to it. Name a group of yours.");
  if (input.role !== "member") throw refused("role", "role: an invite to the hub alone gives no role in a group.");
}

async function checkRoom(
  { settings }: GroupsDeps,
  db: Kysely<Schema>,
  groupId: string | undefined,
  nowMs: number,
): Promise<void> {
  await deleteEndedInvites(db, groupId, nowMs - GROUP_LIMITS.endedInviteMs);
  const most = groupId === undefined ? GROUP_LIMITS.maxHubInvites : settings.maxInvitesPerGroup;
  if ((await countOpenInvites(db, groupId, nowMs)) < most) return;
  throw new AppError("conflict", `There are ${most} open invites already. Revoke those that nobody needs.`);
}

/** @throws AppError `not_found`, `forbidden` */
async function checkMaySee(
  db: Kysely<Schema>,
  actor: Actor,
  groupId: string | undefined,
  nowMs: number,
): Promise<void> {
  if (seesAll(actor)) return groupId === undefined ? undefined : void (await seenGroup(db, actor, groupId, nowMs));
  if (groupId === undefined) throw new AppError("forbidden", "Name a group of yours: group_id.");
  await managedGroup(db, actor, groupId, nowMs);
}

/** An invite whose group the actor manages, or who sees all. Members must not learn of the others' invites. */
async function seenInvite(db: Kysely<Schema>, actor: Actor, id: string, nowMs: number): Promise<InviteRecord> {
  const invite = await findInvite(db, { id });
  if (invite === undefined || !(seesAll(actor) || (await mayManage(db, actor, invite.groupId, nowMs))))
    throw noInvite();
  return invite;
}

async function mayManage(
  db: Kysely<Schema>,
  actor: Actor,
  groupId: string | undefined,
  nowMs: number,
): Promise<boolean> {
  if (isAdmin(actor) || groupId === undefined) return isAdmin(actor);
  try {
    return (await seenGroup(db, actor, groupId, nowMs)).canManage;
  } catch (thrown) {
    // A group that the actor does not see is one that they do not manage.
    if (thrown instanceof AppError) return false;
    throw thrown;
  }
}

/** What the rows alone do not say is whether their makers may still invite: asked once for each maker and group. */
async function withStates(
  db: Kysely<Schema>,
  invites: readonly InviteRecord[],
  nowMs: number,
): Promise<readonly ShownInvite[]> {
  const asked = new Map<string, boolean>();
  const shown: ShownInvite[] = [];
  for (const invite of invites) {
    const { createdBy, groupId } = invite;
    const key = `${createdBy} ${groupId}`;
    const isMakerGood = asked.get(key) ?? (createdBy === undefined || (await mayInvite(db, createdBy, groupId)));
    asked.set(key, isMakerGood);
    shown.push({ ...invite, state: stateOf(invite, isMakerGood, nowMs) });
  }
  return shown;
}

function stateOf(invite: InviteRecord, isMakerGood: boolean, nowMs: number): ShownInvite["state"] {
  if (invite.revokedAtMs !== undefined) return "revoked";
  if (!isMakerGood) return "void";
  if (invite.expiresAtMs !== undefined && invite.expiresAtMs <= nowMs) return "expired";
  return invite.uses >= invite.maxUses ? "used-up" : "open";
}

function shownInAudit({ role, prefix, maxUses, note, expiresAtMs }: InviteRecord): AuditValues {
  return { role, code_begins: prefix, max_uses: maxUses, note, expires_at_ms: expiresAtMs ?? null };
}

function noInvite(): AppError {
  return new AppError("not_found", "There is no such invite.");
}
