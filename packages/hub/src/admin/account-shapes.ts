import * as z from "zod";

import type { AccountsDeps } from "../accounts/accounts.ts";
import { ATTEMPT_MS } from "../accounts/attempt.ts";
import { DEVICE_TOKEN_MS } from "../accounts/device-token.ts";
import type { Arrival } from "../accounts/password-sign-in.ts";
import { SIGN_INS, type SignedIn } from "../accounts/sign-ins.ts";
import { Cookies, type Visitor } from "../accounts/visitor.ts";
import { isPlain } from "../plain-text.ts";
import type { UserRecord } from "../store/user-store.ts";
import type { AnyRequest } from "./route.ts";

/** What the routes of accounts and sign-in work with. */
export interface AccountServices {
  readonly accounts: AccountsDeps;
}

export const USER_ROLE = z.enum(["root", "admin", "auditor", "user"]);

/** Longer than any address or password that is taken, so that the service says what is wrong with it. */
export const EMAIL = z.string().min(1).max(320).describe("Its case does not matter");
export const PASSWORD = z.string().min(1).max(1024);
export const PERSON_NAME = z.string().max(100).refine(isPlain, "must have no control characters");
/** Of a link: what stands behind its #. */
export const LINK_TOKEN = z.string().min(1).max(100);
export const CODE = z.string().min(1).max(64);
export const RETURN_TO = z.string().max(1000).describe("A path of this hub to go on to; anything else is /");
export const INVITE_CODE = z.string().min(1).max(64);

export const USER = z
  .object({
    object: z.literal("user"),
    id: z.string(),
    email: z.string(),
    is_email_verified: z.boolean(),
    name: z.string(),
    role: USER_ROLE,
    has_password: z.boolean(),
    has_second_factor: z.boolean(),
    created_at_ms: z.int(),
    disabled_at_ms: z.int().nullable(),
  })
  .meta({ id: "User" });

export function toUser(user: UserRecord): z.input<typeof USER> {
  return {
    object: "user",
    id: user.id,
    email: user.email,
    is_email_verified: user.emailVerifiedAtMs !== undefined,
    name: user.name,
    role: user.role,
    has_password: user.hasPassword,
    has_second_factor: user.hasSecondFactor,
    created_at_ms: user.createdAtMs,
    disabled_at_ms: user.disabledAtMs ?? null,
  };
}

/** What a sign-in leads to. */
export const SIGN_IN_STEP = z
  .discriminatedUnion("outcome", [
    z.object({
      object: z.literal("sign_in_step"),
      outcome: z.literal("signed-in"),
      user: USER,
      return_to: z.string(),
    }),
    z.object({
      object: z.literal("sign_in_step"),
      outcome: z.literal("second-factor").describe("POST /api/sign-in/second-factor goes on, within ten minutes"),
    }),
  ])
  .meta({ id: "SignInStep" });

export function toStep(arrival: Arrival): z.input<typeof SIGN_IN_STEP> {
  if (arrival.outcome === "second-factor") return { object: "sign_in_step", outcome: "second-factor" };
  const { signedIn, returnTo } = arrival;
  return { object: "sign_in_step", outcome: "signed-in", user: toUser(signedIn.user), return_to: returnTo };
}

/** The hub's cookies, as `AccountsDeps.publicUrl` asks for. */
export function cookiesOf({ publicUrl }: AccountsDeps): Cookies {
  return new Cookies(publicUrl.isHttps);
}

/** Who is at the door, for a route. */
export function visitorOf(
  accounts: AccountsDeps,
  request: Pick<AnyRequest, "headers" | "address" | "requestId">,
): Visitor {
  return cookiesOf(accounts).visitorOf(request);
}

type SetCookies = { readonly headers: { readonly "set-cookie": readonly string[] } };

/** What the browser of somebody who signed in keeps from now on. */
export function signInCookies(accounts: AccountsDeps, { cookies: secrets }: SignedIn): SetCookies {
  const cookies = cookiesOf(accounts);
  return setCookies(
    cookies.set("sign-in", secrets["sign-in"], SIGN_INS.absoluteMs),
    cookies.set("device", secrets.device, DEVICE_TOKEN_MS),
    cookies.clear("attempt"),
  );
}

/** What the browser keeps of a sign-in that goes on. */
export function arrivalCookies(accounts: AccountsDeps, arrival: Arrival): SetCookies {
  if (arrival.outcome === "signed-in") return signInCookies(accounts, arrival.signedIn);
  return attemptCookie(accounts, arrival.attempt);
}

export function attemptCookie(accounts: AccountsDeps, attempt: string): SetCookies {
  return setCookies(cookiesOf(accounts).set("attempt", attempt, ATTEMPT_MS));
}

/** The sign-in goes on with another secret. @param secret undefined: no sign-in made the request. */
export function renewedCookie(accounts: AccountsDeps, secret: string | undefined): SetCookies {
  if (secret === undefined) return setCookies();
  return setCookies(cookiesOf(accounts).set("sign-in", secret, SIGN_INS.absoluteMs));
}

export function clearedCookies(accounts: AccountsDeps, ...kinds: readonly ("sign-in" | "attempt")[]): SetCookies {
  return setCookies(...kinds.map((kind) => cookiesOf(accounts).clear(kind)));
}

function setCookies(...cookies: readonly string[]): SetCookies {
  return { headers: { "set-cookie": cookies } };
}
