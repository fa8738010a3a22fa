import { AppError } from "../errors.ts";
import { newId } from "../new-id.ts";
import type { KeyKind } from "../store/access-schema.ts";
import { audit, difference } from "../store/audit-store.ts";
import type { AccessTransaction, Database } from "../store/database.ts";
import type { KeyRules } from "../store/key-rules.ts";
import {
  changeKey,
  countLiveKeys,
  insertKey,
  keyById,
  type KeyChange,
  type KeyRecord,
  keyRecords,
  revokeKey as endKey,
  rotateKey as changeSecret,
} from "../store/key-store.ts";
import type { Page } from "../store/page.ts";
import { userById, type UserRecord } from "../store/user-store.ts";
import { type Actor, isAdmin, seesAll, userIdOf } from "./actor.ts";
import { checkVersion } from "./check-version.ts";
import {
  checkGroups,
  checkedKeyName,
  checkedRules,
  checkExpiry,
  checkSpendingLimit,
  KEY_LIMITS,
} from "./key-checks.ts";
import { hashOfSecret, newKeySecret, shownPrefix } from "./key-secret.ts";
import { shownKey } from "./shown-key.ts";

/** What everything about keys works with. */
export interface KeysDeps {
  readonly database: Database;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

export interface KeyInput {
  readonly kind: KeyKind;
  readonly name: string;
  /** The operator's to say; left out: the actor. */
  readonly ownerId?: string | undefined;
  /** Of an API key. Left out: the operator's group, for those who run the hub. */
  readonly groupId?: string | undefined;
  readonly fallbackGroupId?: string | undefined;
  readonly expiresAtMs?: number | undefined;
  /** Nano-credits. */
  readonly spendingLimit?: bigint | undefined;
  readonly rules?: KeyRules | undefined;
}

export type KeyPatch = Omit<KeyChange, "disabledAtMs"> & { readonly isDisabled?: boolean };

/** A key with its secret, which is nowhere else and can never be read again. */
export interface FreshKey {
  readonly secret: string;
  readonly key: KeyRecord;
}

/** A key as the caller saw it last. */
export interface SeenKey {
  readonly keyId: string;
  /** undefined: whatever it is. */
  readonly version: number | undefined;
}

export interface KeyListing {
  /** Keys of everybody, for those who see all. */
  readonly all?: boolean | undefined;
  readonly ownerId?: string | undefined;
  readonly kind?: KeyKind | undefined;
  readonly groupId?: string | undefined;
  readonly isRevoked?: boolean | undefined;
}

/**
 * Makes a key for the actor; only the operator makes one for somebody else, as whoever has a secret is taken for its owner.
 *
 * @throws AppError `invalid_request`, `forbidden`, `conflict` when the owner has too many
 */
export async function createKey(deps: KeysDeps, actor: Actor, input: KeyInput): Promise<FreshKey> {
  const { kind } = input;
  const name = checkedKeyName(input.name);
  const rules = checkedRules(kind, input.rules ?? {});
  const nowMs = deps.now();
  checkExpiry(input.expiresAtMs, nowMs);
  checkSpendingLimit(input.spendingLimit);
  const secret = newKeySecret(kind);
  return deps.database.write(async (transaction) => {
    const owner = await ownerOfNew(transaction, actor, input.ownerId);
    if (owner !== undefined) await checkMayHaveMore(transaction, owner);
    const { groupId, fallbackGroupId } = input;
    await checkGroups(transaction.db, { kind, owner, groupId, fallbackGroupId, rules }, nowMs);
    const key = await insertKey(transaction, {
      id: newId("key", nowMs),
      kind,
      name,
      prefix: shownPrefix(secret),
      hash: hashOfSecret(secret),
      createdAtMs: nowMs,
      ownerId: owner?.id,
      groupId,
      fallbackGroupId,
      expiresAtMs: input.expiresAtMs,
      spendingLimit: input.spendingLimit,
      rules,
    });
    await audit(transaction.db, actor, { ...objectOf(key), action: "key.create", after: shownKey(key) }, nowMs);
    return { secret, key };
  });
}

/** The actor's keys, or everybody's for those who see all, the newest first. @throws AppError `forbidden` */
export async function listKeys(
  deps: KeysDeps,
  actor: Actor,
  wanted: KeyListing,
  page: Page,
): Promise<readonly KeyRecord[]> {
  const { kind, groupId, isRevoked } = wanted;
  const isForOthers = wanted.all === true || (wanted.ownerId !== undefined && wanted.ownerId !== userIdOf(actor));
  if (isForOthers && !seesAll(actor))
    throw new AppError("forbidden", "Only whoever runs the hub sees the keys of others.");
  const ownerId = wanted.ownerId ?? (wanted.all === true ? undefined : userIdOf(actor));
  return keyRecords(deps.database.db, { ownerId, kind, groupId, isRevoked }, page);
}

/** @throws AppError `not_found` also for a key that the actor may not see. */
export async function readKey(deps: KeysDeps, actor: Actor, keyId: string): Promise<KeyRecord> {
  const key = await keyById(deps.database.db, keyId, seesAll(actor) ? undefined : userIdOf(actor));
  return key ?? noKey();
}

/**
 * Changes what a key may do. Running hubs follow within 100 ms.
 *
 * @throws AppError `not_found`, `forbidden`, `invalid_request`, `precondition_failed`, `conflict` for a revoked key
 */
export async function updateKey(deps: KeysDeps, actor: Actor, seen: SeenKey, patch: KeyPatch): Promise<KeyRecord> {
  const nowMs = deps.now();
  checkExpiry(patch.expiresAtMs, nowMs);
  checkSpendingLimit(patch.spendingLimit);
  return deps.database.write(async (transaction) => {
    const { db } = transaction;
    const before = await managedKey(transaction, actor, seen);
    const change = changeOf(before, patch, nowMs);
    await checkNewGroups(transaction, before, change, nowMs);
    const after = (await changeKey(transaction, before.id, change)) ?? noKey();
    const changed = difference(shownKey(before), shownKey(after));
    await audit(db, actor, { ...objectOf(after), action: "key.update", ...changed }, nowMs);
    return after;
  });
}

/**
 * Gives a key a new secret. The old one works for `overlapMs` more, at most `KEY_LIMITS.maxOverlapMs`; one that was rotated away
 * before that ends now. Only the key's owner gets a secret, and the operator.
 *
 * @throws AppError `not_found`, `forbidden`, `invalid_request`, `precondition_failed`, `conflict` for a revoked key
 */
export async function rotateKey(
  deps: KeysDeps,
  actor: Actor,
  seen: SeenKey,
  { overlapMs }: { readonly overlapMs: number },
): Promise<FreshKey> {
  const nowMs = deps.now();
  if (!Number.isSafeInteger(overlapMs) || overlapMs < 0 || overlapMs > KEY_LIMITS.maxOverlapMs) {
    const days = KEY_LIMITS.maxOverlapMs / 86_400_000;
    throw new AppError("invalid_request", `overlap_ms: must be from 0 to ${KEY_LIMITS.maxOverlapMs} (${days} days).`, {
      param: "overlap_ms",
    });
  }
  return deps.database.write(async (transaction) => {
    const before = await managedKey(transaction, actor, seen);
    if (actor.kind === "user" && before.ownerId !== actor.user.id) {
      throw new AppError("forbidden", "Only a key's owner gets its secret. Revoke it, or ask them to rotate it.");
    }
    const secret = newKeySecret(before.kind);
    const previousUntilMs = overlapMs === 0 ? undefined : nowMs + overlapMs;
    const rotation = { hash: hashOfSecret(secret), prefix: shownPrefix(secret), previousUntilMs };
    const key = (await changeSecret(transaction, before.id, rotation)) ?? noKey();
    const changed = difference(shownKey(before), shownKey(key));
    await audit(transaction.db, actor, { ...objectOf(key), action: "key.rotate", ...changed }, nowMs);
    return { secret, key };
  });
}

/**
 * Ends a key for ever. One that was revoked before stays as it is.
 *
 * @throws AppError `not_found`, `forbidden`, `precondition_failed`
 */
export async function revokeKey(deps: KeysDeps, actor: Actor, seen: SeenKey): Promise<KeyRecord> {
  const nowMs = deps.now();
  return deps.database.write(async (transaction) => {
    const before = await ownedKey(transaction, actor, seen.keyId);
    if (before.revokedAtMs !== undefined) return before;
    checkVersion(before, seen.version);
    const key = (await endKey(transaction, before.id, nowMs)) ?? noKey();
    await audit(transaction.db, actor, { ...objectOf(key), action: "key.revoke", before: shownKey(before) }, nowMs);
    return key;
  });
}

/** @throws AppError `invalid_request` */
function changeOf(before: KeyRecord, { isDisabled, ...patch }: KeyPatch, nowMs: number): KeyChange {
  const isOther = isDisabled !== undefined && isDisabled !== (before.disabledAtMs !== undefined);
  return {
    ...patch,
    ...(patch.name !== undefined && { name: checkedKeyName(patch.name) }),
    ...(patch.rules !== undefined && { rules: checkedRules(before.kind, patch.rules) }),
    ...(isOther && { disabledAtMs: isDisabled ? nowMs : undefined }),
  };
}

/** What stays is not checked: a key whose group is gone can still be renamed. */
async function checkNewGroups(
  { db }: AccessTransaction,
  before: KeyRecord,
  change: KeyChange,
  nowMs: number,
): Promise<void> {
  const { rules = {} } = change;
  if (!("groupId" in change || "fallbackGroupId" in change || rules.serveGroups !== undefined)) return;
  const { kind, ownerId, groupId, fallbackGroupId } = { ...before, ...change };
  const owner = ownerId === undefined ? undefined : await userById(db, ownerId);
  await checkGroups(db, { kind, owner, groupId, fallbackGroupId, rules }, nowMs);
}

/** A key that can still be changed. */
async function managedKey(transaction: AccessTransaction, actor: Actor, seen: SeenKey): Promise<KeyRecord> {
  const key = await ownedKey(transaction, actor, seen.keyId);
  if (key.revokedAtMs !== undefined) throw new AppError("conflict", "The key was revoked. Make a new one.");
  checkVersion(key, seen.version);
  return key;
}

/** The actor's own key, or anybody's for whoever runs the hub; but an admin has no power over root. */
async function ownedKey({ db }: AccessTransaction, actor: Actor, keyId: string): Promise<KeyRecord> {
  const key = await keyById(db, keyId, isAdmin(actor) ? undefined : userIdOf(actor));
  if (key === undefined) return noKey();
  if (actor.kind === "operator" || key.ownerId === actor.user.id || actor.user.role === "root") return key;
  const owner = key.ownerId === undefined ? undefined : await userById(db, key.ownerId);
  if (owner?.role === "root") throw new AppError("forbidden", "This key belongs to root.");
  return key;
}

/** undefined: the operator. */
async function ownerOfNew(
  { db }: AccessTransaction,
  actor: Actor,
  wanted: string | undefined,
): Promise<UserRecord | undefined> {
  const ownerId = wanted ?? userIdOf(actor);
  if (ownerId === undefined) return undefined;
  if (actor.kind === "user" && ownerId !== actor.user.id) {
    throw new AppError(
      "forbidden",
      "A key can only be made for oneself: whoever has its secret is taken for its owner.",
    );
  }
  const owner = await userById(db, ownerId);
  if (owner !== undefined && owner.disabledAtMs === undefined) return owner;
  throw new AppError("invalid_request", "owner_id: there is no such user, or the account is closed.", {
    param: "owner_id",
  });
}

async function checkMayHaveMore({ db }: AccessTransaction, owner: UserRecord): Promise<void> {
  if ((await countLiveKeys(db, owner.id)) < KEY_LIMITS.maxKeysPerUser) return;
  throw new AppError("conflict", `A user has at most ${KEY_LIMITS.maxKeysPerUser} keys. Revoke one first.`);
}

function objectOf(key: KeyRecord): { readonly objectType: "key"; readonly objectId: string } {
  return { objectType: "key", objectId: key.id };
}

function noKey(): never {
  throw new AppError("not_found", "There is no such key, or you may not see it.");
}
