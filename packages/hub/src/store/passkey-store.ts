import type { Kysely, Selectable } from "kysely";
import * as z from "zod";

import type { Schema } from "./schema.ts";

/** A passkey of a user. Nothing in it is secret: it holds a public key. */
export interface PasskeyRecord {
  readonly id: string;
  readonly userId: string;
  /** base64url. Unique. */
  readonly credentialId: string;
  /** base64url of the COSE key. */
  readonly publicKey: string;
  /** Of signatures, as the authenticator counts them; 0 for those that do not. */
  readonly counter: number;
  readonly transports: readonly string[];
  readonly name: string;
  readonly createdAtMs: number;
  readonly lastUsedAtMs: number | undefined;
}

/** Keeps a passkey. False: it is kept already. */
export async function insertPasskey(db: Kysely<Schema>, passkey: PasskeyRecord): Promise<boolean> {
  const row = await db
    .insertInto("passkeys")
    .values({
      id: passkey.id,
      user_id: passkey.userId,
      credential_id: passkey.credentialId,
      public_key: passkey.publicKey,
      counter: passkey.counter,
      transports: JSON.stringify(passkey.transports),
      name: passkey.name,
      created_at_ms: passkey.createdAtMs,
      last_used_at_ms: passkey.lastUsedAtMs ?? null,
    })
    .onConflict((conflict) => conflict.column("credential_id").doNothing())
    .returning("id")
    .executeTakeFirst();
  return row !== undefined;
}

export async function passkeyByCredential(
  db: Kysely<Schema>,
  credentialId: string,
): Promise<PasskeyRecord | undefined> {
  const row = await db.selectFrom("passkeys").selectAll().where("credential_id", "=", credentialId).executeTakeFirst();
  return row && toPasskey(row);
}

/** A user's, the oldest first. */
export async function passkeysOf(db: Kysely<Schema>, userId: string): Promise<readonly PasskeyRecord[]> {
  const rows = await db.selectFrom("passkeys").selectAll().where("user_id", "=", userId).orderBy("id").execute();
  return rows.map(toPasskey);
}

/** Notes that a passkey was used. False: it was used with that counter already, or is gone. */
export async function usePasskey(
  db: Kysely<Schema>,
  id: string,
  used: { readonly counter: number; readonly nowMs: number },
): Promise<boolean> {
  const row = await db
    .updateTable("passkeys")
    .set({ counter: used.counter, last_used_at_ms: used.nowMs })
    .where("id", "=", id)
    // Most authenticators do not count: theirs stays 0.
    .where((eb) =>
      eb.or([eb("counter", "<", used.counter), eb.and([eb("counter", "=", 0), eb.lit(used.counter === 0)])]),
    )
    .returning("id")
    .executeTakeFirst();
  return row !== undefined;
}

/** Forgets one passkey of that user, and says which it was. */
export async function deletePasskey(
  db: Kysely<Schema>,
  which: { readonly id: string; readonly userId: string },
): Promise<PasskeyRecord | undefined> {
  const row = await db
    .deleteFrom("passkeys")
    .where("id", "=", which.id)
    .where("user_id", "=", which.userId)
    .returningAll()
    .executeTakeFirst();
  return row && toPasskey(row);
}

export async function deletePasskeysOf(db: Kysely<Schema>, userId: string): Promise<void> {
  await db.deleteFrom("passkeys").where("user_id", "=", userId).execute();
}

const TRANSPORTS = z.array(z.string());

function toPasskey(row: Selectable<Schema["passkeys"]>): PasskeyRecord {
  return {
    id: row.id,
    userId: row.user_id,
    credentialId: row.credential_id,
    publicKey: row.public_key,
    counter: row.counter,
    transports: TRANSPORTS.parse(JSON.parse(row.transports)),
    name: row.name,
    createdAtMs: row.created_at_ms,
    lastUsedAtMs: row.last_used_at_ms ?? undefined,
  };
}
