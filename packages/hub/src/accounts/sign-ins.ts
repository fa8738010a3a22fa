import { AppError } from "../errors.ts";
import type { ActingUser, Actor, UserActor } from "../identity/actor.ts";
import { hashOfSecret } from "../identity/key-secret.ts";
import { newOpaqueSecret } from "../identity/opaque-secret.ts";
import { newId } from "../new-id.ts";
import { audit } from "../store/audit-store.ts";
import type { AccessTransaction } from "../store/database.ts";
import {
  type SignInRecord,
  endSignIn,
  endSignInsOf,
  insertSignIn,
  isLiveSignIn,
  liveSignInsOf,
  renewSignIn,
  signInByHash,
} from "../store/sign-in-store.ts";
import { type UserRecord, userById } from "../store/user-store.ts";
import type { AccountsDeps } from "./accounts.ts";
import { newDeviceToken, readDeviceToken } from "./device-token.ts";
import type { Visitor } from "./visitor.ts";

export const SIGN_INS = {
  /** A sign-in that nobody used for so long ends: 14 days. */
  idleMs: 14 * 24 * 3600 * 1000,
  /** No sign-in lasts longer: 90 days. */
  absoluteMs: 90 * 24 * 3600 * 1000,
  /** How long whoever has shown who he is may do what is dangerous: 15 minutes. */
  freshMs: 15 * 60 * 1000,
  /** Of one user at a time; the oldest ends. */
  maxLive: 50,
  /** When a sign-in was last used is noted so often at most. */
  touchMs: 60 * 1000,
} as const;

/** Somebody who has shown who he is, with what his browser must keep. */
export interface SignedIn {
  readonly user: UserRecord;
  readonly signIn: SignInRecord;
  readonly cookies: { readonly "sign-in": string; readonly device: string };
}

/** How somebody showed who he is, for the audit log. */
export type SignInMeans = "password" | "passkey" | "set-up" | `provider ${string}`;

/**
 * Signs a user in, in the caller's transaction: always with a new secret, so that one which was put into the browser before is
 * worth nothing. The browser's sign-in from before ends.
 *
 * @param arrival.user As it was when he showed who he is.
 * @throws AppError `unauthenticated` when the user was changed since, `rate_limit_exceeded`
 */
export async function startSignIn(
  deps: Pick<AccountsDeps, "secret" | "tries">,
  { db }: AccessTransaction,
  arrival: {
    readonly user: UserRecord;
    readonly visitor: Visitor;
    readonly means: SignInMeans;
    readonly hasUsedSecondFactor: boolean;
  },
  nowMs: number,
): Promise<SignedIn> {
  const { user, visitor, means } = arrival;
  await requireUnchanged(db, arrival);
  deps.tries.take(["sign-ins of", user.id]);
  await endPresented(db, visitor, nowMs);
  const secret = newOpaqueSecret();
  const signIn: SignInRecord = {
    id: newId("signin", nowMs),
    userId: user.id,
    createdAtMs: nowMs,
    lastSeenAtMs: nowMs,
    expiresAtMs: nowMs + SIGN_INS.absoluteMs,
    address: visitor.address,
    userAgent: visitor.userAgent,
    confirmedAtMs: nowMs,
  };
  await insertSignIn(db, { ...signIn, hash: hashOfSecret(secret) }, SIGN_INS.maxLive);
  const actor: UserActor = {
    kind: "user",
    user: actingUserOf(user),
    via: { kind: "sign-in", id: signIn.id, confirmedAtMs: nowMs },
    address: visitor.address,
    ...(visitor.requestId !== undefined && { requestId: visitor.requestId }),
  };
  await audit(
    db,
    actor,
    {
      action: "sign-in.create",
      objectType: "sign-in",
      objectId: signIn.id,
      after: { means, second_factor: arrival.hasUsedSecondFactor, user_agent: visitor.userAgent },
    },
    nowMs,
  );
  const known = readDeviceToken(deps.secret, visitor.cookies.device, user.id);
  return { user, signIn, cookies: { "sign-in": secret, device: newDeviceToken(deps.secret, user.id, known) } };
}

/**
 * Hashing a password takes a while, and a new password, another role or a second factor may come in the meantime. They end what
 * the user is signed in with, and so what was about to begin.
 */
