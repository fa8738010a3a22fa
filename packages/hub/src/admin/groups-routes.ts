import * as z from "zod";

import { deleteGroup, previewDeletion } from "../groups/delete-group.ts";
import type { Standing } from "../groups/group-access.ts";
import { listGroupWorkers } from "../groups/group-workers.ts";
import { createGroup, listGroups, readGroup, transferGroup, updateGroup } from "../groups/groups.ts";
import { leaveGroup } from "../groups/members.ts";
import {
  fromLimits,
  GROUP_ID,
  GROUP_REFERENCE,
  type GroupServices,
  ID,
  KIND,
  LIMITS,
  LIMITS_INPUT,
  ROLE,
  toLimits,
  toReference,
} from "./group-shapes.ts";
import { listOf, PAGE_QUERY, pageOf, toPage } from "./paging.ts";
import { route } from "./route.ts";

const GROUP = z
  .object({
    object: z.literal("group"),
    id: z.string(),
    kind: KIND,
    slug: z.string().describe("Unique; may change. Keys know the group by its id"),
    name: z.string(),
    description: z.string(),
    owner_id: z.string().nullable().describe("null: whoever runs the hub"),
    member_limits: LIMITS.describe("Of each member whose membership has none of its own"),
    created_at_ms: z.int(),
    my_role: ROLE.nullable().describe("null: no member; a public group can be used all the same"),
    may_manage: z.boolean(),
  })
  .meta({ id: "Group" });

const PREVIEW = z
  .object({
    object: z.literal("deletion_preview"),
    group: GROUP_REFERENCE,
    keys: z.int().describe("API keys that use the group, first or to fall back to"),
    key_owners: z
      .array(z.object({ user_id: z.string().nullable(), name: z.string(), keys: z.int() }))
      .describe("Most keys first; the first 100"),
    members: z.int(),
    open_invites: z.int(),
    workers: z.array(z.string()).describe("Names of those that serve it now; the first 100"),
    worker_count: z.int(),
  })
  .meta({ id: "DeletionPreview" });

const GROUP_WORKER = z
  .object({
    object: z.literal("group_worker"),
    id: z.string(),
    name: z.string().describe("As it names itself: keys may be pinned to it"),
    owner_id: z.string().nullable().describe("null: whoever runs the hub; keys may be pinned to an owner"),
    owner_name: z.string(),
    node_name: z.string().nullable(),
    connected_at_ms: z.int(),
    models: z.array(z.string()),
    running: z.int(),
    slots: z.int().nullable(),
  })
  .meta({ id: "GroupWorker" });

const SLUG = z.string().max(64).describe("3 to 64 lower-case letters, digits and hyphens");

