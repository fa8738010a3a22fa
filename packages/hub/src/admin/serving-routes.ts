import * as z from "zod";

import { GROUP_LIMITS } from "../groups/group-limits.ts";
import { allowModel, listClaims, releaseModel } from "../groups/model-claims.ts";
import { decideRequest, listProviderRequests, requestToServe } from "../groups/provider-requests.ts";
import type { ModelClaim } from "../store/model-claim-store.ts";
import type { ProviderRequest } from "../store/provider-request-store.ts";
import { GROUP_ID, type GroupServices, ID, NOTE } from "./group-shapes.ts";
import { listOf, PAGE_QUERY, pageOf, toPage } from "./paging.ts";
import { route } from "./route.ts";

const REQUEST = z
  .object({
    object: z.literal("provider_request"),
    id: z.string(),
    group_id: z.string(),
    user_id: z.string(),
    note: z.string(),
    decision: z.enum(["approved", "refused"]).nullable(),
    created_at_ms: z.int(),
    decided_at_ms: z.int().nullable(),
    decided_by: z.string().nullable(),
  })
  .meta({ id: "ProviderRequest" });

const LISTED_REQUEST = REQUEST.extend({ name: z.string(), email: z.string() }).meta({ id: "ListedProviderRequest" });

const MODEL_NAME = z.string().min(1).max(256);

const CLAIM = z
  .object({
    object: z.literal("model_name"),
    model: z.string(),
    owner_id: z.string().nullable().describe("Who keeps it; null: whoever runs the hub"),
    also: z.array(z.string()).describe('Who else may serve it: user ids, or "*" for everybody who serves there'),
    claimed_at_ms: z.int(),
  })
  .meta({ id: "ModelName" });

/** Who may serve into a group, and under which names. */
export const SERVING_ROUTES = [
  route({
    method: "POST",
    path: "/api/groups/{id}/provider-requests",
    permission: "group-member",
    scope: "groups:write",
    summary: "Asks to serve into a group: everybody may ask a public one, its members a private one",
    params: GROUP_ID,
    body: z.strictObject({ note: NOTE.default("") }),
    response: { 201: REQUEST },
    errors: ["not_found", "conflict"],
    idempotent: true,
    handler: async ({ actor, params, body }, { groups }: GroupServices) => ({
      body: toRequest(await requestToServe(groups, actor, { groupId: params.id, note: body.note })),
    }),
  }),
  route({
    method: "GET",
    path: "/api/groups/{id}/provider-requests",
    permission: "group-owner",
    scope: "groups:read",
    summary: "Requests to serve that wait for an answer, the newest first",
    params: GROUP_ID,
    query: z.strictObject(PAGE_QUERY),
    response: { 200: listOf(LISTED_REQUEST) },
    errors: ["not_found", "forbidden"],
    handler: async ({ actor, params, query }, { groups }: GroupServices) => {
      const requests = await listProviderRequests(groups, actor, params.id, pageOf(query));
      return {
        body: toPage(requests, query, (each) => ({ ...toRequest(each), name: each.name, email: each.email })),
      };
    },
  }),
  route({
    method: "POST",
    path: "/api/groups/{id}/provider-requests/{request_id}/decision",
    permission: "group-member",
    scope: "groups:write",
    summary: "Answers a request to serve; who made it may refuse it themselves, to take it back",
    params: z.strictObject({ id: ID, request_id: ID }),
    body: z.strictObject({ decision: z.enum(["approved", "refused"]) }),
    response: { 200: REQUEST },
    errors: ["not_found", "forbidden", "conflict"],
    handler: async ({ actor, params, body }, { groups }: GroupServices) => {
      const asked = { groupId: params.id, id: params.request_id, decision: body.decision };
      return { body: toRequest(await decideRequest(groups, actor, asked)) };
    },
  }),
  route({
    method: "GET",
    path: "/api/groups/{id}/model-names",
    permission: "group-member",
    scope: "groups:read",
    summary: "Whose the model names of a group are",
    description: "The first to serve a name keeps it. Others serve it when the group's owner lets them.",
    params: GROUP_ID,
    query: z.strictObject(PAGE_QUERY),
    response: { 200: listOf(CLAIM) },
    errors: ["not_found"],
    handler: async ({ actor, params, query }, { groups }: GroupServices) => {
      const claims = await listClaims(groups, actor, params.id, pageOf(query));
      const rows = claims.map((claim) => ({ id: claim.model, claim }));
      return { body: toPage(rows, query, ({ claim }) => toClaim(claim)) };
    },
  }),
  route({
    method: "PUT",
    path: "/api/groups/{id}/model-names",
    permission: "group-owner",
    scope: "groups:write",
    summary: "Says who may serve a model name besides the one who keeps it",
    params: GROUP_ID,
    // Names have slashes in them, so that they do not stand in the address.
    body: z.strictObject({ model: MODEL_NAME, also: z.array(ID).max(GROUP_LIMITS.maxAlso) }),
    response: { 200: CLAIM },
    errors: ["not_found", "forbidden"],
    handler: async ({ actor, params, body }, { groups }: GroupServices) => ({
      body: toClaim(await allowModel(groups, actor, { groupId: params.id, ...body })),
    }),
  }),
  route({
    method: "DELETE",
    path: "/api/groups/{id}/model-names",
    permission: "group-member",
    scope: "groups:write",
    summary: "Frees a model name for the next who serves it",
    description: "For the group's owner, and for who keeps the name.",
    params: GROUP_ID,
    query: z.strictObject({ model: MODEL_NAME }),
    response: { 204: null },
    errors: ["not_found", "forbidden"],
    handler: async ({ actor, params, query }, { groups }: GroupServices) => {
      await releaseModel(groups, actor, { groupId: params.id, model: query.model });
      return {};
    },
  }),
];

function toRequest(request: ProviderRequest): z.input<typeof REQUEST> {
  return {
    object: "provider_request",
    id: request.id,
    group_id: request.groupId,
    user_id: request.userId,
    note: request.note,
    decision: request.decision ?? null,
    created_at_ms: request.createdAtMs,
    decided_at_ms: request.decidedAtMs ?? null,
    decided_by: request.decidedBy ?? null,
  };
}

function toClaim({ model, ownerId, also, claimedAtMs }: ModelClaim): z.input<typeof CLAIM> {
  return {
    object: "model_name",
    model,
    owner_id: ownerId === "" ? null : ownerId,
    also: [...also],
    claimed_at_ms: claimedAtMs,
  };
}
