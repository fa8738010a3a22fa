import type { Kysely } from "kysely";

import { AppError } from "../errors.ts";
import type { UserActor } from "../identity/actor.ts";
import { newTypedCode, typedHashOf } from "../identity/invite-code.ts";
import { hashOfSecret } from "../identity/key-secret.ts";
import { newOpaqueSecret } from "../identity/opaque-secret.ts";
import { networkOf } from "../network.ts";
import { newId } from "../new-id.ts";
import { audit, type AuditEntry, hubActor } from "../store/audit-store.ts";
import {
  confirmDeviceJoin,
  countDeviceJoins,
  type DeviceJoin,
  endDeviceJoin,
  findDeviceJoin,
  insertDeviceJoin,
} from "../store/device-join-store.ts";
import { findGroup, type GroupRecord } from "../store/group-store.ts";
import { findInvite, type InviteRecord } from "../store/invite-store.ts";
import type { Schema } from "../store/schema.ts";
import { GROUP_LIMITS } from "./group-limits.ts";
import { checkedName } from "./group-text.ts";
import type { PollPace } from "./poll-pace.ts";
import { endedInvite, knownInvite, type RedeemDeps, redeemIn } from "./redeem.ts";
import { issueWorkerKey, type JoinedWorker } from "./worker-keys.ts";

export interface DeviceJoinDeps extends RedeemDeps {
  readonly pace: PollPace;
}

/** What a machine shows its person, and what it asks with. */
export interface StartedDeviceJoin {
  /** For the machine alone: whoever has it gets the key. */
  readonly secret: string;
  /** For the person to compare, or to type: `XXXX-XXXX`. */
  readonly userCode: string;
  /** Opens the page where the person says yes. */
  readonly link: string;
  readonly expiresAtMs: number;
  readonly pollMs: number;
  readonly group: GroupRecord;
}

/** What a person is asked to say yes to. */
export interface SeenDeviceJoin {
  /** As the machine names itself. */
  readonly machine: string;
  /** Where it asked from. */
  readonly address: string;
  readonly group: GroupRecord;
  readonly expiresAtMs: number;
  readonly state: "waiting" | "confirmed" | "refused" | "used";
}

export type PolledDeviceJoin =
  | { readonly state: "waiting"; readonly pollMs: number }
  | { readonly state: "refused" }
  | ({ readonly state: "joined" } & JoinedWorker);

/** 5 bits each: 40 bits, good for ten minutes and a handful of tries. */
const USER_CODE_LENGTH = 8;

/**
 * A machine without an account asks to serve with an invite (as RFC 8628 has it). Takes no use of it: that does the person who
 * says yes.
 *
 * @throws AppError `not_found`, `invite_ended`, `conflict` for an invite that lets nobody serve, `rate_limit_exceeded`,
 * `invalid_request`
 */
export async function startDeviceJoin(
  deps: DeviceJoinDeps,
  asked: { readonly code: string; readonly machine: string; readonly address: string },
): Promise<StartedDeviceJoin> {
  const machine = checkedName(asked.machine, "machine");
  const { invite, group } = await inviteForMachines(deps, asked.address, asked.code);
  const nowMs = deps.now();
  const expiresAtMs = nowMs + GROUP_LIMITS.deviceJoinMs;
  const secret = newOpaqueSecret();
  const userCode = newTypedCode(USER_CODE_LENGTH);
  const network = networkOf(asked.address);
  await deps.database.write(async ({ db }) => {
    await checkRoom(db, { address: network, inviteId: invite.id }, nowMs);
    await insertDeviceJoin(db, {
      id: newId("join", nowMs),
      secretHash: hashOfSecret(secret),
      codeHash: codeHashOf(userCode) ?? "",
      inviteId: invite.id,
      machine,
      address: network,
      createdAtMs: nowMs,
      expiresAtMs,
    });
  });
  const link = deps.settings.publicUrl.of("/join", `${asked.code}&machine=${userCode}`);
  return { secret, userCode, link, expiresAtMs, pollMs: GROUP_LIMITS.devicePollMs, group };
}

/** What the person is asked. @throws AppError `not_found` for a wrong code or one that ran out, `rate_limit_exceeded` */
export async function readDeviceJoin(
  deps: DeviceJoinDeps,
  actor: UserActor,
  userCode: string,
): Promise<SeenDeviceJoin> {
  const join = await joinOf(deps, actor, userCode);
  const { group } = await invitedTo(deps.database.db, join);
  const { machine, address, expiresAtMs } = join;
  return { machine, address, group, expiresAtMs, state: stateOf(join) };
}

/**
 * The person says yes: the invite is redeemed for them, and the machine gets a key in their name with its next question.
 *
 * @throws AppError as `redeemCode`; `not_found` for a wrong code; `conflict` when it was answered before
 */
export async function confirmJoin(deps: DeviceJoinDeps, actor: UserActor, userCode: string): Promise<SeenDeviceJoin> {
  const nowMs = deps.now();
  const join = await joinOf(deps, actor, userCode);
  const group = await deps.database.write(async (transaction) => {
    const { db } = transaction;
    if (!(await confirmDeviceJoin(db, { id: join.id, userId: actor.user.id }, nowMs))) throw answered();
    const invited = await invitedTo(transaction.db, join);
    const { hash } = invited.invite;
    await redeemIn(deps, transaction, { by: actor, userId: actor.user.id, hash }, nowMs);
    await audit(db, actor, entryOf(join, invited.group, "device-join.confirm"), nowMs);
    return invited.group;
  });
  const { machine, address, expiresAtMs } = join;
  return { machine, address, group, expiresAtMs, state: "confirmed" };
}

