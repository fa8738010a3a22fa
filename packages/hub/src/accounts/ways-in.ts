import type { Kysely } from "kysely";

import { AppError } from "../errors.ts";
import { linkedAccountsOf } from "../store/linked-account-store.ts";
import { passkeysOf } from "../store/passkey-store.ts";
import type { Schema } from "../store/schema.ts";
import { userById } from "../store/user-store.ts";

/** Refuses what leaves a user no way to sign in, in the transaction of the removal. @throws AppError `conflict` */
export async function requireWayIn(db: Kysely<Schema>, userId: string): Promise<void> {
  const user = await userById(db, userId);
  if (user?.hasPassword === true) return;
  if ((await linkedAccountsOf(db, userId)).length + (await passkeysOf(db, userId)).length > 0) return;
  throw new AppError("conflict", "This is the only way you sign in. Set a password or add a passkey first.");
}
