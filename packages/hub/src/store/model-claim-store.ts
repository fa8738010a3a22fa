import type { Kysely, Selectable } from "kysely";
import * as z from "zod";

import { foldedModelName } from "../model-name.ts";
import type { Page } from "./page.ts";
import type { Schema } from "./schema.ts";

/** Whose a model name is within a group, and with it all names that fold to the same. */
export interface ModelClaim {
  readonly groupId: string;
  /** As it was written first. */
  readonly model: string;
  /** "" for the operator. */
  readonly ownerId: string;
  /** Users who may serve the name as well; "*": everybody who may serve there. */
  readonly also: readonly string[];
  readonly claimedAtMs: number;
}

/** Names in one statement. Both databases take more; texts of statements are kept. */
const CHUNK = 500;

const ALSO = z.array(z.string());

/** The claims on those names, in whatever spelling they were made. */
export async function findClaims(
  db: Kysely<Schema>,
  groupId: string,
  models: readonly string[],
): Promise<readonly ModelClaim[]> {
  const found: ModelClaim[] = [];
  const folded = [...new Set(models.map(foldedModelName))];
  for (let from = 0; from < folded.length; from += CHUNK) {
    const rows = await db
      .selectFrom("model_claims")
      .selectAll()
      .where("group_id", "=", groupId)
      .where("folded", "in", folded.slice(from, from + CHUNK))
      .execute();
    found.push(...rows.map(toClaim));
  }
  return found;
}

/** The claims of a group, by folded model name; `page.after` is a model name. */
export async function listClaims(db: Kysely<Schema>, groupId: string, page: Page): Promise<readonly ModelClaim[]> {
  let query = db.selectFrom("model_claims").selectAll().where("group_id", "=", groupId);
  if (page.after !== undefined) query = query.where("folded", ">", foldedModelName(page.after));
  const rows = await query.orderBy("folded").limit(page.limit).execute();
  return rows.map(toClaim);
}

/** How many names of a group belong to one owner. */
export async function countClaims(db: Kysely<Schema>, of: Pick<ModelClaim, "groupId" | "ownerId">): Promise<number> {
  const { count } = await db
    .selectFrom("model_claims")
    .select((eb) => eb.fn.countAll().as("count"))
    .where("group_id", "=", of.groupId)
    .where("owner_id", "=", of.ownerId)
    .executeTakeFirstOrThrow();
  return Number(count);
}

/** The first one keeps the name: names that are claimed already, in whatever spelling, stay as they are. */
export async function insertClaims(
  db: Kysely<Schema>,
  by: Pick<ModelClaim, "groupId" | "ownerId">,
  models: readonly string[],
  nowMs: number,
): Promise<void> {
  for (let from = 0; from < models.length; from += CHUNK) {
    await db
      .insertInto("model_claims")
      .values(
        models.slice(from, from + CHUNK).map((model) => ({
          group_id: by.groupId,
          model,
          folded: foldedModelName(model),
          owner_id: by.ownerId,
          also: "[]",
          claimed_at_ms: nowMs,
        })),
      )
      .onConflict((conflict) => conflict.columns(["group_id", "folded"]).doNothing())
      .execute();
  }
}

/** Who else may serve the name from now on. undefined: nobody claims it. */
export async function setClaimAlso(
  db: Kysely<Schema>,
  claim: Pick<ModelClaim, "groupId" | "model" | "also">,
): Promise<ModelClaim | undefined> {
  const row = await db
    .updateTable("model_claims")
    .set({ also: JSON.stringify(claim.also) })
    .where("group_id", "=", claim.groupId)
    .where("folded", "=", foldedModelName(claim.model))
    .returningAll()
    .executeTakeFirst();
  return row && toClaim(row);
}

/** Frees names: one of a group, all of an owner there, or all of the group. */
export async function deleteClaims(
  db: Kysely<Schema>,
  of: { readonly groupId: string; readonly model?: string | undefined; readonly ownerId?: string | undefined },
): Promise<void> {
  let query = db.deleteFrom("model_claims").where("group_id", "=", of.groupId);
  if (of.model !== undefined) query = query.where("folded", "=", foldedModelName(of.model));
  if (of.ownerId !== undefined) query = query.where("owner_id", "=", of.ownerId);
  await query.execute();
}

function toClaim(row: Selectable<Schema["model_claims"]>): ModelClaim {
  return {
    groupId: row.group_id,
    model: row.model,
    ownerId: row.owner_id,
    also: ALSO.parse(JSON.parse(row.also)),
    claimedAtMs: row.claimed_at_ms,
  };
}
