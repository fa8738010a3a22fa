import * as z from "zod";

import { changePassword, ownAccount, renameSelf, requestChangeOfEmail } from "../accounts/account.ts";
import { beginPasskey, finishPasskey, listPasskeys, removePasskey } from "../accounts/passkeys.ts";
import { beginLinking, listLinkedAccounts, unlinkAccount } from "../accounts/provider-sign-in.ts";
import {
  beginSecondFactor,
  confirmSecondFactor,
  removeOwnSecondFactor,
  renewRecoveryCodes,
  secondFactorOf,
} from "../accounts/second-factor.ts";
import type { LinkedAccountRecord } from "../store/linked-account-store.ts";
import type { PasskeyRecord } from "../store/passkey-store.ts";
import {
  type AccountServices,
  CODE,
  EMAIL,
  PASSWORD,
  PERSON_NAME,
  RETURN_TO,
  USER,
  attemptCookie,
  clearedCookies,
  renewedCookie,
  toUser,
  visitorOf,
} from "./account-shapes.ts";
import { JOURNEY, NEW_PASSKEY, PASSKEY_OPTIONS, PROVIDER } from "./credential-shapes.ts";
import { route } from "./route.ts";

const ID = z.strictObject({ id: z.string().max(64) });

/** Of what there is never more than a page. */
function allOf<T extends z.ZodType>(item: T) {
  return z.object({ object: z.literal("list"), data: z.array(item) });
}

const RECOVERY_CODES = z
  .object({
    object: z.literal("recovery_codes"),
    secret: z.array(z.string()).describe("Each signs in once in place of a code. They are shown only this once"),
  })
  .meta({ id: "RecoveryCodes" });

const PASSKEY = z
  .object({
    object: z.literal("passkey"),
    id: z.string(),
    name: z.string(),
    created_at_ms: z.int(),
    last_used_at_ms: z.int().nullable(),
  })
  .meta({ id: "Passkey" });

const LINKED_ACCOUNT = z
  .object({
    object: z.literal("linked_account"),
    id: z.string(),
    provider: z.string(),
    email: z.string().nullable().describe("As it was when it was linked"),
    created_at_ms: z.int(),
  })
  .meta({ id: "LinkedAccount" });

const OWN = [
  route({
    method: "GET",
    path: "/api/account",
    permission: "signed-in",
    scope: "account",
    summary: "One's own account",
    response: { 200: USER },
    handler: async ({ actor }, { accounts }: AccountServices) => {
      const user = await ownAccount(accounts, actor);
      return { body: toUser(user), version: user.version };
    },
  }),
  route({
    method: "PATCH",
    path: "/api/account",
    permission: "signed-in",
    scope: "account",
    summary: "Changes one's name",
    body: z.strictObject({ name: PERSON_NAME }),
    response: { 200: USER },
    ifMatch: "required",
    handler: async ({ actor, body, ifMatch }, { accounts }: AccountServices) => {
      const user = await renameSelf(accounts, actor, { name: body.name, version: ifMatch });
      return { body: toUser(user), version: user.version };
    },
  }),
  route({
    method: "PUT",
    path: "/api/account/password",
    permission: "signed-in",
    scope: "sign-in-only",
    summary: "Sets one's password. All other sign-ins end",
    body: z.strictObject({ password: PASSWORD }),
    response: { 204: null },
    errors: ["confirmation_required", "overloaded"],
    handler: async ({ actor, body }, { accounts }: AccountServices) =>
      renewedCookie(accounts, await changePassword(accounts, actor, body.password)),
  }),
  route({
    method: "POST",
    path: "/api/account/email",
    permission: "signed-in",
    scope: "sign-in-only",
    summary: "Sends a link to a new address, which is the account's once the link is opened",
    body: z.strictObject({ email: EMAIL }),
    response: { 202: z.object({ object: z.literal("accepted") }) },
    errors: ["confirmation_required"],
    handler: async ({ actor, body }, { accounts }: AccountServices) => {
      requestChangeOfEmail(accounts, actor, body);
      return { body: { object: "accepted" as const } };
    },
  }),
];

