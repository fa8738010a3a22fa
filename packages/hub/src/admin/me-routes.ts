import * as z from "zod";

import { SCOPES, type UserActor } from "../identity/actor.ts";
import { route } from "./route.ts";

const ME = z
  .object({
    object: z.literal("me"),
    id: z.string(),
    email: z.string(),
    name: z.string(),
    role: z.enum(["root", "admin", "auditor", "user"]),
    is_email_verified: z.boolean(),
    via: z.discriminatedUnion("kind", [
      z.object({
        kind: z.literal("sign-in"),
        id: z.string(),
        confirmed_at_ms: z.int().describe("When password, passkey, provider or second factor was last shown"),
      }),
      z.object({ kind: z.literal("token"), id: z.string(), scopes: z.array(z.enum(SCOPES)) }),
    ]),
  })
  .meta({ id: "Me" });

export const ME_ROUTES = [
  route({
    method: "GET",
    path: "/api/me",
    permission: "signed-in",
    scope: "account",
    summary: "Who asks, and by what",
    response: { 200: ME },
    handler: async ({ actor }) => ({ body: toMe(actor) }),
  }),
];

function toMe({ user, via }: UserActor): z.input<typeof ME> {
  const { id, email, name, role, isEmailVerified } = user;
  return {
    object: "me",
    id,
    email,
    name,
    role,
    is_email_verified: isEmailVerified,
    via:
      via.kind === "sign-in"
        ? { kind: via.kind, id: via.id, confirmed_at_ms: via.confirmedAtMs }
        : { kind: via.kind, id: via.id, scopes: [...via.scopes] },
  };
}
