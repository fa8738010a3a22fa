import {
  type AuthenticationResponseJSON,
  type PublicKeyCredentialCreationOptionsJSON,
  type PublicKeyCredentialRequestOptionsJSON,
  type RegistrationResponseJSON,
  generateAuthenticationOptions,
  generateRegistrationOptions,
  verifyAuthenticationResponse,
  verifyRegistrationResponse,
} from "@simplewebauthn/server";

import { AppError } from "../errors.ts";
import type { UserActor } from "../identity/actor.ts";
import { hashOfSecret } from "../identity/key-secret.ts";
import { newOpaqueSecret } from "../identity/opaque-secret.ts";
import { networkOf } from "../network.ts";
import { newId } from "../new-id.ts";
import { audit } from "../store/audit-store.ts";
import type { AccessTransaction } from "../store/database.ts";
import {
  type PasskeyRecord,
  deletePasskey,
  insertPasskey,
  passkeyByCredential,
  passkeysOf,
  usePasskey,
} from "../store/passkey-store.ts";
import { renewSignIn } from "../store/sign-in-store.ts";
import { useAttempt } from "../store/used-attempt-store.ts";
import { userById } from "../store/user-store.ts";
import type { AccountsDeps } from "./accounts.ts";
import { ATTEMPT_MS, type AttemptOf, openAttempt, sealAttempt } from "./attempt.ts";
import { refuseDisabled } from "./password-sign-in.ts";
import { type SignedIn, requireFresh, requireLive, startSignIn } from "./sign-ins.ts";
import type { Visitor } from "./visitor.ts";
import { requireWayIn } from "./ways-in.ts";

/** Of one user: more than anybody has devices, and what a sign-in page has to name is bounded. */
export const MAX_PASSKEYS = 20;

/** EdDSA, ES256 and RS256 (COSE): what every authenticator has one of, and nothing that Node calls experimental. */
const ALGORITHMS = [-8, -7, -257];

/** What the browser is asked to do, and the attempt for its cookie. */
export interface PasskeyRequest<Options> {
  readonly options: Options;
  readonly attempt: string;
}

/** Asks a browser for a new passkey. @throws AppError `forbidden`, `confirmation_required`, `conflict` */
export async function beginPasskey(
  deps: AccountsDeps,
  actor: UserActor,
): Promise<PasskeyRequest<PublicKeyCredentialCreationOptionsJSON>> {
  requireFresh(actor, deps.now());
  const { id, email, name } = actor.user;
  const existing = await passkeysOf(deps.database.db, id);
  if (existing.length >= MAX_PASSKEYS) {
    throw new AppError("conflict", `You have ${MAX_PASSKEYS} passkeys already. Remove one first.`);
  }
  const options = await generateRegistrationOptions({
    rpName: `Tokilake ${deps.publicUrl.hostname}`,
    rpID: deps.publicUrl.hostname,
    // Not personal: it stays on the device, and names the user when he signs in.
    userID: new TextEncoder().encode(id),
    userName: email,
    userDisplayName: name,
    timeout: ATTEMPT_MS,
    excludeCredentials: existing.map(({ credentialId, transports }) => ({
      id: credentialId,
      transports: [...transports],
    })),
    // To sign in without a name it must be on the device, and to stand for both factors it must know its owner.
    authenticatorSelection: { residentKey: "required", userVerification: "required" },
    supportedAlgorithmIDs: ALGORITHMS,
  });
  const attempt = sealAttempt(deps, { kind: "passkey-new", challenge: options.challenge, userId: id });
  return { options, attempt };
}

/** Keeps the passkey that the browser made. @throws AppError `invalid_request`, `unauthenticated`, `conflict` */
export async function finishPasskey(
  deps: AccountsDeps,
  actor: UserActor,
  visitor: Visitor,
  given: { readonly response: RegistrationResponseJSON; readonly name: string },
): Promise<PasskeyRecord> {
  const nowMs = deps.now();
  requireFresh(actor, nowMs);
  const attempt = openAttempt(deps, visitor.cookies.attempt, "passkey-new");
  if (attempt === undefined || attempt.userId !== actor.user.id) throw wrongPasskey();
  const verified = await verifyRegistrationResponse({
    response: given.response,
    ...expected(deps, attempt),
    requireUserVerification: true,
    supportedAlgorithmIDs: ALGORITHMS,
  }).catch((thrown: unknown) => {
    throw wrongPasskey(thrown);
  });
  if (!verified.verified) throw wrongPasskey();
  const { credential } = verified.registrationInfo;
  const passkey: PasskeyRecord = {
    id: newId("passkey", nowMs),
    userId: actor.user.id,
    credentialId: credential.id,
    publicKey: Buffer.from(credential.publicKey).toString("base64url"),
    counter: credential.counter,
    transports: credential.transports ?? [],
    name: given.name,
    createdAtMs: nowMs,
    lastUsedAtMs: undefined,
  };
  await deps.database.write(async ({ db }) => {
    await requireLive(db, actor);
    if (!(await useAttempt(db, attempt, nowMs))) throw wrongPasskey();
    if ((await passkeysOf(db, actor.user.id)).length >= MAX_PASSKEYS) throw new AppError("conflict");
    if (!(await insertPasskey(db, passkey))) throw new AppError("conflict", "This passkey is kept already.");
    const entry = { action: "passkey.create", objectType: "passkey", objectId: passkey.id };
    await audit(db, actor, { ...entry, after: { name: passkey.name } }, nowMs);
  });
  return passkey;
}

