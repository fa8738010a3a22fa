import * as z from "zod";

import { AppError } from "../errors.ts";
import { seenGroup } from "../groups/group-access.ts";
import { seesAll } from "../identity/actor.ts";
import { auditRecords } from "../store/audit-store.ts";
import { AUDIT_ENTRY, AUDIT_FILTER, type AuditServices, filterOf, toEntry } from "./audit-routes.ts";
import { listOf, PAGE_QUERY, pageOf, toPage } from "./paging.ts";
import { route } from "./route.ts";

const GROUP_ID = z.strictObject({ id: z.string().max(64) });

export const GROUP_AUDIT_ROUTES = [
  route({
    method: "GET",
    path: "/api/groups/{id}/audit",
    permission: "group-owner",
    scope: "groups:read",
    summary: "What the audit log has of one group",
    params: GROUP_ID,
    query: z.strictObject({ ...AUDIT_FILTER, ...PAGE_QUERY }),
    response: { 200: listOf(AUDIT_ENTRY) },
    errors: ["not_found"],
    handler: async ({ actor, params, query }, { database, now }: AuditServices) => {
      const { group, canManage } = await seenGroup(database.db, actor, params.id, now());
      if (!canManage && !seesAll(actor)) throw new AppError("forbidden", "Only the group's owner may see this.");
      const filter = { ...filterOf(query), groupId: group.id };
      return { body: toPage(await auditRecords(database.db, filter, pageOf(query)), query, toEntry) };
    },
  }),
];
