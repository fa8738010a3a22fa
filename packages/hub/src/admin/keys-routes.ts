import * as z from "zod";

import { createKey, type KeysDeps, listKeys, readKey, revokeKey, rotateKey, updateKey } from "../identity/keys.ts";
import { ID } from "./group-shapes.ts";
import { creditsOf, KEY, KEY_INPUT, KEY_KIND, NEW_KEY, rulesOf, toKey } from "./key-shapes.ts";
import { listOf, PAGE_QUERY, pageOf, toPage } from "./paging.ts";
import { route } from "./route.ts";

/** What the routes of keys work with. */
export interface KeyServices {
  readonly keys: KeysDeps;
}

const KEY_ID = z.strictObject({ id: ID });
const NAME = z.string().max(200);

/** A day: time to give the new secret to whatever uses the key. */
const USUAL_OVERLAP_MS = 86_400_000;

export const KEYS_ROUTES = [
  route({
    method: "GET",
    path: "/api/keys",
    permission: "signed-in",
    scope: "keys:read",
    summary: "One's keys, the newest first",
    query: z.strictObject({
      all: z.enum(["true", "false"]).default("false").describe("Those of everybody, for those who see all"),
      owner_id: ID.exactOptional(),
      kind: KEY_KIND.exactOptional(),
      group_id: ID.exactOptional().describe("API keys that use it, first or to fall back to"),
      revoked: z.enum(["true", "false"]).exactOptional(),
      ...PAGE_QUERY,
    }),
    response: { 200: listOf(KEY) },
    errors: ["forbidden"],
    handler: async ({ actor, query }, { keys }: KeyServices) => {
      const { owner_id: ownerId, kind, group_id: groupId, revoked } = query;
      const isRevoked = revoked === undefined ? undefined : revoked === "true";
      const wanted = { all: query.all === "true", ownerId, kind, groupId, isRevoked };
      const found = await listKeys(keys, actor, wanted, pageOf(query));
      return { body: toPage(found, query, (key) => toKey(key, keys.now())) };
    },
  }),
  route({
    method: "POST",
    path: "/api/keys",
    permission: "signed-in",
    scope: "keys:write",
    summary: "Makes a key",
    description: "Its secret is in the answer, and nowhere else. What is left out or null does not restrict.",
    body: z.strictObject({ kind: KEY_KIND, name: NAME, ...KEY_INPUT }),
    response: { 201: NEW_KEY },
    errors: ["conflict"],
    idempotent: true,
    handler: async ({ actor, body }, { keys }: KeyServices) => {
      const { kind, name, ...rest } = body;
      const { key, secret } = await createKey(keys, actor, {
        kind,
        name,
        groupId: rest.group_id ?? undefined,
        fallbackGroupId: rest.fallback_group_id ?? undefined,
        expiresAtMs: rest.expires_at_ms ?? undefined,
        spendingLimit: creditsOf(rest.spending_limit),
        rules: rulesOf({}, rest),
      });
      const location = `/api/keys/${key.id}`;
      return { body: { ...toKey(key, keys.now()), secret }, version: key.version, location };
    },
  }),
  route({
    method: "GET",
    path: "/api/keys/{id}",
    permission: "self",
    scope: "keys:read",
    summary: "A key",
    params: KEY_ID,
    response: { 200: KEY },
    errors: ["not_found"],
    handler: async ({ actor, params }, { keys }: KeyServices) => {
      const key = await readKey(keys, actor, params.id);
      return { body: toKey(key, keys.now()), version: key.version };
    },
  }),
  route({
    method: "PATCH",
    path: "/api/keys/{id}",
    permission: "self",
    scope: "keys:write",
    summary: "Changes what a key may do",
    description: "What is left out stays, null stops restricting. Holds on a running hub within 100 ms.",
    params: KEY_ID,
    body: z.strictObject({ name: NAME.exactOptional(), is_disabled: z.boolean().exactOptional(), ...KEY_INPUT }),
    response: { 200: KEY },
    errors: ["not_found", "forbidden", "conflict"],
    ifMatch: "required",
    handler: async ({ actor, params, body, ifMatch }, { keys }: KeyServices) => {
      const { name, is_disabled: isDisabled, ...rest } = body;
      // The version says that nobody changes the rules between this and the change.
      const rules = rulesOf((await readKey(keys, actor, params.id)).rules, rest);
      const key = await updateKey(
        keys,
        actor,
        { keyId: params.id, version: ifMatch },
        {
          ...(name !== undefined && { name }),
          ...(isDisabled !== undefined && { isDisabled }),
          ...("group_id" in rest && { groupId: rest.group_id ?? undefined }),
          ...("fallback_group_id" in rest && { fallbackGroupId: rest.fallback_group_id ?? undefined }),
          ...("expires_at_ms" in rest && { expiresAtMs: rest.expires_at_ms ?? undefined }),
          ...("spending_limit" in rest && { spendingLimit: creditsOf(rest.spending_limit) }),
          ...(rules !== undefined && { rules }),
        },
      );
      return { body: toKey(key, keys.now()), version: key.version };
    },
  }),
  route({
    method: "POST",
    path: "/api/keys/{id}/rotate",
    permission: "self",
    scope: "keys:write",
    summary: "Gives a key a new secret",
    description: "Only its owner gets one. A secret that an earlier rotation left for a while ends now.",
    params: KEY_ID,
    body: z.strictObject({
      overlap_ms: z.int().default(USUAL_OVERLAP_MS).describe("How long the old one works, at most 7 days"),
    }),
    response: { 200: NEW_KEY },
    errors: ["not_found", "forbidden", "conflict"],
    idempotent: true,
    handler: async ({ actor, params, body }, { keys }: KeyServices) => {
      const seen = { keyId: params.id, version: undefined };
      const { key, secret } = await rotateKey(keys, actor, seen, { overlapMs: body.overlap_ms });
      return { body: { ...toKey(key, keys.now()), secret }, version: key.version };
    },
  }),
  route({
    method: "DELETE",
    path: "/api/keys/{id}",
    permission: "self",
    scope: "keys:write",
    summary: "Revokes a key, for ever",
    description: "Running answers to it end within 100 ms. It is listed from then on as revoked.",
    params: KEY_ID,
    response: { 200: KEY },
    errors: ["not_found", "forbidden"],
    handler: async ({ actor, params }, { keys }: KeyServices) => {
      const key = await revokeKey(keys, actor, { keyId: params.id, version: undefined });
      return { body: toKey(key, keys.now()), version: key.version };
    },
  }),
];