/** The actor's own, the oldest first. */
export function listPasskeys(
  { database }: Pick<AccountsDeps, "database">,
  actor: UserActor,
): Promise<readonly PasskeyRecord[]> {
  return passkeysOf(database.db, actor.user.id);
}

/** Forgets one of the actor's own. @throws AppError `not_found`, `forbidden`, `confirmation_required`, `conflict` for the last way in */
export async function removePasskey(deps: AccountsDeps, actor: UserActor, id: string): Promise<void> {
  const nowMs = deps.now();
  requireFresh(actor, nowMs);
  await deps.database.write(async ({ db }) => {
    const removed = await deletePasskey(db, { id, userId: actor.user.id });
    if (removed === undefined) throw new AppError("not_found");
    await requireWayIn(db, actor.user.id);
    const entry = { action: "passkey.remove", objectType: "passkey", objectId: id };
    await audit(db, actor, { ...entry, before: { name: removed.name } }, nowMs);
  });
}

/** Asks a browser for any passkey of this hub: who it is, is in the answer. Also to confirm a sign-in. */
export async function beginPasskeySignIn(
  deps: Pick<AccountsDeps, "secret" | "now" | "publicUrl">,
): Promise<PasskeyRequest<PublicKeyCredentialRequestOptionsJSON>> {
  const options = await generateAuthenticationOptions({
    rpID: deps.publicUrl.hostname,
    timeout: ATTEMPT_MS,
    userVerification: "required",
  });
  return { options, attempt: sealAttempt(deps, { kind: "passkey-sign-in", challenge: options.challenge }) };
}

/** Signs in whoever has the passkey: it stands for both factors. @throws AppError `unauthenticated`, `forbidden`, `rate_limit_exceeded` */
export async function finishPasskeySignIn(
  deps: AccountsDeps,
  visitor: Visitor,
  response: AuthenticationResponseJSON,
): Promise<SignedIn> {
  const nowMs = deps.now();
  const shown = await shownPasskey(deps, visitor, response);
  return deps.database.write(async (transaction) => {
    await usePasskeyOnce(transaction.db, shown, nowMs);
    const user = await userById(transaction.db, shown.passkey.userId);
    if (user === undefined) throw refusedPasskey();
    refuseDisabled(user);
    return startSignIn(deps, transaction, { user, visitor, means: "passkey", hasUsedSecondFactor: true }, nowMs);
  });
}

/** Shows anew who is signed in, by one of his passkeys. Returns the secret of the sign-in's new cookie. @throws AppError */
export async function confirmWithPasskey(
  deps: AccountsDeps,
  actor: UserActor,
  visitor: Visitor,
  response: AuthenticationResponseJSON,
): Promise<string> {
  const nowMs = deps.now();
  const { id, kind } = actor.via;
  if (kind !== "sign-in") throw new AppError("forbidden");
  const shown = await shownPasskey(deps, visitor, response);
  if (shown.passkey.userId !== actor.user.id) throw refusedPasskey();
  const secret = newOpaqueSecret();
  await deps.database.write(async ({ db }) => {
    await usePasskeyOnce(db, shown, nowMs);
    if (!(await renewSignIn(db, id, { hash: hashOfSecret(secret), nowMs }))) throw new AppError("unauthenticated");
  });
  return secret;
}

interface ShownPasskey {
  readonly passkey: PasskeyRecord;
  readonly attempt: AttemptOf<"passkey-sign-in">;
  readonly counter: number;
}

async function shownPasskey(
  deps: AccountsDeps,
  visitor: Visitor,
  response: AuthenticationResponseJSON,
): Promise<ShownPasskey> {
  const giveBack = deps.tries.take(["passkey from", networkOf(visitor.address)]);
  const attempt = openAttempt(deps, visitor.cookies.attempt, "passkey-sign-in");
  const passkey = attempt && (await passkeyByCredential(deps.database.db, response.id));
  if (attempt === undefined || passkey === undefined) throw refusedPasskey();
  // The device says whose it is; it must be the one it was made for.
  const handle = response.response.userHandle;
  if (handle !== undefined && Buffer.from(handle, "base64url").toString() !== passkey.userId) throw refusedPasskey();
  const verified = await verifyAuthenticationResponse({
    response,
    ...expected(deps, attempt),
    requireUserVerification: true,
    credential: {
      id: passkey.credentialId,
      publicKey: new Uint8Array(Buffer.from(passkey.publicKey, "base64url")),
      counter: passkey.counter,
    },
  }).catch((thrown: unknown) => {
    throw refusedPasskey(thrown);
  });
  if (!verified.verified) throw refusedPasskey();
  giveBack();
  return { passkey, attempt, counter: verified.authenticationInfo.newCounter };
}

async function usePasskeyOnce(
  db: AccessTransaction["db"],
  { passkey, attempt, counter }: ShownPasskey,
  nowMs: number,
): Promise<void> {
  const isFirst = (await useAttempt(db, attempt, nowMs)) && (await usePasskey(db, passkey.id, { counter, nowMs }));
  if (!isFirst) throw refusedPasskey();
}

function expected(
  { publicUrl }: AccountsDeps,
  { challenge }: { readonly challenge: string },
): { readonly expectedChallenge: string; readonly expectedOrigin: string; readonly expectedRPID: string } {
  return { expectedChallenge: challenge, expectedOrigin: publicUrl.origin, expectedRPID: publicUrl.hostname };
}

function wrongPasskey(cause?: unknown): AppError {
  return new AppError("invalid_request", "The passkey could not be made. Start again.", { cause });
}

function refusedPasskey(cause?: unknown): AppError {
  return new AppError("unauthenticated", "This passkey is not known here, or the sign-in took too long.", { cause });
}