/** The person says no. @throws AppError `not_found`, `conflict` when it was answered before, `rate_limit_exceeded` */
export async function refuseJoin(deps: DeviceJoinDeps, actor: UserActor, userCode: string): Promise<void> {
  const nowMs = deps.now();
  const join = await joinOf(deps, actor, userCode);
  await deps.database.write(async (transaction) => {
    const { db } = transaction;
    if (!(await endDeviceJoin(db, { id: join.id, outcome: "refused" }, nowMs))) throw answered();
    const { group } = await invitedTo(transaction.db, join);
    await audit(db, actor, entryOf(join, group, "device-join.refuse"), nowMs);
  });
}

/**
 * The machine asks whether its person said yes. The key is handed out once: an answer that gets lost means starting again.
 *
 * @throws AppError `not_found` when it ran out, `rate_limit_exceeded` when it asks too often, `forbidden` when the person may
 * not serve there any more, `conflict`
 */
export async function pollDeviceJoin(
  deps: DeviceJoinDeps,
  asked: { readonly secret: string; readonly address: string; readonly requestId?: string },
): Promise<PolledDeviceJoin> {
  const secretHash = hashOfSecret(asked.secret);
  deps.pace.take(secretHash);
  const nowMs = deps.now();
  const join = await findDeviceJoin(deps.database.db, { secretHash }, nowMs);
  if (join === undefined || join.outcome === "used") throw ranOut();
  if (join.outcome === "refused") return { state: "refused" };
  const { confirmedBy: userId, machine } = join;
  if (userId === undefined) return { state: "waiting", pollMs: GROUP_LIMITS.devicePollMs };
  const joined = await deps.database.write(async (transaction) => {
    if (!(await endDeviceJoin(transaction.db, { id: join.id, outcome: "used" }, nowMs))) throw ranOut();
    const { group } = await invitedTo(transaction.db, join);
    const by = hubActor(asked);
    return issueWorkerKey(transaction, { by, userId, group, machine }, nowMs);
  });
  return { state: "joined", ...joined };
}

/**
 * The same in one step, for who has an account and a token on the machine: redeems the invite and makes the key.
 *
 * @throws AppError as `redeemCode`; `conflict` for an invite that lets nobody serve, and for too many keys
 */
export async function joinWorker(
  deps: RedeemDeps,
  actor: UserActor,
  asked: { readonly code: string; readonly machine: string },
): Promise<JoinedWorker> {
  const machine = checkedName(asked.machine, "machine");
  const { invite, group } = await inviteForMachines(deps, actor, asked.code);
  const nowMs = deps.now();
  const userId = actor.user.id;
  return deps.database.write(async (transaction) => {
    await redeemIn(deps, transaction, { by: actor, userId, hash: invite.hash }, nowMs);
    return issueWorkerKey(transaction, { by: actor, userId, group, machine }, nowMs);
  });
}

/** One that is used up will do for whoever used it, and has another machine: who says yes decides that. */
async function inviteForMachines(
  deps: RedeemDeps,
  by: UserActor | string,
  code: string,
): Promise<{ invite: InviteRecord; group: GroupRecord }> {
  const state = await knownInvite(deps, by, code);
  const { invite, group } = state;
  if (state.outcome === "ended" && state.end !== "used-up") throw endedInvite(state.end);
  if (group !== undefined && invite.role === "provider") return { invite, group };
  throw new AppError("conflict", "This invite is for using models. A machine needs one with the role provider.");
}

function codeHashOf(userCode: string): string | undefined {
  return typedHashOf(userCode, USER_CODE_LENGTH);
}

async function joinOf(deps: DeviceJoinDeps, actor: UserActor, userCode: string): Promise<DeviceJoin> {
  const codeHash = codeHashOf(userCode);
  const join = codeHash && (await findDeviceJoin(deps.database.db, { codeHash }, deps.now()));
  if (!join) throw deps.guesses.wrong(actor, "No machine waits with this code. It waits ten minutes: start it again.");
  return join;
}

/** @throws AppError `not_found` when the group was deleted meanwhile */
async function invitedTo(
  db: Kysely<Schema>,
  { inviteId }: DeviceJoin,
): Promise<{ invite: InviteRecord; group: GroupRecord }> {
  const invite = await findInvite(db, { id: inviteId });
  const group = invite?.groupId === undefined ? undefined : await findGroup(db, invite.groupId);
  if (invite === undefined || group === undefined) throw new AppError("not_found", "The group is gone.");
  return { invite, group };
}

async function checkRoom(
  db: Kysely<Schema>,
  { address, inviteId }: { readonly address: string; readonly inviteId: string },
  nowMs: number,
): Promise<void> {
  const isFull =
    (await countDeviceJoins(db, { address }, nowMs)) >= GROUP_LIMITS.maxDeviceJoinsPerAddress ||
    (await countDeviceJoins(db, { inviteId }, nowMs)) >= GROUP_LIMITS.maxDeviceJoinsPerInvite ||
    (await countDeviceJoins(db, {}, nowMs)) >= GROUP_LIMITS.maxDeviceJoins;
  if (!isFull) return;
  throw new AppError("rate_limit_exceeded", "Too many machines wait for their person. Try again in some minutes.", {
    retryAfter: 60,
  });
}

function stateOf({ outcome, confirmedBy }: DeviceJoin): SeenDeviceJoin["state"] {
  return outcome ?? (confirmedBy === undefined ? "waiting" : "confirmed");
}

function entryOf({ id, machine, address }: DeviceJoin, group: GroupRecord, action: string): AuditEntry {
  return { action, objectType: "device-join", objectId: id, groupId: group.id, after: { machine, address } };
}

function answered(): AppError {
  return new AppError("conflict", "This machine was answered before.");
}

function ranOut(): AppError {
  return new AppError("not_found", "Nobody said yes in time, or the key was handed out already. Start again.");
}
