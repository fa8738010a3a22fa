import type { Kysely, Selectable, SelectQueryBuilder } from "kysely";
import * as z from "zod";

import { newId } from "../new-id.ts";
import type { Schema } from "./schema.ts";

/** Who did it, as the log needs to know; every `Actor` is one. `hub`: the program itself, such as at its first start. */
export type AuditActor =
  | {
      readonly kind: "user";
      readonly user: { readonly id: string; readonly email: string };
      readonly via: { readonly kind: "sign-in" | "token"; readonly id: string };
      readonly address: string;
      readonly requestId?: string;
    }
  | { readonly kind: "operator"; readonly via: { readonly kind: "command" }; readonly address: "" }
  | HubActor;

export interface HubActor {
  readonly kind: "hub";
  readonly address: string;
  readonly requestId?: string;
}

/** The hub itself, for what somebody does who is not known yet: from where, and with which request. */
export function hubActor(from: { readonly address: string; readonly requestId?: string | undefined }): HubActor {
  const { address, requestId } = from;
  return { kind: "hub", address, ...(requestId !== undefined && { requestId }) };
}

/** What was done. The caller leaves secrets out: nothing is redacted here. */
export interface AuditEntry {
  /** Noun and verb: `group.create`, `key.revoke`, `sign-in.fail`. */
  readonly action: string;
  readonly objectType: string;
  readonly objectId: string;
  /** Whose owners may see the entry as well. */
  readonly groupId?: string | undefined;
  /** What changed, and only that. */
  readonly before?: AuditValues | undefined;
  readonly after?: AuditValues | undefined;
}

export type AuditValues = Readonly<Record<string, unknown>>;

export interface AuditRecord {
  readonly id: string;
  readonly atMs: number;
  readonly actorKind: "user" | "operator" | "hub";
  readonly actorId: string | undefined;
  readonly actorName: string;
  readonly via: string;
  readonly action: string;
  readonly objectType: string;
  readonly objectId: string;
  readonly groupId: string | undefined;
  readonly address: string;
  readonly requestId: string | undefined;
  readonly before: AuditValues | undefined;
  readonly after: AuditValues | undefined;
}

/** What of the log is wanted; what is left out is not asked for. */
export interface AuditFilter {
  readonly actorId?: string | undefined;
  /** An action, or its noun with `.*`: `group.*`. */
  readonly action?: string | undefined;
  readonly objectType?: string | undefined;
  readonly objectId?: string | undefined;
  readonly groupId?: string | undefined;
  readonly sinceMs?: number | undefined;
  /** Not included. */
  readonly untilMs?: number | undefined;
}

/**
 * Adds an entry, in the transaction of what it tells of: either both are kept or none. There is no function that changes or
 * removes one, and the database refuses it.
 */
export async function audit(db: Kysely<Schema>, actor: AuditActor, entry: AuditEntry, nowMs: number): Promise<void> {
  await db
    .insertInto("audit_log")
    .values({
      id: newId("audit", nowMs),
      at_ms: nowMs,
      ...actorColumns(actor),
      action: entry.action,
      object_type: entry.objectType,
      object_id: entry.objectId,
      group_id: entry.groupId ?? null,
      before: toColumn(entry.before),
      after: toColumn(entry.after),
    })
    .execute();
}

/** Entries, the newest first, after the entry `after` when that is given. */
export async function auditRecords(
  db: Kysely<Schema>,
  filter: AuditFilter,
  page: { readonly limit: number; readonly after?: string | undefined },
): Promise<readonly AuditRecord[]> {
  let query = filtered(db.selectFrom("audit_log").selectAll(), filter);
  if (page.after !== undefined) query = query.where("id", "<", page.after);
  const rows = await query.orderBy("id", "desc").limit(page.limit).execute();
  return rows.map(toRecord);
}

type AuditQuery = SelectQueryBuilder<Schema, "audit_log", Selectable<Schema["audit_log"]>>;

function filtered(query: AuditQuery, filter: AuditFilter): AuditQuery {
  let found = query;
  if (filter.actorId !== undefined) found = found.where("actor_id", "=", filter.actorId);
  if (filter.objectType !== undefined) found = found.where("object_type", "=", filter.objectType);
  if (filter.objectId !== undefined) found = found.where("object_id", "=", filter.objectId);
  if (filter.groupId !== undefined) found = found.where("group_id", "=", filter.groupId);
  // Ids begin with their time, so that a range of time is a range of the primary key.
  if (filter.sinceMs !== undefined) found = found.where("id", ">=", idAt(filter.sinceMs));
  if (filter.untilMs !== undefined) found = found.where("id", "<", idAt(filter.untilMs));
  if (filter.action === undefined) return found;
  if (!filter.action.endsWith(".*")) return found.where("action", "=", filter.action);
  const prefix = filter.action.slice(0, -1);
  // Not `like`: SQLite's takes no notice of case, and a name may contain its wildcards.
  return found.where((eb) => eb(eb.fn<string>("substr", ["action", eb.val(1), eb.val(prefix.length)]), "=", prefix));
}

function idAt(ms: number): string {
  return `audit_${ms.toString(16).padStart(12, "0")}`;
}

type ActorColumns = Pick<
  Schema["audit_log"],
  "actor_kind" | "actor_id" | "actor_name" | "via" | "address" | "request_id"
>;

function actorColumns(actor: AuditActor): ActorColumns {
  const { kind, address } = actor;
  switch (kind) {
    case "user": {
      const via = `${actor.via.kind} ${actor.via.id}`;
      const { id, email } = actor.user;
      return {
        actor_kind: kind,
        actor_id: id,
        actor_name: email,
        via,
        address,
        request_id: actor.requestId ?? null,
      };
    }
    case "operator":
      return { actor_kind: kind, actor_id: null, actor_name: kind, via: "command", address, request_id: null };
    case "hub":
      return {
        actor_kind: kind,
        actor_id: null,
        actor_name: kind,
        via: kind,
        address,
        request_id: actor.requestId ?? null,
      };
  }
}

const VALUES = z.record(z.string(), z.unknown());

function toRecord(row: Selectable<Schema["audit_log"]>): AuditRecord {
  return {
    id: row.id,
    atMs: row.at_ms,
    actorKind: row.actor_kind,
    actorId: row.actor_id ?? undefined,
    actorName: row.actor_name,
    via: row.via,
    action: row.action,
    objectType: row.object_type,
    objectId: row.object_id,
    groupId: row.group_id ?? undefined,
    address: row.address,
    requestId: row.request_id ?? undefined,
    before: row.before === null ? undefined : VALUES.parse(JSON.parse(row.before)),
    after: row.after === null ? undefined : VALUES.parse(JSON.parse(row.after)),
  };
}

/** What a change changed: the values that differ, as they were and as they are. */
export function difference(before: AuditValues, after: AuditValues): { before: AuditValues; after: AuditValues } {
  const changed = Object.keys(after).filter((key) => JSON.stringify(before[key]) !== JSON.stringify(after[key]));
  const pick = (values: AuditValues): AuditValues => Object.fromEntries(changed.map((key) => [key, values[key]]));
  return { before: pick(before), after: pick(after) };
}

/** Fields as the admin API names them: entries are read there, and never changed. */
function toColumn(values: AuditValues | undefined): string | null {
  return values === undefined ? null : JSON.stringify(snakeCased(values));
}

function snakeCased(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snakeCased);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [
      name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      snakeCased(each),
    ]),
  );
}
