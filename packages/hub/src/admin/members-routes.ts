import * as z from "zod";

import {
  banMember,
  grantMembership,
  listMembers,
  readMember,
  removeMember,
  type ShownMember,
  unbanMember,
  updateMember,
} from "../groups/members.ts";
import {
  fromLimits,
  GIVEN_ROLE,
  GROUP_ID,
  type GroupServices,
  LIMITS,
  LIMITS_INPUT,
  MEMBER_ID,
  ROLE,
  TIME,
  toLimits,
} from "./group-shapes.ts";
import { listOf, PAGE_QUERY, pageOf, toPage } from "./paging.ts";
import { route } from "./route.ts";

const MEMBER = z
  .object({
    object: z.literal("member"),
    user_id: z.string(),
    name: z.string(),
    email: z.string().nullable().describe("Only for whoever manages the group"),
    role: ROLE,
    status: z.enum(["active", "left", "removed", "banned"]),
    is_disabled: z.boolean().describe("Whoever runs the hub closed the account"),
    expires_at_ms: z.int().nullable(),
    limits: LIMITS.nullable().describe("Each takes the place of the group's; null: the group's"),
    invite_id: z.string().nullable(),
    joined_at_ms: z.int(),
    ended_at_ms: z.int().nullable(),
  })
  .meta({ id: "Member" });

export const MEMBERS_ROUTES = [
  route({
    method: "GET",
    path: "/api/groups/{id}/members",
    permission: "group-member",
    scope: "groups:read",
    summary: "The members of a group",
    description: "Whoever manages the group also sees who left, was removed or banned.",
    params: GROUP_ID,
    query: z.strictObject(PAGE_QUERY),
    response: { 200: listOf(MEMBER) },
    errors: ["not_found", "forbidden"],
    handler: async ({ actor, params, query }, { groups }: GroupServices) => {
      const members = await listMembers(groups, actor, params.id, pageOf(query));
      const rows = members.map((member) => ({ id: member.userId, member }));
      return { body: toPage(rows, query, ({ member }) => toMember(member)) };
    },
  }),
  route({
    method: "GET",
    path: "/api/groups/{id}/members/{user_id}",
    permission: "group-member",
    scope: "groups:read",
    summary: "A member of a group",
    params: MEMBER_ID,
    response: { 200: MEMBER },
    errors: ["not_found", "forbidden"],
    handler: async ({ actor, params }, { groups }: GroupServices) => {
      return answer(await readMember(groups, actor, keyOf(params)));
    },
  }),
  route({
    method: "PATCH",
    path: "/api/groups/{id}/members/{user_id}",
    permission: "group-owner",
    scope: "groups:write",
    summary: "Changes a member's role, end or limits",
    params: MEMBER_ID,
    body: z.strictObject({
      role: GIVEN_ROLE.exactOptional(),
      expires_at_ms: TIME.nullable().exactOptional().describe("null: for ever"),
      limits: LIMITS_INPUT.nullable().exactOptional().describe("null: the group's"),
    }),
    ifMatch: "required",
    response: { 200: MEMBER },
    errors: ["not_found", "forbidden", "conflict", "precondition_failed"],
    handler: async ({ actor, params, body, ifMatch }, { groups }: GroupServices) => {
      const { role, expires_at_ms: expiresAtMs, limits } = body;
      const patch = { role, expiresAtMs, limits: limits && fromLimits(limits) };
      await updateMember(groups, actor, { key: keyOf(params), version: ifMatch, patch });
      return answer(await readMember(groups, actor, keyOf(params)));
    },
  }),
  route({
    method: "PUT",
    path: "/api/groups/{id}/members/{user_id}",
    permission: "admin",
    scope: "groups:write",
    summary: "Puts a user into one of the hub's own groups: lets them serve in a public one, say",
    params: MEMBER_ID,
    body: z.strictObject({ role: GIVEN_ROLE, expires_at_ms: TIME.exactOptional() }),
    response: { 200: MEMBER },
    errors: ["not_found", "forbidden", "conflict"],
    handler: async ({ actor, params, body }, { groups }: GroupServices) => {
      const { role, expires_at_ms: expiresAtMs } = body;
      await grantMembership(groups, actor, { ...keyOf(params), role, expiresAtMs });
      return answer(await readMember(groups, actor, keyOf(params)));
    },
  }),
  route({
    method: "DELETE",
    path: "/api/groups/{id}/members/{user_id}",
    permission: "group-owner",
    scope: "groups:write",
    summary: "Removes a member, who comes back with a newer invite only",
    params: MEMBER_ID,
    response: { 204: null },
    errors: ["not_found", "forbidden", "conflict"],
    handler: async ({ actor, params }, { groups }: GroupServices) => {
      await removeMember(groups, actor, keyOf(params));
      return {};
    },
  }),
  route({
    method: "POST",
    path: "/api/groups/{id}/members/{user_id}/ban",
    permission: "group-owner",
    scope: "groups:write",
    summary: "Bans a user, member or not: no invite brings them back",
    params: MEMBER_ID,
    response: { 200: MEMBER },
    errors: ["not_found", "forbidden", "conflict"],
    handler: async ({ actor, params }, { groups }: GroupServices) => {
      await banMember(groups, actor, keyOf(params));
      return answer(await readMember(groups, actor, keyOf(params)));
    },
  }),
  route({
    method: "DELETE",
    path: "/api/groups/{id}/members/{user_id}/ban",
    permission: "group-owner",
    scope: "groups:write",
    summary: "Lifts a ban: a newer invite brings the user back",
    params: MEMBER_ID,
    response: { 200: MEMBER },
    errors: ["not_found", "forbidden", "conflict"],
    handler: async ({ actor, params }, { groups }: GroupServices) => {
      await unbanMember(groups, actor, keyOf(params));
      return answer(await readMember(groups, actor, keyOf(params)));
    },
  }),
];

function keyOf(params: z.output<typeof MEMBER_ID>): { groupId: string; userId: string } {
  return { groupId: params.id, userId: params.user_id };
}

function answer(member: ShownMember): { body: z.input<typeof MEMBER>; version: number } {
  return { body: toMember(member), version: member.version };
}

function toMember(member: ShownMember): z.input<typeof MEMBER> {
  return {
    object: "member",
    user_id: member.userId,
    name: member.name,
    email: member.email ?? null,
    role: member.role,
    status: member.status,
    is_disabled: member.isDisabled,
    expires_at_ms: member.expiresAtMs ?? null,
    limits: member.limits === undefined ? null : toLimits(member.limits),
    invite_id: member.inviteId ?? null,
    joined_at_ms: member.joinedAtMs,
    ended_at_ms: member.endedAtMs ?? null,
  };
}
