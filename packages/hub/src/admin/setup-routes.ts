import * as z from "zod";

import { setUp } from "../accounts/set-up.ts";
import {
  type AccountServices,
  EMAIL,
  LINK_TOKEN,
  PASSWORD,
  PERSON_NAME,
  SIGN_IN_STEP,
  signInCookies,
  toStep,
  visitorOf,
} from "./account-shapes.ts";
import { route } from "./route.ts";

export const SETUP_ROUTES = [
  route({
    method: "POST",
    path: "/api/set-up",
    permission: "public",
    scope: "none",
    summary: "Makes the first root, for whoever has the link in the hub's log, and signs in",
    body: z.strictObject({
      token: LINK_TOKEN,
      email: EMAIL,
      password: PASSWORD,
      name: PERSON_NAME.default(""),
    }),
    response: { 201: SIGN_IN_STEP },
    errors: ["conflict", "overloaded"],
    handler: async ({ body, ...request }, { accounts }: AccountServices) => {
      const signedIn = await setUp(accounts, visitorOf(accounts, request), body);
      const step = toStep({ outcome: "signed-in", signedIn, returnTo: "/" });
      return { body: step, location: "/api/account", ...signInCookies(accounts, signedIn) };
    },
  }),
];
