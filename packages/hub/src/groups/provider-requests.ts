import type { Kysely } from "kysely";

import { AppError } from "../errors.ts";
import { type Actor, type UserActor, userIdOf } from "../identity/actor.ts";
import { newId } from "../new-id.ts";
import { audit, type AuditEntry } from "../store/audit-store.ts";
import type { GroupRecord } from "../store/group-store.ts";
import { findMembership, isActiveMembership } from "../store/membership-store.ts";
import type { Page } from "../store/page.ts";
import {
  countOpenProviderRequests,
  decideProviderRequest,
  findProviderRequest,
  insertProviderRequest,
  listProviderRequests as listRequestRecords,
  type ProviderRequest,
  type ShownProviderRequest,
} from "../store/provider-request-store.ts";
import type { Schema } from "../store/schema.ts";
import { managedGroup, seenGroup } from "./group-access.ts";
import { GROUP_LIMITS } from "./group-limits.ts";
import { checkedText } from "./group-text.ts";
import type { GroupsDeps } from "./groups-deps.ts";
import { mayServe } from "./may-serve.ts";
import { putMember } from "./members.ts";

/**
 * Asks to serve into a group. In a public one everybody may ask, in others its members.
 *
 * @throws AppError `not_found`, `conflict`, `invalid_request`
 */
export async function requestToServe(
  deps: GroupsDeps,
  actor: UserActor,
  asked: { readonly groupId: string; readonly note: string },
): Promise<ProviderRequest> {
  const nowMs = deps.now();
  const { groupId } = asked;
  const userId = actor.user.id;
  const note = checkedText(asked.note, "note", GROUP_LIMITS.maxNoteLength);
  return deps.database.write(async ({ db }) => {
    await seenGroup(db, actor, groupId, nowMs);
    if (await mayServe(db, { userId, groupId }, nowMs)) throw new AppError("conflict", "You may serve there already.");
    await checkRoom(db, { groupId, userId });
    const request = { id: newId("request", nowMs), groupId, userId, note, createdAtMs: nowMs };
    const made = await insertProviderRequest(db, request);
    if (made === undefined) throw new AppError("conflict", "You have asked already, and nobody has answered yet.");
    await audit(db, actor, entryOf(made, "provider-request.create", { after: { note } }), nowMs);
    return made;
  });
}

/** The requests of a group that wait for an answer, the newest first. @throws AppError `not_found`, `forbidden` */
export async function listProviderRequests(
  deps: GroupsDeps,
  actor: Actor,
  groupId: string,
  page: Page,
): Promise<readonly ShownProviderRequest[]> {
  const { db } = deps.database;
  await managedGroup(db, actor, groupId, deps.now());
  return listRequestRecords(db, groupId, page);
}

/**
 * Answers a request. Approved, the user is a provider of the group from then on. Who asked may refuse it themselves: that takes
 * it back.
 *
 * @throws AppError `not_found`, `forbidden`, `conflict`
 */
export async function decideRequest(
  deps: GroupsDeps,
  actor: Actor,
  asked: { readonly groupId: string; readonly id: string; readonly decision: "approved" | "refused" },
): Promise<ProviderRequest> {
  const nowMs = deps.now();
  const { groupId, id, decision } = asked;
  return deps.database.write(async (transaction) => {
    const { db } = transaction;
    const request = await findProviderRequest(db, { groupId, id });
    const { group, canManage } = await seenGroup(db, actor, groupId, nowMs);
    const isOwn = request !== undefined && request.userId === userIdOf(actor);
    if (request === undefined || !(canManage || isOwn)) throw noRequest();
    if (!canManage && decision === "approved") throw new AppError("forbidden", "Only the group's owner may do this.");
    if (decision === "approved") await checkStillMember(db, group, request.userId, nowMs);
    const decided = await decideProviderRequest(db, { id, decision, decidedBy: userIdOf(actor) }, nowMs);
    if (decided === undefined) throw new AppError("conflict", "This request was answered before.");
    await audit(db, actor, entryOf(decided, "provider-request.decide", { after: { decision } }), nowMs);
    if (decision === "approved") {
      await putMember(deps, { transaction, actor, group }, { userId: request.userId, role: "provider" });
    }
    return decided;
  });
}

async function checkRoom(
  db: Kysely<Schema>,
  { groupId, userId }: { readonly groupId: string; readonly userId: string },
): Promise<void> {
  const { maxRequestsPerUser, maxRequestsPerGroup } = GROUP_LIMITS;
  if ((await countOpenProviderRequests(db, { userId })) >= maxRequestsPerUser) {
    throw new AppError("conflict", `${maxRequestsPerUser} of your requests wait for an answer. Take one back first.`);
  }
  if ((await countOpenProviderRequests(db, { groupId })) >= maxRequestsPerGroup) {
    throw new AppError("conflict", "Too many requests for this group wait for an answer. Try again later.");
  }
}

/** Who left a private group meanwhile is not brought back by it. @throws AppError `conflict` */
async function checkStillMember(
  db: Kysely<Schema>,
  group: Pick<GroupRecord, "id" | "kind">,
  userId: string,
  nowMs: number,
): Promise<void> {
  if (group.kind !== "private") return;
  const membership = await findMembership(db, { groupId: group.id, userId });
  if (membership !== undefined && isActiveMembership(membership, nowMs)) return;
  throw new AppError("conflict", "Whoever asked is no member any more. They may come back with an invite.");
}

function entryOf(
  { id, groupId, userId }: ProviderRequest,
  action: string,
  change: Pick<AuditEntry, "after">,
): AuditEntry {
  const after = { user_id: userId, ...change.after };
  return { action, objectType: "provider-request", objectId: id, groupId, after };
}

function noRequest(): AppError {
  return new AppError("not_found", "There is no such request.");
}