const SECOND_FACTOR = [
  route({
    method: "GET",
    path: "/api/account/second-factor",
    permission: "signed-in",
    scope: "account",
    summary: "Whether a second factor is asked for",
    response: {
      200: z
        .object({
          object: z.literal("second_factor"),
          is_on: z.boolean(),
          confirmed_at_ms: z.int().nullable(),
          recovery_codes_left: z.int(),
        })
        .meta({ id: "SecondFactor" }),
    },
    handler: async ({ actor }, { accounts }: AccountServices) => {
      const found = await secondFactorOf(accounts, actor.user.id);
      return {
        body: {
          object: "second_factor" as const,
          is_on: found !== undefined,
          confirmed_at_ms: found?.confirmedAtMs ?? null,
          recovery_codes_left: found?.recoveryCodesLeft ?? 0,
        },
      };
    },
  }),
  route({
    method: "POST",
    path: "/api/account/second-factor",
    permission: "signed-in",
    scope: "sign-in-only",
    summary: "A secret for an authenticator app. Nothing changes until it is confirmed",
    response: {
      200: z
        .object({
          object: z.literal("second_factor_setup"),
          secret: z.string(),
          uri: z.string().describe("For a QR code"),
        })
        .meta({ id: "SecondFactorSetup" }),
    },
    errors: ["confirmation_required", "conflict"],
    handler: async ({ actor }, { accounts }: AccountServices) => ({
      body: { object: "second_factor_setup" as const, ...(await beginSecondFactor(accounts, actor)) },
    }),
  }),
  route({
    method: "POST",
    path: "/api/account/second-factor/confirm",
    permission: "signed-in",
    scope: "sign-in-only",
    summary: "Turns the second factor on, with a code of the app. All other sign-ins end",
    body: z.strictObject({ code: CODE }),
    response: { 200: RECOVERY_CODES },
    errors: ["confirmation_required"],
    handler: async ({ actor, body }, { accounts }: AccountServices) => {
      const { recoveryCodes, signInSecret } = await confirmSecondFactor(accounts, actor, body.code);
      return {
        body: { object: "recovery_codes" as const, secret: [...recoveryCodes] },
        ...renewedCookie(accounts, signInSecret),
      };
    },
  }),
  route({
    method: "POST",
    path: "/api/account/second-factor/recovery-codes",
    permission: "signed-in",
    scope: "sign-in-only",
    summary: "New recovery codes in place of the old ones",
    response: { 200: RECOVERY_CODES },
    errors: ["confirmation_required", "conflict"],
    handler: async ({ actor }, { accounts }: AccountServices) => ({
      body: { object: "recovery_codes" as const, secret: [...(await renewRecoveryCodes(accounts, actor))] },
    }),
  }),
  route({
    method: "DELETE",
    path: "/api/account/second-factor",
    permission: "signed-in",
    scope: "sign-in-only",
    summary: "Turns the second factor off. All other sign-ins end",
    response: { 204: null },
    errors: ["confirmation_required", "not_found"],
    handler: async ({ actor }, { accounts }: AccountServices) =>
      renewedCookie(accounts, await removeOwnSecondFactor(accounts, actor)),
  }),
];

