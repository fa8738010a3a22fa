import * as z from "zod";

import { beginPasskeySignIn, confirmWithPasskey, finishPasskeySignIn } from "../accounts/passkeys.ts";
import { requestPasswordReset, resetPassword } from "../accounts/password-reset.ts";
import { confirmSignIn, finishSignIn, signInWithPassword } from "../accounts/password-sign-in.ts";
import { type ProviderReturn, beginProviderSignIn, finishProviderJourney } from "../accounts/provider-sign-in.ts";
import { register, resendVerification, verifyEmail } from "../accounts/registration.ts";
import { hasRoot } from "../accounts/set-up.ts";
import { endOwnSignIn } from "../accounts/sign-ins.ts";
import { AppError } from "../errors.ts";
import type { UserActor } from "../identity/actor.ts";
import {
  type AccountServices,
  CODE,
  EMAIL,
  INVITE_CODE,
  LINK_TOKEN,
  PASSWORD,
  PERSON_NAME,
  RETURN_TO,
  SIGN_IN_STEP,
  USER_ROLE,
  arrivalCookies,
  attemptCookie,
  clearedCookies,
  renewedCookie,
  signInCookies,
  toStep,
  visitorOf,
} from "./account-shapes.ts";
import { JOURNEY, PASSKEY_ANSWER, PASSKEY_OPTIONS, PROVIDER } from "./credential-shapes.ts";
import { route } from "./route.ts";

/** The same, whatever the address is: see docs/accounts.md. */
const ACCEPTED = z.object({ object: z.literal("accepted") }).meta({ id: "Accepted" });

const WAYS = z
  .object({
    object: z.literal("sign_in_ways"),
    is_set_up: z.boolean().describe("false: nobody is root yet, the hub's log has a link"),
    registration: z.enum(["open", "invite", "closed"]),
    requires_verified_email: z.boolean(),
    providers: z.array(z.object({ name: z.string(), label: z.string() })),
    user: z
      .object({ id: z.string(), email: z.string(), name: z.string(), role: USER_ROLE })
      .nullable()
      .describe("Who is signed in already"),
  })
  .meta({ id: "SignInWays" });

const BY_PASSWORD = [
  route({
    method: "GET",
    path: "/api/sign-in",
    permission: "public",
    scope: "none",
    summary: "What a sign-in page needs to know",
    response: { 200: WAYS },
    handler: async ({ actor }, { accounts }: AccountServices) => ({
      body: {
        object: "sign_in_ways" as const,
        is_set_up: await hasRoot(accounts),
        registration: accounts.settings.registration,
        requires_verified_email: accounts.settings.requiresVerifiedEmail,
        providers: Array.from(accounts.providers.values(), ({ name, label }) => ({ name, label })),
        // A token says who asks only with the scope for it: GET /api/me.
        user: actor?.via.kind === "sign-in" ? shownUser(actor) : null,
      },
    }),
  }),
  route({
    method: "POST",
    path: "/api/sign-in",
    permission: "public",
    scope: "none",
    summary: "Signs in with e-mail and password",
    body: z.strictObject({ email: EMAIL, password: PASSWORD, return_to: RETURN_TO.exactOptional() }),
    response: { 200: SIGN_IN_STEP },
    errors: ["unauthenticated", "forbidden", "overloaded"],
    handler: async ({ body, ...request }, { accounts }: AccountServices) => {
      const { email, password, return_to: returnTo } = body;
      const given = { email, password, ...(returnTo !== undefined && { returnTo }) };
      const arrival = await signInWithPassword(accounts, visitorOf(accounts, request), given);
      return { body: toStep(arrival), ...arrivalCookies(accounts, arrival) };
    },
  }),
  route({
    method: "POST",
    path: "/api/sign-in/second-factor",
    permission: "public",
    scope: "none",
    summary: "Ends a sign-in with a code of the authenticator app, or a recovery code",
    body: z.strictObject({ code: CODE }),
    response: { 200: SIGN_IN_STEP },
    errors: ["unauthenticated", "forbidden"],
    handler: async ({ body, ...request }, { accounts }: AccountServices) => {
      const finished = await finishSignIn(accounts, visitorOf(accounts, request), body.code);
      return {
        body: toStep({ outcome: "signed-in", ...finished }),
        ...signInCookies(accounts, finished.signedIn),
      };
    },
  }),
  route({
    method: "POST",
    path: "/api/sign-in/confirm",
    permission: "signed-in",
    scope: "sign-in-only",
    summary:
      "Shows anew who is signed in, for what is dangerous: the password, and the code where there is a second factor",
    body: z.strictObject({ password: PASSWORD.exactOptional(), code: CODE.exactOptional() }),
    response: { 204: null },
    errors: ["forbidden", "overloaded"],
    handler: async ({ actor, body }, { accounts }: AccountServices) =>
      renewedCookie(accounts, await confirmSignIn(accounts, actor, body)),
  }),
  route({
    method: "POST",
    path: "/api/sign-out",
    permission: "signed-in",
    scope: "sign-in-only",
    summary: "Ends this sign-in",
    response: { 204: null },
    handler: async ({ actor }, { accounts }: AccountServices) => {
      await endOwnSignIn(accounts, actor, actor.via.id);
      return clearedCookies(accounts, "sign-in", "attempt");
    },
  }),
];

