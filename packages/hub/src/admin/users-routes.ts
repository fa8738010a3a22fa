import * as z from "zod";

import {
  changeRole,
  createUserAs,
  disableUser,
  enableUser,
  endSignInsAs,
  getUser,
  listUsers,
  removeSecondFactorAs,
  sendResetLink,
} from "../accounts/users.ts";
import { type AccountServices, EMAIL, PERSON_NAME, USER, USER_ROLE, toUser } from "./account-shapes.ts";
import { listOf, PAGE_QUERY, pageOf, toPage } from "./paging.ts";
import { route } from "./route.ts";

const ID = z.strictObject({ id: z.string().max(64) });

export const USERS_ROUTES = [
  route({
    method: "GET",
    path: "/api/users",
    permission: "auditor",
    scope: "users:read",
    summary: "Users, the newest first",
    query: z.strictObject({
      search: z.string().min(1).max(100).exactOptional().describe("Part of the address or the name"),
      role: USER_ROLE.exactOptional(),
      is_disabled: z
        .enum(["true", "false"])
        .transform((text) => text === "true")
        .exactOptional(),
      ...PAGE_QUERY,
    }),
    response: { 200: listOf(USER) },
    handler: async ({ actor, query }, { accounts }: AccountServices) => {
      const filter = { search: query.search, role: query.role, isDisabled: query.is_disabled };
      return { body: toPage(await listUsers(accounts, actor, filter, pageOf(query)), query, toUser) };
    },
  }),
  route({
    method: "POST",
    path: "/api/users",
    permission: "admin",
    scope: "users:write",
    summary: "Makes a user, who chooses a password by a link",
    body: z.strictObject({ email: EMAIL, name: PERSON_NAME.default(""), role: USER_ROLE.default("user") }),
    response: { 201: USER },
    errors: ["conflict", "forbidden", "confirmation_required"],
    idempotent: true,
    handler: async ({ actor, body }, { accounts }: AccountServices) => {
      const user = await createUserAs(accounts, actor, body);
      return { body: toUser(user), version: user.version, location: `/api/users/${user.id}` };
    },
  }),
  route({
    method: "GET",
    path: "/api/users/{id}",
    permission: "self",
    scope: "users:read",
    summary: "A user: oneself, or anybody for auditors, admins and root",
    params: ID,
    response: { 200: USER },
    errors: ["not_found"],
    handler: async ({ actor, params }, { accounts }: AccountServices) => {
      const user = await getUser(accounts, actor, params.id);
      return { body: toUser(user), version: user.version };
    },
  }),
  route({
    method: "PUT",
    path: "/api/users/{id}/role",
    permission: "admin",
    scope: "sign-in-only",
    summary: "Gives a user another role. All sign-ins and tokens of the user end",
    description: "Admins change users and auditors, root everybody. The last root stays one.",
    params: ID,
    body: z.strictObject({ role: USER_ROLE }),
    response: { 200: USER },
    errors: ["not_found", "forbidden", "conflict", "confirmation_required"],
    ifMatch: "required",
    handler: async ({ actor, params, body, ifMatch }, { accounts }: AccountServices) => {
      const user = await changeRole(accounts, actor, { id: params.id, role: body.role, version: ifMatch });
      return { body: toUser(user), version: user.version };
    },
  }),
  route({
    method: "PATCH",
    path: "/api/users/{id}",
    permission: "admin",
    scope: "users:write",
    summary: "Keeps a user out, at once, or lets the user in again",
    description: "Sign-ins end for good; tokens and keys are refused until the user is let in again.",
    params: ID,
    body: z.strictObject({ is_disabled: z.boolean() }),
    response: { 200: USER },
    errors: ["not_found", "forbidden", "conflict"],
    ifMatch: "required",
    handler: async ({ actor, params, body, ifMatch }, { accounts }: AccountServices) => {
      const change = body.is_disabled ? disableUser : enableUser;
      const user = await change(accounts, actor, { id: params.id, version: ifMatch });
      return { body: toUser(user), version: user.version };
    },
  }),
  route({
    method: "POST",
    path: "/api/users/{id}/end-sign-ins",
    permission: "admin",
    scope: "users:write",
    summary: "Signs a user out everywhere",
    params: ID,
    response: { 200: z.object({ object: z.literal("ended_sign_ins"), ended: z.int() }) },
    errors: ["not_found", "forbidden"],
    handler: async ({ actor, params }, { accounts }: AccountServices) => ({
      body: { object: "ended_sign_ins" as const, ended: await endSignInsAs(accounts, actor, params.id) },
    }),
  }),
  route({
    method: "POST",
    path: "/api/users/{id}/reset-link",
    permission: "admin",
    scope: "sign-in-only",
    summary: "Mails a user a link for a new password. Whoever sends it does not see it",
    params: ID,
    response: { 202: z.object({ object: z.literal("accepted") }) },
    errors: ["not_found", "forbidden", "conflict", "confirmation_required"],
    handler: async ({ actor, params }, { accounts }: AccountServices) => {
      await sendResetLink(accounts, actor, params.id);
      return { body: { object: "accepted" as const } };
    },
  }),
  route({
    method: "DELETE",
    path: "/api/users/{id}/second-factor",
    permission: "admin",
    scope: "sign-in-only",
    summary: "Turns off the second factor of a user who lost it. All sign-ins of the user end",
    params: ID,
    response: { 204: null },
    errors: ["not_found", "forbidden", "confirmation_required"],
    handler: async ({ actor, params }, { accounts }: AccountServices) => {
      await removeSecondFactorAs(accounts, actor, params.id);
      return {};
    },
  }),
];
