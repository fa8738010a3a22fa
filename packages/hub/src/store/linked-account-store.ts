import type { Kysely, Selectable } from "kysely";

import type { Schema } from "./schema.ts";

/** An account at another service that signs in as a user. */
export interface LinkedAccountRecord {
  readonly id: string;
  readonly userId: string;
  /** The name it has in the settings. */
  readonly provider: string;
  /** The provider's own id of the person. */
  readonly subject: string;
  /** What the provider said when it was linked. */
  readonly email: string | undefined;
  readonly createdAtMs: number;
}

/** Links an account. False: it signs in as somebody already. */
export async function insertLinkedAccount(db: Kysely<Schema>, account: LinkedAccountRecord): Promise<boolean> {
  const row = await db
    .insertInto("linked_accounts")
    .values({
      id: account.id,
      user_id: account.userId,
      provider: account.provider,
      subject: account.subject,
      email: account.email ?? null,
      created_at_ms: account.createdAtMs,
    })
    .onConflict((conflict) => conflict.columns(["provider", "subject"]).doNothing())
    .returning("id")
    .executeTakeFirst();
  return row !== undefined;
}

export async function linkedAccount(
  db: Kysely<Schema>,
  provider: string,
  subject: string,
): Promise<LinkedAccountRecord | undefined> {
  const row = await db
    .selectFrom("linked_accounts")
    .selectAll()
    .where("provider", "=", provider)
    .where("subject", "=", subject)
    .executeTakeFirst();
  return row && toLinkedAccount(row);
}

/** A user's, the oldest first. */
export async function linkedAccountsOf(db: Kysely<Schema>, userId: string): Promise<readonly LinkedAccountRecord[]> {
  const rows = await db.selectFrom("linked_accounts").selectAll().where("user_id", "=", userId).orderBy("id").execute();
  return rows.map(toLinkedAccount);
}

/** Unlinks one account of that user, and says which it was. */
export async function deleteLinkedAccount(
  db: Kysely<Schema>,
  which: { readonly id: string; readonly userId: string },
): Promise<LinkedAccountRecord | undefined> {
  const row = await db
    .deleteFrom("linked_accounts")
    .where("id", "=", which.id)
    .where("user_id", "=", which.userId)
    .returningAll()
    .executeTakeFirst();
  return row && toLinkedAccount(row);
}

export async function deleteLinkedAccountsOf(db: Kysely<Schema>, userId: string): Promise<void> {
  await db.deleteFrom("linked_accounts").where("user_id", "=", userId).execute();
}

function toLinkedAccount(row: Selectable<Schema["linked_accounts"]>): LinkedAccountRecord {
  return {
    id: row.id,
    userId: row.user_id,
    provider: row.provider,
    subject: row.subject,
    email: row.email ?? undefined,
    createdAtMs: row.created_at_ms,
  };
}
