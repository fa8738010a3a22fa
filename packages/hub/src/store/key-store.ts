import type { Kysely, Selectable, SelectQueryBuilder } from "kysely";

import type { KeyKind } from "./access-schema.ts";
import type { AccessTransaction } from "./database.ts";
import { type KeyRules, parseKeyRules } from "./key-rules.ts";
import type { Page } from "./page.ts";
import { LAST_USED_STEP_MS } from "./request-row.ts";
import type { Schema } from "./schema.ts";

/** A key to keep. The secret itself is not here and is kept nowhere. What is left out does not restrict. */
export interface NewKey {
  readonly id: string;
  readonly kind: KeyKind;
  /** Chosen by people, need not be unique. */
  readonly name: string;
  /** The first characters of the secret, to tell keys apart in a list. */
  readonly prefix: string;
  /** SHA-256 of the secret, base64url. Unique. */
  readonly hash: string;
  readonly createdAtMs: number;
  /** Left out: the operator. Never changes. */
  readonly ownerId?: string | undefined;
  /** Of an API key; left out: the operator's group. */
  readonly groupId?: string | undefined;
  readonly fallbackGroupId?: string | undefined;
  readonly expiresAtMs?: number | undefined;
  /** Nano-credits, below 2^53. */
  readonly spendingLimit?: bigint | undefined;
  readonly rules?: KeyRules | undefined;
}

export interface KeyRecord extends NewKey {
  readonly ownerId: string | undefined;
  readonly groupId: string | undefined;
  readonly fallbackGroupId: string | undefined;
  readonly expiresAtMs: number | undefined;
  readonly spendingLimit: bigint | undefined;
  readonly rules: KeyRules;
  readonly revokedAtMs: number | undefined;
  readonly disabledAtMs: number | undefined;
  /** To the minute. undefined: never seen in a request. */
  readonly lastUsedAtMs: number | undefined;
  /** Nano-credits. */
  readonly spent: bigint;
  /** Until when the secret from before the last rotation works. */
  readonly previousUntilMs: number | undefined;
  /** Grows with each change of what people see of it. */
  readonly version: number;
  readonly revision: number;
}

/** What is there is changed; a field that is there and undefined stops restricting. */
export interface KeyChange {
  readonly name?: string;
  readonly groupId?: string | undefined;
  readonly fallbackGroupId?: string | undefined;
  readonly expiresAtMs?: number | undefined;
  readonly spendingLimit?: bigint | undefined;
  readonly rules?: KeyRules;
  readonly disabledAtMs?: number | undefined;
}

/** Which keys; what is left out is not asked for. */
export interface KeyFilter {
  /** null: the operator's own. */
  readonly ownerId?: string | null | undefined;
  readonly kind?: KeyKind | undefined;
  readonly name?: string | undefined;
  /** Keys that use or fall back to it. */
  readonly groupId?: string | undefined;
  readonly isRevoked?: boolean | undefined;
}