const PASSKEYS = [
  route({
    method: "GET",
    path: "/api/account/passkeys",
    permission: "signed-in",
    scope: "account",
    summary: "One's passkeys, the oldest first",
    response: { 200: allOf(PASSKEY) },
    handler: async ({ actor }, { accounts }: AccountServices) => ({
      body: { object: "list" as const, data: (await listPasskeys(accounts, actor)).map(toPasskey) },
    }),
  }),
  route({
    method: "POST",
    path: "/api/account/passkeys/options",
    permission: "signed-in",
    scope: "sign-in-only",
    summary: "What to give navigator.credentials.create()",
    response: { 200: PASSKEY_OPTIONS },
    errors: ["confirmation_required", "conflict"],
    handler: async ({ actor }, { accounts }: AccountServices) => {
      const { options, attempt } = await beginPasskey(accounts, actor);
      return {
        body: { object: "passkey_options" as const, options: { ...options } },
        ...attemptCookie(accounts, attempt),
      };
    },
  }),
  route({
    method: "POST",
    path: "/api/account/passkeys",
    permission: "signed-in",
    scope: "sign-in-only",
    summary: "Keeps the passkey that the browser made",
    body: z.strictObject({ response: NEW_PASSKEY, name: z.string().min(1).max(100) }),
    response: { 201: PASSKEY },
    errors: ["confirmation_required", "conflict"],
    handler: async ({ actor, body, ...request }, { accounts }: AccountServices) => {
      const passkey = await finishPasskey(accounts, actor, visitorOf(accounts, request), body);
      return { body: toPasskey(passkey), location: "/api/account/passkeys", ...clearedCookies(accounts, "attempt") };
    },
  }),
  route({
    method: "DELETE",
    path: "/api/account/passkeys/{id}",
    permission: "self",
    scope: "sign-in-only",
    summary: "Forgets a passkey",
    params: ID,
    response: { 204: null },
    errors: ["confirmation_required", "not_found", "conflict"],
    handler: async ({ actor, params }, { accounts }: AccountServices) => {
      await removePasskey(accounts, actor, params.id);
      return {};
    },
  }),
];

const LINKED_ACCOUNTS = [
  route({
    method: "GET",
    path: "/api/account/linked-accounts",
    permission: "signed-in",
    scope: "account",
    summary: "Accounts of other services that sign in as oneself, the oldest first",
    response: { 200: allOf(LINKED_ACCOUNT) },
    handler: async ({ actor }, { accounts }: AccountServices) => ({
      body: { object: "list" as const, data: (await listLinkedAccounts(accounts, actor)).map(toLinkedAccount) },
    }),
  }),
  route({
    method: "POST",
    path: "/api/account/linked-accounts",
    permission: "signed-in",
    scope: "sign-in-only",
    summary: "Where to send the browser, to link an account of another service",
    body: z.strictObject({ provider: PROVIDER, return_to: RETURN_TO.exactOptional() }),
    response: { 200: JOURNEY },
    errors: ["confirmation_required", "not_found", "upstream_unreachable"],
    handler: async ({ actor, body, ...request }, { accounts }: AccountServices) => {
      const wanted = { provider: body.provider, returnTo: body.return_to };
      const visitor = visitorOf(accounts, request);
      const { location, attempt } = await beginLinking(accounts, actor, visitor, wanted);
      return { body: { object: "provider_journey" as const, location }, ...attemptCookie(accounts, attempt) };
    },
  }),
  route({
    method: "DELETE",
    path: "/api/account/linked-accounts/{id}",
    permission: "self",
    scope: "sign-in-only",
    summary: "Unlinks an account of another service",
    params: ID,
    response: { 204: null },
    errors: ["confirmation_required", "not_found", "conflict"],
    handler: async ({ actor, params }, { accounts }: AccountServices) => {
      await unlinkAccount(accounts, actor, params.id);
      return {};
    },
  }),
];

export const ACCOUNT_ROUTES = [...OWN, ...SECOND_FACTOR, ...PASSKEYS, ...LINKED_ACCOUNTS];

function toPasskey(passkey: PasskeyRecord): z.input<typeof PASSKEY> {
  return {
    object: "passkey",
    id: passkey.id,
    name: passkey.name,
    created_at_ms: passkey.createdAtMs,
    last_used_at_ms: passkey.lastUsedAtMs ?? null,
  };
}

function toLinkedAccount(account: LinkedAccountRecord): z.input<typeof LINKED_ACCOUNT> {
  return {
    object: "linked_account",
    id: account.id,
    provider: account.provider,
    email: account.email ?? null,
    created_at_ms: account.createdAtMs,
  };
}
