import * as z from "zod";

import { createAccessToken, listAccessTokens, revokeOwnAccessToken } from "../accounts/access-tokens.ts";
import { SCOPES } from "../identity/actor.ts";
import type { AccessTokenRecord } from "../store/access-token-store.ts";
import type { AccountServices } from "./account-shapes.ts";
import { listOf, PAGE_QUERY, pageOf, toPage } from "./paging.ts";
import { route } from "./route.ts";

const ACCESS_TOKEN = z
  .object({
    object: z.literal("access_token"),
    id: z.string(),
    name: z.string(),
    begins: z.string().describe("The secret's first characters"),
    scopes: z.array(z.string()),
    created_at_ms: z.int(),
    expires_at_ms: z.int().nullable(),
    revoked_at_ms: z.int().nullable(),
    last_used_at_ms: z.int().nullable().describe("To the minute"),
  })
  .meta({ id: "AccessToken" });

const NEW_ACCESS_TOKEN = ACCESS_TOKEN.extend({
  secret: z.string().describe("pat-…, shown only this once"),
}).meta({ id: "NewAccessToken" });

export const ACCESS_TOKENS_ROUTES = [
  route({
    method: "POST",
    path: "/api/access-tokens",
    permission: "signed-in",
    scope: "sign-in-only",
    summary: "Makes a personal access token",
    body: z.strictObject({
      name: z.string().min(1).max(100),
      scopes: z.array(z.enum(SCOPES)).min(1).max(SCOPES.length),
      expires_at_ms: z.int().nullable().describe("null: never"),
    }),
    response: { 201: NEW_ACCESS_TOKEN },
    errors: ["confirmation_required", "conflict"],
    idempotent: true,
    handler: async ({ actor, body }, { accounts }: AccountServices) => {
      const { name, scopes, expires_at_ms: expiresAtMs } = body;
      const wanted = { name, scopes, expiresAtMs: expiresAtMs ?? undefined };
      const { token, secret } = await createAccessToken(accounts, actor, wanted);
      return { body: { ...toAccessToken(token), secret }, location: "/api/access-tokens" };
    },
  }),
  route({
    method: "GET",
    path: "/api/access-tokens",
    permission: "signed-in",
    scope: "account",
    summary: "One's personal access tokens, the newest first",
    query: z.strictObject(PAGE_QUERY),
    response: { 200: listOf(ACCESS_TOKEN) },
    handler: async ({ actor, query }, { accounts }: AccountServices) => ({
      body: toPage(await listAccessTokens(accounts, actor, pageOf(query)), query, toAccessToken),
    }),
  }),
  route({
    method: "DELETE",
    path: "/api/access-tokens/{id}",
    permission: "self",
    scope: "sign-in-only",
    summary: "Revokes a personal access token",
    params: z.strictObject({ id: z.string().max(64) }),
    response: { 204: null },
    errors: ["not_found"],
    handler: async ({ actor, params }, { accounts }: AccountServices) => {
      await revokeOwnAccessToken(accounts, actor, params.id);
      return {};
    },
  }),
];

function toAccessToken(token: AccessTokenRecord): z.input<typeof ACCESS_TOKEN> {
  return {
    object: "access_token",
    id: token.id,
    name: token.name,
    begins: token.prefix,
    scopes: [...token.scopes],
    created_at_ms: token.createdAtMs,
    expires_at_ms: token.expiresAtMs ?? null,
    revoked_at_ms: token.revokedAtMs ?? null,
    last_used_at_ms: token.lastUsedAtMs ?? null,
  };
}
