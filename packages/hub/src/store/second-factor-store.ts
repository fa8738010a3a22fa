import type { Kysely } from "kysely";

import { newId } from "../new-id.ts";
import type { Schema } from "./schema.ts";

/** The shared secret of a user's authenticator app. */
export interface TotpRecord {
  /** As `accounts/second-factor.ts` sealed it. */
  readonly sealedSecret: string;
  /** undefined: being set up, and asked for nowhere yet. */
  readonly confirmedAtMs: number | undefined;
  /** The last time step that was used. */
  readonly lastStep: number | undefined;
}

export async function totpOf(db: Kysely<Schema>, userId: string): Promise<TotpRecord | undefined> {
  const row = await db
    .selectFrom("users")
    .select(["totp_secret", "totp_confirmed_at_ms", "totp_last_step"])
    .where("id", "=", userId)
    .executeTakeFirst();
  if (row === undefined || row.totp_secret === null) return undefined;
  return {
    sealedSecret: row.totp_secret,
    confirmedAtMs: row.totp_confirmed_at_ms ?? undefined,
    lastStep: row.totp_last_step ?? undefined,
  };
}

/** Keeps a secret that is not confirmed yet. False: the user has a confirmed one already. */
export async function beginTotp(db: Kysely<Schema>, userId: string, sealedSecret: string): Promise<boolean> {
  const row = await db
    .updateTable("users")
    .set({ totp_secret: sealedSecret, totp_last_step: null })
    .where("id", "=", userId)
    .where("totp_confirmed_at_ms", "is", null)
    .returning("id")
    .executeTakeFirst();
  return row !== undefined;
}

/** Confirms the secret. False: it is another one by now, or confirmed already. */
export async function confirmTotp(
  db: Kysely<Schema>,
  userId: string,
  confirmed: { readonly sealedSecret: string; readonly nowMs: number },
): Promise<boolean> {
  const row = await db
    .updateTable("users")
    .set({ totp_confirmed_at_ms: confirmed.nowMs })
    .where("id", "=", userId)
    .where("totp_secret", "=", confirmed.sealedSecret)
    .where("totp_confirmed_at_ms", "is", null)
    .returning("id")
    .executeTakeFirst();
  return row !== undefined;
}

/** Uses up a time step and those before it. False: it was used already. */
export async function useTotpStep(db: Kysely<Schema>, userId: string, step: number): Promise<boolean> {
  const row = await db
    .updateTable("users")
    .set({ totp_last_step: step })
    .where("id", "=", userId)
    .where("totp_secret", "is not", null)
    .where((eb) => eb.or([eb("totp_last_step", "is", null), eb("totp_last_step", "<", step)]))
    .returning("id")
    .executeTakeFirst();
  return row !== undefined;
}

/** Removes secret and recovery codes. */
export async function removeTotp(db: Kysely<Schema>, userId: string): Promise<void> {
  await db
    .updateTable("users")
    .set({ totp_secret: null, totp_confirmed_at_ms: null, totp_last_step: null })
    .where("id", "=", userId)
    .execute();
  await db.deleteFrom("recovery_codes").where("user_id", "=", userId).execute();
}

/** New recovery codes in place of all there were. @param hashes SHA-256 each. */
export async function replaceRecoveryCodes(
  db: Kysely<Schema>,
  userId: string,
  codes: { readonly hashes: readonly string[]; readonly nowMs: number },
): Promise<void> {
  await db.deleteFrom("recovery_codes").where("user_id", "=", userId).execute();
  await db
    .insertInto("recovery_codes")
    .values(
      codes.hashes.map((hash) => ({ id: newId("recovery", codes.nowMs), user_id: userId, hash, used_at_ms: null })),
    )
    .execute();
}

/** Uses up a recovery code. False: there is none, or it was used. */
export async function useRecoveryCode(
  db: Kysely<Schema>,
  userId: string,
  code: { readonly hash: string; readonly nowMs: number },
): Promise<boolean> {
  const row = await db
    .updateTable("recovery_codes")
    .set({ used_at_ms: code.nowMs })
    .where("user_id", "=", userId)
    .where("hash", "=", code.hash)
    .where("used_at_ms", "is", null)
    .returning("id")
    .executeTakeFirst();
  return row !== undefined;
}

/** How many recovery codes are left. */
export async function recoveryCodesLeft(db: Kysely<Schema>, userId: string): Promise<number> {
  const { count } = await db
    .selectFrom("recovery_codes")
    .select((eb) => eb.fn.countAll<number>().as("count"))
    .where("user_id", "=", userId)
    .where("used_at_ms", "is", null)
    .executeTakeFirstOrThrow();
  return Number(count);
}
