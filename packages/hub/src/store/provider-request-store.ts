import type { Kysely, Selectable } from "kysely";

import type { Page } from "./page.ts";
import type { Schema } from "./schema.ts";

/** A user asks to serve into a group. */
export interface NewProviderRequest {
  readonly id: string;
  readonly groupId: string;
  readonly userId: string;
  /** For whoever decides. */
  readonly note: string;
  readonly createdAtMs: number;
}

export interface ProviderRequest extends NewProviderRequest {
  readonly decision: "approved" | "refused" | undefined;
  readonly decidedAtMs: number | undefined;
  /** undefined: the operator, or nobody yet. */
  readonly decidedBy: string | undefined;
  readonly version: number;
}

/** A request with what people know the user by. */
export interface ShownProviderRequest extends ProviderRequest {
  readonly name: string;
  readonly email: string;
}

/** Keeps a request. undefined: the user has an open one there already. */
export async function insertProviderRequest(
  db: Kysely<Schema>,
  request: NewProviderRequest,
): Promise<ProviderRequest | undefined> {
  const row = await db
    .insertInto("provider_requests")
    .values({
      id: request.id,
      group_id: request.groupId,
      user_id: request.userId,
      note: request.note,
      created_at_ms: request.createdAtMs,
      decided_at_ms: null,
      decision: null,
      decided_by: null,
      version: 1,
    })
    .onConflict((conflict) => conflict.columns(["group_id", "user_id"]).where("decided_at_ms", "is", null).doNothing())
    .returningAll()
    .executeTakeFirst();
  return row && toRequest(row);
}

/** The open requests of a group, the newest first. */
export async function listProviderRequests(
  db: Kysely<Schema>,
  groupId: string,
  page: Page,
): Promise<readonly ShownProviderRequest[]> {
  let query = db
    .selectFrom("provider_requests")
    .innerJoin("users", "users.id", "provider_requests.user_id")
    .selectAll("provider_requests")
    .select(["users.name", "users.email"])
    .where("provider_requests.group_id", "=", groupId)
    .where("provider_requests.decided_at_ms", "is", null);
  if (page.after !== undefined) query = query.where("provider_requests.id", "<", page.after);
  const rows = await query.orderBy("provider_requests.id", "desc").limit(page.limit).execute();
  return rows.map((row) => ({ ...toRequest(row), name: row.name, email: row.email }));
}

/** A request of that group, open or decided. */
export async function findProviderRequest(
  db: Kysely<Schema>,
  by: { readonly groupId: string; readonly id: string },
): Promise<ProviderRequest | undefined> {
  const row = await db
    .selectFrom("provider_requests")
    .selectAll()
    .where("id", "=", by.id)
    .where("group_id", "=", by.groupId)
    .executeTakeFirst();
  return row && toRequest(row);
}

/** How many requests are open: of a group, or of a user. */
export async function countOpenProviderRequests(
  db: Kysely<Schema>,
  of: { readonly groupId: string } | { readonly userId: string },
): Promise<number> {
  const query = db
    .selectFrom("provider_requests")
    .select((eb) => eb.fn.countAll().as("count"))
    .where("decided_at_ms", "is", null);
  const counted = "groupId" in of ? query.where("group_id", "=", of.groupId) : query.where("user_id", "=", of.userId);
  const { count } = await counted.executeTakeFirstOrThrow();
  return Number(count);
}

/** Decides an open request. undefined: it is not there, or was decided before. */
export async function decideProviderRequest(
  db: Kysely<Schema>,
  decided: {
    readonly id: string;
    readonly decision: "approved" | "refused";
    /** undefined: the operator. */
    readonly decidedBy: string | undefined;
  },
  nowMs: number,
): Promise<ProviderRequest | undefined> {
  const row = await db
    .updateTable("provider_requests")
    .set((eb) => ({
      decision: decided.decision,
      decided_by: decided.decidedBy ?? null,
      decided_at_ms: nowMs,
      version: eb("version", "+", 1),
    }))
    .where("id", "=", decided.id)
    .where("decided_at_ms", "is", null)
    .returningAll()
    .executeTakeFirst();
  return row && toRequest(row);
}

/** Drops the requests of a group that nobody answered; with `userId` only those of this user. */
export async function dropOpenProviderRequests(
  db: Kysely<Schema>,
  of: { readonly groupId: string; readonly userId?: string | undefined },
): Promise<void> {
  let query = db.deleteFrom("provider_requests").where("group_id", "=", of.groupId).where("decided_at_ms", "is", null);
  if (of.userId !== undefined) query = query.where("user_id", "=", of.userId);
  await query.execute();
}

function toRequest(row: Selectable<Schema["provider_requests"]>): ProviderRequest {
  return {
    id: row.id,
    groupId: row.group_id,
    userId: row.user_id,
    note: row.note,
    createdAtMs: row.created_at_ms,
    decision: row.decision ?? undefined,
    decidedAtMs: row.decided_at_ms ?? undefined,
    decidedBy: row.decided_by ?? undefined,
    version: row.version,
  };
}