async function requireUnchanged(
  db: AccessTransaction["db"],
  { user, hasUsedSecondFactor }: { readonly user: UserRecord; readonly hasUsedSecondFactor: boolean },
): Promise<void> {
  const current = await userById(db, user.id);
  const isSame = current?.version === user.version && current.disabledAtMs === undefined;
  if (isSame && (hasUsedSecondFactor || !current.hasSecondFactor)) return;
  throw new AppError("unauthenticated", "The account was changed meanwhile. Sign in again.");
}

/** A user's live sign-ins, the newest first. */
export async function listSignIns(
  { database, now }: Pick<AccountsDeps, "database" | "now">,
  userId: string,
): Promise<readonly SignInRecord[]> {
  return liveSignInsOf(database.db, userId, { nowMs: now(), seenSinceMs: now() - SIGN_INS.idleMs });
}

/** Ends one of the actor's own. @throws AppError `not_found` */
export async function endOwnSignIn(
  { database, now }: Pick<AccountsDeps, "database" | "now">,
  actor: UserActor,
  id: string,
): Promise<void> {
  const nowMs = now();
  await database.write(async ({ db }) => {
    if (!(await endSignIn(db, { id, userId: actor.user.id }, nowMs))) throw new AppError("not_found");
    await audit(db, actor, { action: "sign-in.end", objectType: "sign-in", objectId: id }, nowMs);
  });
}

/** Ends all of the actor's own but the one that is used. Returns how many. */
export async function endOtherSignIns(
  { database, now }: Pick<AccountsDeps, "database" | "now">,
  actor: UserActor,
): Promise<number> {
  const nowMs = now();
  return database.write(async ({ db }) => {
    const except = actor.via.kind === "sign-in" ? actor.via.id : undefined;
    const ended = await endSignInsOf(db, actor.user.id, nowMs, except);
    const entry = { action: "sign-in.end-others", objectType: "user", objectId: actor.user.id, after: { ended } };
    await audit(db, actor, entry, nowMs);
    return ended;
  });
}

/**
 * After a change of what somebody may do or shows: every other sign-in of the user ends, and this one goes on with another secret,
 * which is returned for its cookie. undefined: no sign-in made the change.
 *
 * @throws AppError `unauthenticated` when the sign-in that makes the change has ended meanwhile; then nothing may be changed
 */
export async function renewAfterChange(
  db: AccessTransaction["db"],
  actor: Actor,
  userId: string,
  nowMs: number,
): Promise<string | undefined> {
  const own = actor.kind === "user" && actor.user.id === userId && actor.via.kind === "sign-in" ? actor.via : undefined;
  await endSignInsOf(db, userId, nowMs, own?.id);
  if (own === undefined) return undefined;
  const secret = newOpaqueSecret();
  if (!(await renewSignIn(db, own.id, { hash: hashOfSecret(secret), nowMs }))) throw new AppError("unauthenticated");
  return secret;
}

/**
 * Lets through whoever has shown lately who he is, and the operator.
 *
 * @throws AppError `forbidden` for tokens, `confirmation_required`
 */
export function requireFresh(actor: Actor, nowMs: number): void {
  if (actor.kind === "operator") return;
  if (actor.via.kind === "token") throw new AppError("forbidden", "This needs a sign-in. A token cannot do it.");
  if (actor.via.confirmedAtMs < nowMs - SIGN_INS.freshMs) throw new AppError("confirmation_required");
}

/**
 * For what lets somebody in from then on, in the transaction that makes it: a sign-in that ended while its request ran must leave
 * nothing behind that outlives it.
 *
 * @throws AppError `unauthenticated`
 */
export async function requireLive(db: AccessTransaction["db"], { via }: UserActor): Promise<void> {
  if (via.kind === "sign-in" && !(await isLiveSignIn(db, via.id))) throw new AppError("unauthenticated");
}

/** The part of a user's record that says what he may do. */
export function actingUserOf(user: UserRecord): ActingUser {
  const { id, email, name, role, emailVerifiedAtMs } = user;
  return { id, email, name, role, isEmailVerified: emailVerifiedAtMs !== undefined };
}

/** Whoever signs in does not leave another sign-in of the same browser behind. */
async function endPresented(db: AccessTransaction["db"], visitor: Visitor, nowMs: number): Promise<void> {
  const secret = visitor.cookies["sign-in"];
  if (secret === undefined) return;
  const found = await signInByHash(db, hashOfSecret(secret), { nowMs, seenSinceMs: nowMs - SIGN_INS.idleMs });
  if (found !== undefined) await endSignIn(db, found.signIn, nowMs);
}
