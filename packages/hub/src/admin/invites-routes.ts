import * as z from "zod";

import { GROUP_LIMITS } from "../groups/group-limits.ts";
import {
  createInvite,
  listInvites,
  listInviteUses,
  readInvite,
  revokeInvite,
  type ShownInvite,
} from "../groups/invites.ts";
import { type OfferedInvite, previewInvite, redeemCode, type Redeemed } from "../groups/redeem.ts";
import {
  GIVEN_ROLE,
  GROUP_ID,
  GROUP_REFERENCE,
  type GroupServices,
  ID,
  KIND,
  NOTE,
  ROLE,
  TIME,
  toReference,
} from "./group-shapes.ts";
import { listOf, PAGE_QUERY, pageOf, toPage } from "./paging.ts";
import { route } from "./route.ts";

const INVITE = z
  .object({
    object: z.literal("invite"),
    id: z.string(),
    group_id: z.string().nullable().describe("null: to the hub alone"),
    role: GIVEN_ROLE,
    code_begins: z.string().describe("The code's first four characters"),
    state: z
      .enum(["open", "revoked", "expired", "used-up", "void"])
      .describe("void: its maker may invite no more, or the group is gone"),
    uses: z.int(),
    max_uses: z.int(),
    note: z.string(),
    created_by: z.string().nullable(),
    created_at_ms: z.int(),
    expires_at_ms: z.int().nullable(),
    revoked_at_ms: z.int().nullable(),
  })
  .meta({ id: "Invite" });

const NEW_INVITE = INVITE.extend({
  secret: z.string().describe("The code. It is shown only this once"),
  link: z.string().describe("Opens the hub with the code; `tokiame join` takes it as well"),
}).meta({ id: "NewInvite" });

const USE = z
  .object({
    object: z.literal("invite_use"),
    user_id: z.string(),
    name: z.string(),
    email: z.string(),
    used_at_ms: z.int(),
  })
  .meta({ id: "InviteUse" });

const OFFER = z
  .object({
    object: z.literal("invite_offer"),
    role: GIVEN_ROLE,
    group: GROUP_REFERENCE.extend({ kind: KIND, description: z.string() }).nullable(),
    invited_by: z.string().nullable().describe("null: whoever runs the hub"),
    expires_at_ms: z.int().nullable(),
  })
  .meta({ id: "InviteOffer" });

const REDEMPTION = z
  .object({
    object: z.literal("redemption"),
    outcome: z.enum(["redeemed", "already-member"]),
    group: GROUP_REFERENCE.nullable(),
    role: ROLE.nullable(),
  })
  .meta({ id: "Redemption" });

/** What somebody typed; longer than any code, as blanks and hyphens do not count. */
export const CODE = z.string().min(1).max(64);