const BY_PASSKEY = [
  route({
    method: "POST",
    path: "/api/sign-in/passkey/options",
    permission: "public",
    scope: "none",
    summary: "What to give navigator.credentials.get(), to sign in or to confirm",
    response: { 200: PASSKEY_OPTIONS },
    handler: async (_request, { accounts }: AccountServices) => {
      const { options, attempt } = await beginPasskeySignIn(accounts);
      return {
        body: { object: "passkey_options" as const, options: { ...options } },
        ...attemptCookie(accounts, attempt),
      };
    },
  }),
  route({
    method: "POST",
    path: "/api/sign-in/passkey",
    permission: "public",
    scope: "none",
    summary: "Signs in with a passkey, which stands for both factors",
    body: z.strictObject({ response: PASSKEY_ANSWER }),
    response: { 200: SIGN_IN_STEP },
    errors: ["unauthenticated", "forbidden"],
    handler: async ({ body, ...request }, { accounts }: AccountServices) => {
      const signedIn = await finishPasskeySignIn(accounts, visitorOf(accounts, request), body.response);
      return {
        body: toStep({ outcome: "signed-in", signedIn, returnTo: "/" }),
        ...signInCookies(accounts, signedIn),
      };
    },
  }),
  route({
    method: "POST",
    path: "/api/sign-in/confirm/passkey",
    permission: "signed-in",
    scope: "sign-in-only",
    summary: "Shows anew who is signed in, by a passkey",
    body: z.strictObject({ response: PASSKEY_ANSWER }),
    response: { 204: null },
    errors: ["forbidden"],
    handler: async ({ actor, body, ...request }, { accounts }: AccountServices) => {
      const visitor = visitorOf(accounts, request);
      return renewedCookie(accounts, await confirmWithPasskey(accounts, actor, visitor, body.response));
    },
  }),
];

const BY_PROVIDER = [
  route({
    method: "POST",
    path: "/api/sign-in/providers/{name}",
    permission: "public",
    scope: "none",
    summary: "Where to send the browser, to sign in with another service",
    params: z.strictObject({ name: PROVIDER }),
    body: z.strictObject({ return_to: RETURN_TO.exactOptional(), invite_code: INVITE_CODE.exactOptional() }),
    response: { 200: JOURNEY },
    errors: ["not_found", "upstream_unreachable"],
    handler: async ({ params, body, ...request }, { accounts }: AccountServices) => {
      const wanted = { provider: params.name, returnTo: body.return_to, inviteCode: body.invite_code };
      const { location, attempt } = await beginProviderSignIn(accounts, visitorOf(accounts, request), wanted);
      return { body: { object: "provider_journey" as const, location }, ...attemptCookie(accounts, attempt) };
    },
  }),
  route({
    method: "GET",
    path: "/api/sign-in/providers/{name}/callback",
    permission: "public",
    scope: "none",
    summary:
      "Where the other service sends the browser back to. It goes on to a page of the hub, with ?error= when it failed",
    params: z.strictObject({ name: PROVIDER }),
    // Each service adds what it likes to `code` and `state`.
    query: z.looseObject({}),
    response: { 303: null },
    handler: async ({ actor, params, query, ...request }, { accounts }: AccountServices) => {
      const came = { provider: params.name, query: queryText(query) };
      try {
        const visitor = visitorOf(accounts, request);
        return goOn(accounts, await finishProviderJourney(accounts, visitor, actor, came));
      } catch (thrown) {
        // A person looks at this, not a program.
        if (!(thrown instanceof AppError)) throw thrown;
        const location = accounts.publicUrl.of(`/sign-in?error=${thrown.code}`);
        return { location, ...clearedCookies(accounts, "attempt") };
      }
    },
  }),
];

