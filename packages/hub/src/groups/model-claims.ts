import type { Kysely } from "kysely";

import { AppError } from "../errors.ts";
import { type Actor, userIdOf } from "../identity/actor.ts";
import { foldedModelName, isMisleadingModelName } from "../model-name.ts";
import { audit, type AuditEntry } from "../store/audit-store.ts";
import { touchGroup } from "../store/group-store.ts";
import { findMembership, isActiveMembership } from "../store/membership-store.ts";
import {
  countClaims,
  deleteClaims,
  findClaims,
  insertClaims,
  listClaims as listClaimRecords,
  type ModelClaim,
  setClaimAlso,
} from "../store/model-claim-store.ts";
import type { Schema } from "../store/schema.ts";
import { managedGroup, seenGroup } from "./group-access.ts";
import { GROUP_LIMITS } from "./group-limits.ts";
import { refused } from "./group-text.ts";
import type { GroupsDeps } from "./groups-deps.ts";
import { mayServe } from "./may-serve.ts";

/** Everybody who may serve in the group may serve the name. */
export const ANYBODY = "*";

export interface ClaimAsked {
  readonly groupId: string;
  /** undefined: the operator. */
  readonly ownerId: string | undefined;
  /** Names that a worker of theirs announced. */
  readonly models: readonly string[];
}

/** What may be served of what was asked for, and why not the rest. */
export interface Claimed {
  readonly allowed: readonly string[];
  /** Somebody else was first. */
  readonly taken: readonly string[];
  /** The owner keeps as many names in the group as they may. */
  readonly tooMany: readonly string[];
  /** They are not what they look like: see {@link isMisleadingModelName}. */
  readonly misleading: readonly string[];
}

const NOTHING: Claimed = { allowed: [], taken: [], tooMany: [], misleading: [] };

/**
 * Which of its model names an owner's worker may serve in a group. The first to serve a name keeps it, also while their workers
 * are away; others are let in by the group's owner alone. A name whose keeper may serve there no more is free. Names that differ in
 * case, width or form alone are one name, in all spellings; one that misleads is not claimed anew.
 *
 * One read when nothing is new. Of who may not serve there at all no name is in any of the lists.
 */
export async function claimModels(deps: GroupsDeps, asked: ClaimAsked): Promise<Claimed> {
  const { database } = deps;
  const { groupId, ownerId } = asked;
  const nowMs = deps.now();
  const models = [...new Set(asked.models)];
  if (!(await mayServe(database.db, { userId: ownerId, groupId }, nowMs))) {
    return NOTHING;
  }
  const claims = await findClaims(database.db, groupId, models);
  const isNew = freshOf(models, claims).length > 0 || (await deadOf(database.db, claims, ownerId, nowMs)).length > 0;
  if (!isNew) return decided({ ...asked, models }, claims);
  return database.write(async ({ db }) => {
    for (const { model } of await deadOf(db, await findClaims(db, groupId, models), ownerId, nowMs)) {
      await deleteClaims(db, { groupId, model });
    }
    const key = { groupId, ownerId: ownerId ?? "" };
    const fresh = freshOf(models, await findClaims(db, groupId, models));
    const room = Math.max(0, GROUP_LIMITS.maxClaimsPerOwner - (await countClaims(db, key)));
    await insertClaims(db, key, fresh.slice(0, room), nowMs);
    return decided({ ...asked, models }, await findClaims(db, groupId, models));
  });
}

/** Whose names they are in a group, by name; `page.after` is a name. For its members. @throws AppError `not_found` */
export async function listClaims(
  deps: GroupsDeps,
  actor: Actor,
  groupId: string,
  page: { readonly limit: number; readonly after?: string | undefined },
): Promise<readonly ModelClaim[]> {
  const { db } = deps.database;
  await seenGroup(db, actor, groupId, deps.now());
  return listClaimRecords(db, groupId, page);
}

/**
 * Lets others serve a name besides the one who keeps it, in place of those before.
 *
 * @param asked.also Ids of active members, or {@link ANYBODY}.
 * @throws AppError `not_found`, `forbidden`, `invalid_request`
 */
