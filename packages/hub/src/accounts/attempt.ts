import * as z from "zod";

import { newId } from "../new-id.ts";
import type { AccountsDeps } from "./accounts.ts";

/** A sign-in, or something as grave, that takes more than one request; 10 minutes. */
export const ATTEMPT_MS = 10 * 60 * 1000;

const COMMON = { id: z.string(), expiresAtMs: z.number() };

/**
 * What has to be remembered between the requests. The browser keeps it, encrypted, in a cookie: beginning costs the hub
 * nothing to keep, and only the browser that began can go on. Whoever ends one notes its id (`useAttempt`), so it ends once.
 */
const ATTEMPT = z.discriminatedUnion("kind", [
  z.strictObject({
    ...COMMON,
    kind: z.literal("second-factor"),
    userId: z.string(),
    /** The user as it was: after a change of password or role one begins anew. */
    userVersion: z.number(),
    means: z.string(),
    returnTo: z.string(),
  }),
  z.strictObject({ ...COMMON, kind: z.literal("passkey-sign-in"), challenge: z.string() }),
  z.strictObject({ ...COMMON, kind: z.literal("passkey-new"), challenge: z.string(), userId: z.string() }),
  z.strictObject({
    ...COMMON,
    kind: z.literal("provider"),
    provider: z.string(),
    state: z.string(),
    nonce: z.string(),
    verifier: z.string(),
    returnTo: z.string(),
    /** An invite code for whoever has no account yet. */
    invite: z.string().exactOptional(),
    /** The user whose account is to be linked; absent: to sign in. */
    linkTo: z.string().exactOptional(),
  }),
]);

export type Attempt = z.infer<typeof ATTEMPT>;
export type AttemptKind = Attempt["kind"];
export type AttemptOf<K extends AttemptKind> = Extract<Attempt, { kind: K }>;

/** Of each arm what the caller says; id and time are added. */
type NewAttempt<A = Attempt> = A extends Attempt ? Omit<A, "id" | "expiresAtMs"> : never;

/** For the attempt cookie. */
export function sealAttempt({ secret, now }: Pick<AccountsDeps, "secret" | "now">, attempt: NewAttempt): string {
  const nowMs = now();
  const whole = { ...attempt, id: newId("attempt", nowMs), expiresAtMs: nowMs + ATTEMPT_MS };
  return secret.seal("attempt", attempt.kind, JSON.stringify(whole));
}

/** What the browser's attempt cookie holds, when it is of that kind and its time is not over. */
export function openAttempt<K extends AttemptKind>(
  { secret, now }: Pick<AccountsDeps, "secret" | "now">,
  sealed: string | undefined,
  kind: K,
): AttemptOf<K> | undefined {
  const text = sealed === undefined ? undefined : secret.open("attempt", kind, sealed);
  if (text === undefined) return undefined;
  const attempt = ATTEMPT.parse(JSON.parse(text));
  return isOf(attempt, kind) && attempt.expiresAtMs > now() ? attempt : undefined;
}

function isOf<K extends AttemptKind>(attempt: Attempt, kind: K): attempt is AttemptOf<K> {
  return attempt.kind === kind;
}
