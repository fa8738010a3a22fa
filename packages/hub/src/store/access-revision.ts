import type { Transaction } from "kysely";

import type { Schema } from "./schema.ts";

/**
 * The next revision. The row stays locked until the transaction ends, so that whoever sees a revision has seen all before it.
 * A sequence would not do: a transaction with a lower number may commit later.
 */
export async function takeRevision(db: Transaction<Schema>): Promise<number> {
  const { value } = await db
    .updateTable("meta")
    .set((eb) => ({
      value: eb.cast<string>(eb(eb.cast<number>("value", "bigint"), "+", 1), "text"),
    }))
    .where("name", "=", "access_revision")
    .returning("value")
    .executeTakeFirstOrThrow();
  return Number(value);
}