export async function allowModel(
  deps: GroupsDeps,
  actor: Actor,
  asked: { readonly groupId: string; readonly model: string; readonly also: readonly string[] },
): Promise<ModelClaim> {
  const nowMs = deps.now();
  const { groupId, model } = asked;
  const also = [...new Set(asked.also)];
  if (also.length > GROUP_LIMITS.maxAlso) throw refused("also", `also: at most ${GROUP_LIMITS.maxAlso} users.`);
  return deps.database.write(async (transaction) => {
    const { db } = transaction;
    await managedGroup(db, actor, groupId, nowMs);
    await checkAreMembers(db, groupId, also, nowMs);
    const [before] = await findClaims(db, groupId, [model]);
    const after = await setClaimAlso(db, { groupId, model, also });
    if (before === undefined || after === undefined) throw noClaim();
    await touchGroup(transaction, groupId);
    const change = { before: { also: before.also }, after: { also } };
    await audit(db, actor, entryOf(after, "model-claim.update", change), nowMs);
    return after;
  });
}

/** Frees a name for the next who serves it. For the group's owner, and for who keeps it. @throws AppError `not_found`, `forbidden` */
export async function releaseModel(
  deps: GroupsDeps,
  actor: Actor,
  asked: { readonly groupId: string; readonly model: string },
): Promise<void> {
  const nowMs = deps.now();
  const { groupId, model } = asked;
  await deps.database.write(async (transaction) => {
    const { db } = transaction;
    const { canManage } = await seenGroup(db, actor, groupId, nowMs);
    const [claim] = await findClaims(db, groupId, [model]);
    if (claim === undefined) throw noClaim();
    if (!canManage && claim.ownerId !== userIdOf(actor)) {
      throw new AppError("forbidden", "Only the group's owner, or who keeps the name, may free it.");
    }
    await deleteClaims(db, { groupId, model });
    await touchGroup(transaction, groupId);
    await audit(db, actor, entryOf(claim, "model-claim.delete", { before: { owner_id: claim.ownerId } }), nowMs);
  });
}

/** Names that could be claimed now, each in one spelling. */
function freshOf(models: readonly string[], claims: readonly ModelClaim[]): readonly string[] {
  const known = new Set(claims.map(({ model }) => foldedModelName(model)));
  return models.filter((model) => {
    const folded = foldedModelName(model);
    if (known.has(folded) || isMisleadingModelName(model)) return false;
    known.add(folded);
    return true;
  });
}

function decided({ ownerId = "", models }: ClaimAsked, claims: readonly ModelClaim[]): Claimed {
  const byName = new Map(claims.map((claim) => [foldedModelName(claim.model), claim]));
  const lists: Record<keyof Claimed, string[]> = { allowed: [], taken: [], tooMany: [], misleading: [] };
  for (const model of models) {
    const claim = byName.get(foldedModelName(model));
    if (claim !== undefined) lists[lets(claim, ownerId) ? "allowed" : "taken"].push(model);
    else lists[isMisleadingModelName(model) ? "misleading" : "tooMany"].push(model);
  }
  return lists;
}

/** "" is the operator, whom nobody names: let in with everybody, or as the one who keeps it. */
function lets({ ownerId, also }: ModelClaim, asker: string): boolean {
  return ownerId === asker || also.includes(ANYBODY) || (asker !== "" && also.includes(asker));
}

/** Claims that stand in the asker's way, of owners who may serve there no more. */
async function deadOf(
  db: Kysely<Schema>,
  claims: readonly ModelClaim[],
  asker: string | undefined,
  nowMs: number,
): Promise<readonly ModelClaim[]> {
  const inTheWay = claims.filter((claim) => !lets(claim, asker ?? ""));
  const serves = new Map<string, boolean>();
  for (const { groupId, ownerId } of inTheWay) {
    if (serves.has(ownerId)) continue;
    serves.set(ownerId, await mayServe(db, { userId: ownerId === "" ? undefined : ownerId, groupId }, nowMs));
  }
  return inTheWay.filter(({ ownerId }) => serves.get(ownerId) === false);
}

async function checkAreMembers(
  db: Kysely<Schema>,
  groupId: string,
  users: readonly string[],
  nowMs: number,
): Promise<void> {
  for (const userId of users) {
    if (userId === ANYBODY) continue;
    const membership = await findMembership(db, { groupId, userId });
    if (membership === undefined || !isActiveMembership(membership, nowMs)) {
      throw refused("also", `also: ${JSON.stringify(userId)} is no active member of the group.`);
    }
  }
}

function entryOf(
  { groupId, model }: ModelClaim,
  action: string,
  change: Pick<AuditEntry, "before" | "after">,
): AuditEntry {
  return { action, objectType: "model-claim", objectId: model, groupId, ...change };
}

function noClaim(): AppError {
  return new AppError("not_found", "Nobody keeps this name in the group.");
}