const BY_MAIL = [
  route({
    method: "POST",
    path: "/api/register",
    permission: "public",
    scope: "none",
    summary: "Makes an account, and uses an invite for it. The answer is the same when the address has an account",
    body: z.strictObject({
      email: EMAIL,
      password: PASSWORD,
      name: PERSON_NAME.default(""),
      invite_code: INVITE_CODE.exactOptional(),
    }),
    response: {
      202: z
        .object({ object: z.literal("registration"), next: z.enum(["verify-email", "sign-in"]) })
        .meta({ id: "Registration" }),
    },
    errors: ["forbidden", "not_found", "invite_ended", "conflict", "overloaded"],
    handler: async ({ body, ...request }, { accounts }: AccountServices) => {
      const { email, password, name, invite_code: inviteCode } = body;
      const { next } = await register(accounts, visitorOf(accounts, request), { email, password, name, inviteCode });
      return { body: { object: "registration" as const, next } };
    },
  }),
  route({
    method: "POST",
    path: "/api/verify-email",
    permission: "public",
    scope: "none",
    summary: "Takes the link of a verification mail, from who is signed in to the account or knows its password",
    body: z.strictObject({ token: LINK_TOKEN, password: PASSWORD.exactOptional() }),
    response: { 204: null },
    errors: ["forbidden", "conflict", "overloaded"],
    handler: async ({ actor, body, ...request }, { accounts }: AccountServices) => {
      await verifyEmail(accounts, visitorOf(accounts, request), actor, body);
      return {};
    },
  }),
  route({
    method: "POST",
    path: "/api/verify-email/send",
    permission: "public",
    scope: "none",
    summary: "Sends the verification mail again, if somebody waits for it. The answer is always the same",
    body: z.strictObject({ email: EMAIL }),
    response: { 202: ACCEPTED },
    handler: async ({ body, ...request }, { accounts }: AccountServices) => {
      resendVerification(accounts, visitorOf(accounts, request), body);
      return { body: { object: "accepted" as const } };
    },
  }),
  route({
    method: "POST",
    path: "/api/reset-password/send",
    permission: "public",
    scope: "none",
    summary: "Sends a link for a new password, if the address has an account. The answer is always the same",
    body: z.strictObject({ email: EMAIL }),
    response: { 202: ACCEPTED },
    handler: async ({ body, ...request }, { accounts }: AccountServices) => {
      requestPasswordReset(accounts, visitorOf(accounts, request), body);
      return { body: { object: "accepted" as const } };
    },
  }),
  route({
    method: "POST",
    path: "/api/reset-password",
    permission: "public",
    scope: "none",
    summary: "Takes the link of a mail and sets the password. All sign-ins end",
    body: z.strictObject({ token: LINK_TOKEN, password: PASSWORD }),
    response: { 204: null },
    errors: ["forbidden", "overloaded"],
    handler: async ({ body, ...request }, { accounts }: AccountServices) => {
      await resetPassword(accounts, visitorOf(accounts, request), body);
      return {};
    },
  }),
];

export const SIGN_IN_ROUTES = [...BY_PASSWORD, ...BY_PASSKEY, ...BY_PROVIDER, ...BY_MAIL];

function shownUser({ user: { id, email, name, role } }: UserActor): z.input<typeof WAYS>["user"] {
  return { id, email, name, role };
}

/** The query as a provider wrote it: whatever comes twice does so again, and is refused by who knows what it means. */
function queryText(query: Readonly<Record<string, unknown>>): string {
  const text = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const each of Array.isArray(value) ? value : [value]) text.append(name, String(each));
  }
  return `?${text.toString()}`;
}

function goOn(
  accounts: AccountServices["accounts"],
  came: ProviderReturn,
): { readonly location: string; readonly headers: { readonly "set-cookie": readonly string[] } } {
  if (came.outcome === "linked") {
    return { location: accounts.publicUrl.of(came.returnTo), ...clearedCookies(accounts, "attempt") };
  }
  const path = came.outcome === "signed-in" ? came.returnTo : "/sign-in?step=second-factor";
  return { location: accounts.publicUrl.of(path), ...arrivalCookies(accounts, came) };
}