export async function insertKey({ db, revision }: AccessTransaction, key: NewKey): Promise<KeyRecord> {
  const row = await db
    .insertInto("keys")
    .values({
      id: key.id,
      kind: key.kind,
      name: key.name,
      prefix: key.prefix,
      hash: key.hash,
      created_at_ms: key.createdAtMs,
      owner_id: key.ownerId ?? null,
      group_id: key.groupId ?? null,
      fallback_group_id: key.fallbackGroupId ?? null,
      expires_at_ms: key.expiresAtMs ?? null,
      spending_limit: toColumn(key.spendingLimit),
      rules: JSON.stringify(key.rules ?? {}),
      revision,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  return toKey(row);
}

/** @param ownerId Only when it is theirs; null: the operator's; left out: anybody's. */
export async function keyById(db: Kysely<Schema>, id: string, ownerId?: string | null): Promise<KeyRecord | undefined> {
  const row = await filtered(db, { ownerId }).where("id", "=", id).executeTakeFirst();
  return row && toKey(row);
}

/** The newest first, after the key `after` when that is given. */
export async function keyRecords(db: Kysely<Schema>, filter: KeyFilter, page: Page): Promise<readonly KeyRecord[]> {
  let query = filtered(db, filter);
  if (page.after !== undefined) query = query.where("id", "<", page.after);
  const rows = await query.orderBy("id", "desc").limit(page.limit).execute();
  return rows.map(toKey);
}

/** Keys of a user that were not revoked. */
export async function countLiveKeys(db: Kysely<Schema>, ownerId: string): Promise<number> {
  const { count } = await db
    .selectFrom("keys")
    .select((eb) => eb.fn.countAll().as("count"))
    .where("owner_id", "=", ownerId)
    .where("revoked_at_ms", "is", null)
    .executeTakeFirstOrThrow();
  return Number(count);
}

/** The key after the change; undefined when there is none. */
export async function changeKey(
  { db, revision }: AccessTransaction,
  id: string,
  change: KeyChange,
): Promise<KeyRecord | undefined> {
  const row = await db
    .updateTable("keys")
    .set((eb) => ({
      ...(change.name !== undefined && { name: change.name }),
      ...("groupId" in change && { group_id: change.groupId ?? null }),
      ...("fallbackGroupId" in change && { fallback_group_id: change.fallbackGroupId ?? null }),
      ...("expiresAtMs" in change && { expires_at_ms: change.expiresAtMs ?? null }),
      ...("spendingLimit" in change && { spending_limit: toColumn(change.spendingLimit) }),
      ...(change.rules !== undefined && { rules: JSON.stringify(change.rules) }),
      ...("disabledAtMs" in change && { disabled_at_ms: change.disabledAtMs ?? null }),
      version: eb("version", "+", 1),
      revision,
    }))
    .where("id", "=", id)
    .returningAll()
    .executeTakeFirst();
  return row && toKey(row);
}

/** Gives a key another secret. The one before works until `previousUntilMs`; undefined: no more. One from before that is forgotten. */
export async function rotateKey(
  { db, revision }: AccessTransaction,
  id: string,
  rotation: { readonly hash: string; readonly prefix: string; readonly previousUntilMs: number | undefined },
): Promise<KeyRecord | undefined> {
  const { hash, prefix, previousUntilMs } = rotation;
  const row = await db
    .updateTable("keys")
    .set((eb) => ({
      previous_hash: previousUntilMs === undefined ? null : eb.ref("hash"),
      previous_until_ms: previousUntilMs ?? null,
      hash,
      prefix,
      version: eb("version", "+", 1),
      revision,
    }))
    .where("id", "=", id)
    .returningAll()
    .executeTakeFirst();
  return row && toKey(row);
}

/** Keys of one statement: SQLite takes 32,766 values in one, and a long one keeps others waiting. */
const NOTED_AT_ONCE = 500;

/** Keeps when keys were last used, to the minute. Nothing about what they may do changes, so no hub is told. */
export async function noteKeysUsed(db: Kysely<Schema>, keyIds: readonly string[], atMs: number): Promise<void> {
  // In one order: two hubs that note the same keys must not wait for each other.
  const sorted = keyIds.toSorted();
  for (let from = 0; from < sorted.length; from += NOTED_AT_ONCE) {
    await db
      .updateTable("keys")
      .set({ last_used_at_ms: atMs })
      .where("id", "in", sorted.slice(from, from + NOTED_AT_ONCE))
      .where((eb) => eb.or([eb("last_used_at_ms", "is", null), eb("last_used_at_ms", "<=", atMs - LAST_USED_STEP_MS)]))
      .execute();
  }
}

/** Ends a key for ever; undefined when it was before, or there is none. The row stays, so that the door can say so. */
export async function revokeKey(
  { db, revision }: AccessTransaction,
  id: string,
  nowMs: number,
): Promise<KeyRecord | undefined> {
  const row = await db
    .updateTable("keys")
    .set((eb) => ({ revoked_at_ms: nowMs, version: eb("version", "+", 1), revision }))
    .where("id", "=", id)
    .where("revoked_at_ms", "is", null)
    .returningAll()
    .executeTakeFirst();
  return row && toKey(row);
}

/** Ends every key of a user for ever. Returns the ids of those that were not ended before. */
export async function revokeKeysOf(
  transaction: AccessTransaction,
  ownerId: string,
  nowMs: number,
): Promise<readonly string[]> {
  const live = transaction.db
    .selectFrom("keys")
    .select("id")
    .where("owner_id", "=", ownerId)
    .where("revoked_at_ms", "is", null);
  const ids = (await live.execute()).map(({ id }) => id).toSorted();
  // One after the other, in the order in which the request log notes their last use: two that lock the same rows in different orders
  // wait for each other, and PostgreSQL gives up one of them.
  for (const id of ids) await revokeKey(transaction, id, nowMs);
  return ids;
}

type KeyQuery = SelectQueryBuilder<Schema, "keys", Selectable<Schema["keys"]>>;

function filtered(db: Kysely<Schema>, { ownerId, kind, name, groupId, isRevoked }: KeyFilter): KeyQuery {
  let query = db.selectFrom("keys").selectAll();
  if (ownerId === null) query = query.where("owner_id", "is", null);
  else if (ownerId !== undefined) query = query.where("owner_id", "=", ownerId);
  if (kind !== undefined) query = query.where("kind", "=", kind);
  if (name !== undefined) query = query.where("name", "=", name);
  if (groupId !== undefined) {
    query = query.where((eb) => eb.or([eb("group_id", "=", groupId), eb("fallback_group_id", "=", groupId)]));
  }
  if (isRevoked !== undefined) query = query.where("revoked_at_ms", isRevoked ? "is not" : "is", null);
  return query;
}

/** Amounts are whole numbers in the database. */
function toColumn(amount: bigint | undefined): number | null {
  if (amount === undefined) return null;
  if (amount < 0n || amount > BigInt(Number.MAX_SAFE_INTEGER)) throw new RangeError("an amount is from 0 to 2^53 - 1");
  return Number(amount);
}

function toKey(row: Selectable<Schema["keys"]>): KeyRecord {
  return {
    id: row.id,
    kind: row.kind,
    name: row.name,
    prefix: row.prefix,
    hash: row.hash,
    createdAtMs: row.created_at_ms,
    ownerId: row.owner_id ?? undefined,
    groupId: row.group_id ?? undefined,
    fallbackGroupId: row.fallback_group_id ?? undefined,
    expiresAtMs: row.expires_at_ms ?? undefined,
    spendingLimit: row.spending_limit === null ? undefined : BigInt(row.spending_limit),
    rules: parseKeyRules(row.rules),
    revokedAtMs: row.revoked_at_ms ?? undefined,
    disabledAtMs: row.disabled_at_ms ?? undefined,
    lastUsedAtMs: row.last_used_at_ms ?? undefined,
    spent: BigInt(row.spent),
    previousUntilMs: row.previous_until_ms ?? undefined,
    version: row.version,
    revision: row.revision,
  };
}
