import type { AccountsDeps } from "./accounts.ts";

/** In `meta`: what the key of the first hub of this database makes of a text that everybody knows. */
const NAME = "hub_secret_check";
const TEXT = "Is it the same key?";

/**
 * Whether the hub's key is the one that this database has been used with. With another one, codes of authenticator apps cannot be
 * checked, and sign-ins that began at another hub do not end at this one. The first hub of a database settles it.
 */
export async function isKnownHubSecret({
  database,
  secret,
}: Pick<AccountsDeps, "database" | "secret">): Promise<boolean> {
  await database.db
    .insertInto("meta")
    .values({ name: NAME, value: secret.sign("check", TEXT) })
    .onConflict((conflict) => conflict.column("name").doNothing())
    .execute();
  const { value } = await database.db
    .selectFrom("meta")
    .select("value")
    .where("name", "=", NAME)
    .executeTakeFirstOrThrow();
  return secret.isSignature("check", TEXT, value);
}