export const GROUPS_ROUTES = [
  route({
    method: "GET",
    path: "/api/groups",
    permission: "signed-in",
    scope: "groups:read",
    summary: "One's groups and the public ones, the newest first",
    query: z.strictObject({
      all: z.enum(["true", "false"]).default("false").describe("Every group, for those who see all"),
      ...PAGE_QUERY,
    }),
    response: { 200: listOf(GROUP) },
    errors: ["forbidden"],
    handler: async ({ actor, query }, { groups }: GroupServices) => {
      const found = await listGroups(groups, actor, { all: query.all === "true" }, pageOf(query));
      const rows = found.map((standing) => ({ id: standing.group.id, standing }));
      return { body: toPage(rows, query, ({ standing }) => toGroup(standing)) };
    },
  }),
  route({
    method: "POST",
    path: "/api/groups",
    permission: "signed-in",
    scope: "groups:write",
    summary: "Makes a group",
    description: "A private one belongs to whoever makes it. Public ones are made by whoever runs the hub.",
    body: z.strictObject({
      kind: z.enum(["public", "private"]).default("private"),
      slug: SLUG,
      name: z.string().max(200),
      description: z.string().max(1000).exactOptional(),
      member_limits: LIMITS_INPUT.exactOptional(),
    }),
    response: { 201: GROUP },
    errors: ["forbidden", "conflict"],
    idempotent: true,
    handler: async ({ actor, body }, { groups }: GroupServices) => {
      const { kind, slug, name, description, member_limits: limits } = body;
      const made = await createGroup(groups, actor, {
        kind,
        slug,
        name,
        description,
        memberLimits: limits && fromLimits(limits),
      });
      const standing = await readGroup(groups, actor, made.id);
      return { body: toGroup(standing), version: made.version, location: `/api/groups/${made.id}` };
    },
  }),
  route({
    method: "GET",
    path: "/api/groups/{id}",
    permission: "group-member",
    scope: "groups:read",
    summary: "A group",
    params: GROUP_ID,
    response: { 200: GROUP },
    errors: ["not_found"],
    handler: async ({ actor, params }, { groups }: GroupServices) => {
      const standing = await readGroup(groups, actor, params.id);
      return { body: toGroup(standing), version: standing.group.version };
    },
  }),
  route({
    method: "PATCH",
    path: "/api/groups/{id}",
    permission: "group-owner",
    scope: "groups:write",
    summary: "Changes a group's slug, name, description or its members' limits",
    params: GROUP_ID,
    body: z.strictObject({
      slug: SLUG.exactOptional(),
      name: z.string().max(200).exactOptional(),
      description: z.string().max(1000).exactOptional(),
      member_limits: LIMITS_INPUT.exactOptional().describe("In place of those before"),
    }),
    ifMatch: "required",
    response: { 200: GROUP },
    errors: ["not_found", "forbidden", "conflict", "precondition_failed"],
    handler: async ({ actor, params, body, ifMatch }, { groups }: GroupServices) => {
      const { member_limits: limits, ...patch } = body;
      const asked = {
        groupId: params.id,
        version: ifMatch,
        patch: { ...patch, ...(limits !== undefined && { memberLimits: fromLimits(limits) }) },
      };
      const { version } = await updateGroup(groups, actor, asked);
      return { body: toGroup(await readGroup(groups, actor, params.id)), version };
    },
  }),
  route({
    method: "GET",
    path: "/api/groups/{id}/deletion-preview",
    permission: "group-owner",
    scope: "groups:read",
    summary: "What deleting the group would break",
    description: "Its ETag is what the deletion asks for as If-Match.",
    params: GROUP_ID,
    response: { 200: PREVIEW },
    errors: ["not_found", "forbidden", "conflict"],
    handler: async ({ actor, params }, { groups }: GroupServices) => {
      const preview = await previewDeletion(groups, actor, params.id);
      const { group, keys, keyOwners, members, invites, workers, workersInAll } = preview;
      const owners = keyOwners.map(({ userId, name, keys: count }) => ({ user_id: userId ?? null, name, keys: count }));
      const body = {
        object: "deletion_preview" as const,
        group: toReference(group),
        keys,
        key_owners: owners,
        members,
        open_invites: invites,
        workers: [...workers],
        worker_count: workersInAll,
      };
      return { body, version: group.version };
    },
  }),
  route({
    method: "DELETE",
    path: "/api/groups/{id}",
    permission: "group-owner",
    scope: "groups:write",
    summary: "Deletes a group for ever",
    description: "Its keys are refused from then on. If-Match: the ETag of the preview.",
    params: GROUP_ID,
    ifMatch: "required",
    response: { 204: null },
    errors: ["not_found", "forbidden", "conflict", "precondition_failed"],
    handler: async ({ actor, params, ifMatch }, { groups }: GroupServices) => {
      await deleteGroup(groups, actor, { groupId: params.id, version: ifMatch });
      return {};
    },
  }),
  route({
    method: "POST",
    path: "/api/groups/{id}/transfer",
    permission: "group-owner",
    scope: "groups:write",
    summary: "Gives a private group to one of its active members, at once",
    params: GROUP_ID,
    body: z.strictObject({ user_id: ID }),
    ifMatch: "required",
    response: { 200: GROUP },
    errors: ["not_found", "forbidden", "conflict", "precondition_failed"],
    handler: async ({ actor, params, body, ifMatch }, { groups }: GroupServices) => {
      const asked = { groupId: params.id, version: ifMatch, userId: body.user_id };
      const { version } = await transferGroup(groups, actor, asked);
      return { body: toGroup(await readGroup(groups, actor, params.id)), version };
    },
  }),
  route({
    method: "POST",
    path: "/api/groups/{id}/leave",
    permission: "group-member",
    scope: "groups:write",
    summary: "Leaves a group",
    params: GROUP_ID,
    response: { 204: null },
    errors: ["not_found", "conflict"],
    handler: async ({ actor, params }, { groups }: GroupServices) => {
      await leaveGroup(groups, actor, params.id);
      return {};
    },
  }),
  route({
    method: "GET",
    path: "/api/groups/{id}/workers",
    permission: "group-member",
    scope: "groups:read",
    summary: "Who serves what in the group now",
    params: GROUP_ID,
    query: z.strictObject(PAGE_QUERY),
    response: { 200: listOf(GROUP_WORKER) },
    errors: ["not_found"],
    handler: async ({ actor, params, query }, { groups }: GroupServices) => {
      const workers = await listGroupWorkers(groups, actor, params.id, pageOf(query));
      const rows = workers.map((worker) => ({ id: worker.place, worker }));
      return {
        body: toPage(rows, query, ({ worker }) => ({
          object: "group_worker" as const,
          id: worker.id,
          name: worker.workerId,
          owner_id: worker.ownerId ?? null,
          owner_name: worker.ownerName,
          node_name: worker.nodeName ?? null,
          connected_at_ms: worker.connectedAtMs,
          models: [...worker.models],
          running: worker.running,
          slots: worker.slots ?? null,
        })),
      };
    },
  }),
];

function toGroup({ group, membership, canManage }: Standing): z.input<typeof GROUP> {
  const { id, kind, slug, name, description, ownerId, memberLimits, createdAtMs } = group;
  return {
    object: "group",
    id,
    kind,
    slug,
    name,
    description,
    owner_id: ownerId ?? null,
    member_limits: toLimits(memberLimits),
    created_at_ms: createdAtMs,
    my_role: membership?.role ?? null,
    may_manage: canManage,
  };
}
