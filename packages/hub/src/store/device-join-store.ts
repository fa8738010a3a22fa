import type { Kysely, Selectable } from "kysely";

import type { Schema } from "./schema.ts";

/** A machine that waits for a person to let it serve in their name. */
export interface NewDeviceJoin {
  readonly id: string;
  /** SHA-256 of what the machine asks with, base64url. Unique. */
  readonly secretHash: string;
  /** SHA-256 of what the person types, base64url. Unique. */
  readonly codeHash: string;
  readonly inviteId: string;
  /** As the machine names itself. */
  readonly machine: string;
  /** Where it asked from. */
  readonly address: string;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
}

export interface DeviceJoin extends NewDeviceJoin {
  readonly confirmedBy: string | undefined;
  readonly confirmedAtMs: number | undefined;
  /** `used`: the key was handed out. */
  readonly outcome: "refused" | "used" | undefined;
}

/** Keeps one, and drops all that ran out. */
export async function insertDeviceJoin(db: Kysely<Schema>, join: NewDeviceJoin): Promise<void> {
  await db.deleteFrom("device_joins").where("expires_at_ms", "<=", join.createdAtMs).execute();
  await db
    .insertInto("device_joins")
    .values({
      id: join.id,
      secret_hash: join.secretHash,
      code_hash: join.codeHash,
      invite_id: join.inviteId,
      machine: join.machine,
      address: join.address,
      created_at_ms: join.createdAtMs,
      expires_at_ms: join.expiresAtMs,
      confirmed_by: null,
      confirmed_at_ms: null,
      ended_at_ms: null,
      outcome: null,
    })
    .execute();
}

/** One that has not run out. */
export async function findDeviceJoin(
  db: Kysely<Schema>,
  by: { readonly codeHash: string } | { readonly secretHash: string },
  nowMs: number,
): Promise<DeviceJoin | undefined> {
  const query = db.selectFrom("device_joins").selectAll().where("expires_at_ms", ">", nowMs);
  const found =
    "codeHash" in by ? query.where("code_hash", "=", by.codeHash) : query.where("secret_hash", "=", by.secretHash);
  const row = await found.executeTakeFirst();
  return row && toDeviceJoin(row);
}

/** How many have not run out: all, those from one address, or those with one invite. */
export async function countDeviceJoins(
  db: Kysely<Schema>,
  of: { readonly address?: string; readonly inviteId?: string },
  nowMs: number,
): Promise<number> {
  let query = db
    .selectFrom("device_joins")
    .select((eb) => eb.fn.countAll().as("count"))
    .where("expires_at_ms", ">", nowMs);
  if (of.address !== undefined) query = query.where("address", "=", of.address);
  if (of.inviteId !== undefined) query = query.where("invite_id", "=", of.inviteId);
  const { count } = await query.executeTakeFirstOrThrow();
  return Number(count);
}

/** The person said yes. False when it was decided before, or ran out. */
export async function confirmDeviceJoin(
  db: Kysely<Schema>,
  confirmed: { readonly id: string; readonly userId: string },
  nowMs: number,
): Promise<boolean> {
  const row = await db
    .updateTable("device_joins")
    .set({ confirmed_by: confirmed.userId, confirmed_at_ms: nowMs })
    .where("id", "=", confirmed.id)
    .where("expires_at_ms", ">", nowMs)
    .where("confirmed_at_ms", "is", null)
    .where("ended_at_ms", "is", null)
    .returning("id")
    .executeTakeFirst();
  return row !== undefined;
}

/**
 * The person said no, or the key is about to be handed out. One statement decides, so that one key is handed out however
 * many ask at once. False when it ended before, ran out, or is used without having been confirmed.
 */
export async function endDeviceJoin(
  db: Kysely<Schema>,
  ended: { readonly id: string; readonly outcome: "refused" | "used" },
  nowMs: number,
): Promise<boolean> {
  const row = await db
    .updateTable("device_joins")
    .set({ ended_at_ms: nowMs, outcome: ended.outcome })
    .where("id", "=", ended.id)
    .where("expires_at_ms", ">", nowMs)
    .where("ended_at_ms", "is", null)
    .where("confirmed_at_ms", ended.outcome === "used" ? "is not" : "is", null)
    .returning("id")
    .executeTakeFirst();
  return row !== undefined;
}

function toDeviceJoin(row: Selectable<Schema["device_joins"]>): DeviceJoin {
  return {
    id: row.id,
    secretHash: row.secret_hash,
    codeHash: row.code_hash,
    inviteId: row.invite_id,
    machine: row.machine,
    address: row.address,
    createdAtMs: row.created_at_ms,
    expiresAtMs: row.expires_at_ms,
    confirmedBy: row.confirmed_by ?? undefined,
    confirmedAtMs: row.confirmed_at_ms ?? undefined,
    outcome: row.outcome ?? undefined,
  };
}
