import * as z from "zod";

import { endOtherSignIns, endOwnSignIn, listSignIns } from "../accounts/sign-ins.ts";
import type { SignInRecord } from "../store/sign-in-store.ts";
import type { AccountServices } from "./account-shapes.ts";
import { route } from "./route.ts";

const SIGN_IN = z
  .object({
    object: z.literal("sign_in"),
    id: z.string(),
    is_this: z.boolean().describe("The one that this request was made with"),
    address: z.string().describe("Where it was begun"),
    user_agent: z.string(),
    created_at_ms: z.int(),
    last_seen_at_ms: z.int().describe("To the minute"),
    expires_at_ms: z.int(),
  })
  .meta({ id: "SignIn" });

export const SIGN_INS_ROUTES = [
  route({
    method: "GET",
    path: "/api/sign-ins",
    permission: "signed-in",
    scope: "account",
    summary: "Where one is signed in, the newest first; at most 50",
    response: { 200: z.object({ object: z.literal("list"), data: z.array(SIGN_IN) }) },
    handler: async ({ actor }, { accounts }: AccountServices) => {
      const signIns = await listSignIns(accounts, actor.user.id);
      return { body: { object: "list" as const, data: signIns.map((signIn) => toSignIn(signIn, actor.via.id)) } };
    },
  }),
  route({
    method: "DELETE",
    path: "/api/sign-ins/{id}",
    permission: "self",
    scope: "sign-in-only",
    summary: "Ends one of one's sign-ins",
    params: z.strictObject({ id: z.string().max(64) }),
    response: { 204: null },
    errors: ["not_found"],
    handler: async ({ actor, params }, { accounts }: AccountServices) => {
      await endOwnSignIn(accounts, actor, params.id);
      return {};
    },
  }),
  route({
    method: "POST",
    path: "/api/sign-ins/end-others",
    permission: "signed-in",
    scope: "sign-in-only",
    summary: "Ends all of one's sign-ins but this one",
    response: { 200: z.object({ object: z.literal("ended_sign_ins"), ended: z.int() }) },
    handler: async ({ actor }, { accounts }: AccountServices) => ({
      body: { object: "ended_sign_ins" as const, ended: await endOtherSignIns(accounts, actor) },
    }),
  }),
];

function toSignIn(signIn: SignInRecord, thisId: string): z.input<typeof SIGN_IN> {
  return {
    object: "sign_in",
    id: signIn.id,
    is_this: signIn.id === thisId,
    address: signIn.address,
    user_agent: signIn.userAgent,
    created_at_ms: signIn.createdAtMs,
    last_seen_at_ms: signIn.lastSeenAtMs,
    expires_at_ms: signIn.expiresAtMs,
  };
}
