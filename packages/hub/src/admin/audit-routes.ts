import type { Kysely } from "kysely";
import * as z from "zod";

import type { UserActor } from "../identity/actor.ts";
import { audit, type AuditFilter, type AuditRecord, auditRecords } from "../store/audit-store.ts";
import type { Database } from "../store/database.ts";
import type { Schema } from "../store/schema.ts";
import { csvLine } from "./csv.ts";
import { listOf, PAGE_QUERY, pageOf, toPage, wholeNumber } from "./paging.ts";
import { route, streamOf } from "./route.ts";

/** What the routes of the audit log work with. */
export interface AuditServices {
  readonly database: Database;
  readonly now: () => number;
}

/** Entries read at a time for an export: what it holds in memory, however long the log is. */
const EXPORT_PAGE = 500;

const VALUES = z.record(z.string(), z.unknown()).nullable();

/** An entry as JSON. */
export const AUDIT_ENTRY = z
  .object({
    object: z.literal("audit_entry"),
    id: z.string(),
    at_ms: z.int(),
    actor: z.object({
      kind: z.enum(["user", "operator", "hub"]),
      id: z.string().nullable(),
      name: z.string().describe("As it was then"),
    }),
    via: z.string().describe("The sign-in, token or command that was used"),
    action: z.string(),
    object_type: z.string(),
    object_id: z.string(),
    group_id: z.string().nullable(),
    address: z.string(),
    request_id: z.string().nullable(),
    before: VALUES,
    after: VALUES,
  })
  .meta({ id: "AuditEntry" });

const NAME = z.string().min(1).max(200).exactOptional();
const TIME = wholeNumber(0, 9_999_999_999_999).exactOptional();

/** `?actor_id=…` and what else there is to choose by, to be spread into a query. */
export const AUDIT_FILTER = {
  actor_id: NAME,
  action: NAME.describe("One action, such as key.revoke, or those of a noun: key.*"),
  object_type: NAME,
  object_id: NAME,
  since_ms: TIME,
  until_ms: TIME.describe("Not included"),
};

const OF_ALL = { ...AUDIT_FILTER, group_id: NAME };

export const AUDIT_ROUTES = [
  route({
    method: "GET",
    path: "/api/audit",
    permission: "auditor",
    scope: "audit:read",
    summary: "The audit log, the newest entries first",
    query: z.strictObject({ ...OF_ALL, ...PAGE_QUERY }),
    response: { 200: listOf(AUDIT_ENTRY) },
    handler: async ({ query }, { database }: AuditServices) => ({
      body: toPage(await auditRecords(database.db, filterOf(query), pageOf(query)), query, toEntry),
    }),
  }),
  route({
    method: "GET",
    path: "/api/audit/export.ndjson",
    permission: "auditor",
    scope: "audit:read",
    summary: "The audit log as one JSON object a line",
    query: z.strictObject(OF_ALL),
    response: { 200: streamOf("application/x-ndjson") },
    handler: async ({ actor, query }, services: AuditServices) => ({
      body: exported(await startExport(services, actor, filterOf(query)), (record) => {
        return `${JSON.stringify(AUDIT_ENTRY.parse(toEntry(record)))}\n`;
      }),
      headers: { "content-disposition": 'attachment; filename="audit.ndjson"' },
    }),
  }),
  route({
    method: "GET",
    path: "/api/audit/export.csv",
    permission: "auditor",
    scope: "audit:read",
    summary: "The audit log as a table",
    query: z.strictObject(OF_ALL),
    response: { 200: streamOf("text/csv; charset=utf-8") },
    handler: async ({ actor, query }, services: AuditServices) => ({
      body: exported(await startExport(services, actor, filterOf(query)), toCsvLine, csvLine(CSV_HEADINGS)),
      headers: { "content-disposition": 'attachment; filename="audit.csv"' },
    }),
  }),
];

export interface FilterQuery {
  readonly actor_id?: string;
  readonly action?: string;
  readonly object_type?: string;
  readonly object_id?: string;
  readonly group_id?: string;
  readonly since_ms?: number;
  readonly until_ms?: number;
}

export function filterOf(query: FilterQuery): AuditFilter {
  return {
    actorId: query.actor_id,
    action: query.action,
    objectType: query.object_type,
    objectId: query.object_id,
    groupId: query.group_id,
    sinceMs: query.since_ms,
    untilMs: query.until_ms,
  };
}

interface Export {
  readonly db: Kysely<Schema>;
  readonly filter: AuditFilter;
}

/** Who took the log with him is in it, and what was written before is what he gets. */
async function startExport(services: AuditServices, actor: UserActor, filter: AuditFilter): Promise<Export> {
  const nowMs = services.now();
  const entry = { action: "audit.export", objectType: "audit", objectId: "all", after: { filter } };
  await services.database.write(({ db }) => audit(db, actor, entry, nowMs));
  return { db: services.database.db, filter: { ...filter, untilMs: Math.min(filter.untilMs ?? nowMs, nowMs) } };
}

/** Page after page, each read when the one before was taken. */
async function* exported(
  { db, filter }: Export,
  lineOf: (record: AuditRecord) => string,
  heading = "",
): AsyncGenerator<string> {
  yield heading;
  let after: string | undefined;
  do {
    const records = await auditRecords(db, filter, { limit: EXPORT_PAGE, after });
    yield records.map(lineOf).join("");
    after = records.length < EXPORT_PAGE ? undefined : records.at(-1)?.id;
  } while (after !== undefined);
}

export function toEntry(record: AuditRecord): z.input<typeof AUDIT_ENTRY> {
  return {
    object: "audit_entry",
    id: record.id,
    at_ms: record.atMs,
    actor: { kind: record.actorKind, id: record.actorId ?? null, name: record.actorName },
    via: record.via,
    action: record.action,
    object_type: record.objectType,
    object_id: record.objectId,
    group_id: record.groupId ?? null,
    address: record.address,
    request_id: record.requestId ?? null,
    before: record.before ?? null,
    after: record.after ?? null,
  };
}

const CSV_HEADINGS = [
  "id",
  "at",
  "actor_kind",
  "actor_id",
  "actor_name",
  "via",
  "action",
  "object_type",
  "object_id",
  "group_id",
  "address",
  "request_id",
  "before",
  "after",
];

function toCsvLine(record: AuditRecord): string {
  return csvLine([
    record.id,
    new Date(record.atMs).toISOString(),
    record.actorKind,
    record.actorId,
    record.actorName,
    record.via,
    record.action,
    record.objectType,
    record.objectId,
    record.groupId,
    record.address,
    record.requestId,
    record.before && JSON.stringify(record.before),
    record.after && JSON.stringify(record.after),
  ]);
}