export const INVITES_ROUTES = [
  route({
    method: "POST",
    path: "/api/invites",
    permission: "group-owner",
    scope: "invites:write",
    summary: "Makes an invite into a group, or to the hub alone",
    body: z.strictObject({
      group_id: ID.exactOptional().describe("Left out: to the hub alone, for whoever runs it"),
      role: GIVEN_ROLE.default("member"),
      max_uses: z.int().min(1).max(GROUP_LIMITS.maxInviteUses).default(1),
      expires_at_ms: TIME.exactOptional(),
      note: NOTE.exactOptional(),
    }),
    response: { 201: NEW_INVITE },
    errors: ["not_found", "forbidden", "conflict"],
    idempotent: true,
    handler: async ({ actor, body }, { groups }: GroupServices) => {
      const { group_id: groupId, role, max_uses: maxUses, expires_at_ms: expiresAtMs, note } = body;
      const { invite, code, link } = await createInvite(groups, actor, { groupId, role, maxUses, expiresAtMs, note });
      const version = invite.version;
      return { body: { ...toInvite(invite), secret: code, link }, version, location: `/api/invites/${invite.id}` };
    },
  }),
  route({
    method: "GET",
    path: "/api/invites",
    permission: "group-owner",
    scope: "groups:read",
    summary: "Invites into a group, or to the hub alone, the newest first",
    query: z.strictObject({ group_id: ID.exactOptional(), ...PAGE_QUERY }),
    response: { 200: listOf(INVITE) },
    errors: ["not_found", "forbidden"],
    handler: async ({ actor, query }, { groups }: GroupServices) => ({
      body: toPage(await listInvites(groups, actor, query.group_id, pageOf(query)), query, toInvite),
    }),
  }),
  route({
    method: "GET",
    path: "/api/invites/{id}",
    permission: "group-owner",
    scope: "groups:read",
    summary: "An invite",
    params: GROUP_ID,
    response: { 200: INVITE },
    errors: ["not_found"],
    handler: async ({ actor, params }, { groups }: GroupServices) => {
      const invite = await readInvite(groups, actor, params.id);
      return { body: toInvite(invite), version: invite.version };
    },
  }),
  route({
    method: "DELETE",
    path: "/api/invites/{id}",
    permission: "group-owner",
    scope: "invites:write",
    summary: "Revokes an invite; who joined with it stays",
    params: GROUP_ID,
    response: { 200: INVITE },
    errors: ["not_found", "forbidden"],
    handler: async ({ actor, params }, { groups }: GroupServices) => {
      const invite = await revokeInvite(groups, actor, params.id);
      return { body: toInvite(invite), version: invite.version };
    },
  }),
  route({
    method: "GET",
    path: "/api/invites/{id}/uses",
    permission: "group-owner",
    scope: "groups:read",
    summary: "Who used an invite",
    params: GROUP_ID,
    query: z.strictObject(PAGE_QUERY),
    response: { 200: listOf(USE) },
    errors: ["not_found"],
    handler: async ({ actor, params, query }, { groups }: GroupServices) => {
      const uses = await listInviteUses(groups, actor, params.id, pageOf(query));
      const rows = uses.map((use) => ({ id: use.userId, use }));
      return {
        body: toPage(rows, query, ({ use }) => ({
          object: "invite_use" as const,
          user_id: use.userId,
          name: use.name,
          email: use.email,
          used_at_ms: use.usedAtMs,
        })),
      };
    },
  }),
  route({
    method: "POST",
    path: "/api/invites/preview",
    permission: "public",
    scope: "none",
    summary: "What an invite offers, for whoever holds its code",
    body: z.strictObject({ code: CODE }),
    response: { 200: OFFER },
    errors: ["not_found", "invite_ended", "rate_limit_exceeded"],
    handler: async ({ actor, address, body }, { groups }: GroupServices) => {
      return { body: toOffer(await previewInvite(groups, actor ?? address, body.code)) };
    },
  }),
  route({
    method: "POST",
    path: "/api/invites/redeem",
    permission: "signed-in",
    scope: "groups:write",
    summary: "Joins with an invite's code",
    description: "A member takes no use of it. A member becomes a provider with an invite of that role.",
    body: z.strictObject({ code: CODE }),
    response: { 200: REDEMPTION },
    errors: ["not_found", "forbidden", "conflict", "invite_ended", "rate_limit_exceeded"],
    handler: async ({ actor, body }, { groups }: GroupServices) => {
      return { body: toRedemption(await redeemCode(groups, actor, body.code)) };
    },
  }),
];

function toInvite(invite: ShownInvite): z.input<typeof INVITE> {
  return {
    object: "invite",
    id: invite.id,
    group_id: invite.groupId ?? null,
    role: invite.role,
    code_begins: invite.prefix,
    state: invite.state,
    uses: invite.uses,
    max_uses: invite.maxUses,
    note: invite.note,
    created_by: invite.createdBy ?? null,
    created_at_ms: invite.createdAtMs,
    expires_at_ms: invite.expiresAtMs ?? null,
    revoked_at_ms: invite.revokedAtMs ?? null,
  };
}

function toOffer({ role, group, invitedBy, expiresAtMs }: OfferedInvite): z.input<typeof OFFER> {
  return {
    object: "invite_offer",
    role,
    group: group ? { ...group } : null,
    invited_by: invitedBy ?? null,
    expires_at_ms: expiresAtMs ?? null,
  };
}

function toRedemption({ outcome, group, membership }: Redeemed): z.input<typeof REDEMPTION> {
  return {
    object: "redemption",
    outcome,
    group: group ? toReference(group) : null,
    role: membership?.role ?? null,
  };
}
