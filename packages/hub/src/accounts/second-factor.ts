import { generateSecret, generateURI, verify } from "otplib/functional";

import { AppError } from "../errors.ts";
import type { UserActor } from "../identity/actor.ts";
import { newTypedCode, typedHashOf } from "../identity/invite-code.ts";
import { audit } from "../store/audit-store.ts";
import type { AccessTransaction } from "../store/database.ts";
import {
  beginTotp,
  confirmTotp,
  recoveryCodesLeft,
  removeTotp,
  replaceRecoveryCodes,
  totpOf,
  useRecoveryCode,
  useTotpStep,
} from "../store/second-factor-store.ts";
import type { AccountsDeps } from "./accounts.ts";
import { renewAfterChange, requireFresh } from "./sign-ins.ts";

/** RFC 6238 as every authenticator app does it: SHA-1, 6 digits, 30 s, and one step to either side for clocks that differ. */
const STEP_SECONDS = 30;

const RECOVERY_CODES = 10;

/** Characters of a recovery code: 80 bits. */
const RECOVERY_CODE_LENGTH = 16;

type Deps = Pick<AccountsDeps, "database" | "now" | "secret" | "publicUrl" | "tries">;

/** What the authenticator app needs, as text and as the address that a QR code holds. */
export interface TotpSetUp {
  readonly secret: string;
  readonly uri: string;
}

/** Makes a secret for an authenticator app. It is asked for nowhere until `confirmSecondFactor`. @throws AppError `conflict` */
export async function beginSecondFactor(deps: Deps, actor: UserActor): Promise<TotpSetUp> {
  requireFresh(actor, deps.now());
  const secret = generateSecret();
  const sealed = deps.secret.seal("totp", actor.user.id, secret);
  if (!(await beginTotp(deps.database.db, actor.user.id, sealed))) {
    throw new AppError("conflict", "There is a second factor already. Remove it first.");
  }
  const issuer = `Tokilake ${deps.publicUrl.hostname}`;
  return { secret, uri: generateURI({ issuer, label: actor.user.email, secret }) };
}

/**
 * Turns the second factor on, when `code` shows that the app has the secret. All other sign-ins of the user end.
 *
 * Returns recovery codes, shown this once, and the secret of this sign-in's new cookie.
 *
 * @throws AppError `invalid_request` for a wrong code.
 */
export async function confirmSecondFactor(
  deps: Deps,
  actor: UserActor,
  code: string,
): Promise<{ readonly recoveryCodes: readonly string[]; readonly signInSecret: string | undefined }> {
  const nowMs = deps.now();
  requireFresh(actor, nowMs);
  const giveBack = deps.tries.take(["confirm on", actor.via.id]);
  const { db } = deps.database;
  const userId = actor.user.id;
  const kept = await totpOf(db, userId);
  const step =
    kept && kept.confirmedAtMs === undefined ? await stepOf(deps, userId, kept.sealedSecret, code) : undefined;
  if (kept === undefined || step === undefined) throw wrongCode();
  giveBack();
  return deps.database.write(async (transaction) => {
    const isConfirmed =
      (await confirmTotp(transaction.db, userId, { sealedSecret: kept.sealedSecret, nowMs })) &&
      (await useTotpStep(transaction.db, userId, step));
    if (!isConfirmed) throw wrongCode();
    const recoveryCodes = await giveRecoveryCodes(transaction.db, userId, nowMs);
    await audit(transaction.db, actor, { action: "second-factor.add", objectType: "user", objectId: userId }, nowMs);
    return { recoveryCodes, signInSecret: await renewAfterChange(transaction.db, actor, userId, nowMs) };
  });
}

/** New recovery codes in place of the old ones, shown this once. @throws AppError `conflict` without a second factor. */
export async function renewRecoveryCodes(deps: Deps, actor: UserActor): Promise<readonly string[]> {
  const nowMs = deps.now();
  requireFresh(actor, nowMs);
  const userId = actor.user.id;
  return deps.database.write(async ({ db }) => {
    if ((await totpOf(db, userId))?.confirmedAtMs === undefined) {
      throw new AppError("conflict", "There is no second factor.");
    }
    const entry = { action: "second-factor.renew-recovery-codes", objectType: "user", objectId: userId };
    await audit(db, actor, entry, nowMs);
    return giveRecoveryCodes(db, userId, nowMs);
  });
}

/** Turns the second factor off; all other sign-ins of the user end. Returns the secret of this sign-in's new cookie. */
export async function removeOwnSecondFactor(deps: Deps, actor: UserActor): Promise<string | undefined> {
  const nowMs = deps.now();
  requireFresh(actor, nowMs);
  const userId = actor.user.id;
  return deps.database.write(async ({ db }) => {
    if ((await totpOf(db, userId)) === undefined) throw new AppError("not_found", "There is no second factor.");
    await removeTotp(db, userId);
    await audit(db, actor, { action: "second-factor.remove", objectType: "user", objectId: userId }, nowMs);
    return renewAfterChange(db, actor, userId, nowMs);
  });
}

export async function secondFactorOf(
  { database: { db } }: Pick<AccountsDeps, "database">,
  userId: string,
): Promise<{ readonly confirmedAtMs: number; readonly recoveryCodesLeft: number } | undefined> {
  const confirmedAtMs = (await totpOf(db, userId))?.confirmedAtMs;
  return confirmedAtMs === undefined
    ? undefined
    : { confirmedAtMs, recoveryCodesLeft: await recoveryCodesLeft(db, userId) };
}

/** What was typed: a code of the app, or one of the recovery codes. undefined: neither. */
export type ShownCode =
  | { readonly kind: "totp"; readonly step: number }
  | { readonly kind: "recovery"; readonly hash: string };

/** What `code` is, without using it up. */
export async function readSecondFactor(
  deps: Pick<AccountsDeps, "database" | "now" | "secret">,
  userId: string,
  code: string,
): Promise<ShownCode | undefined> {
  const recoveryHash = typedHashOf(code, RECOVERY_CODE_LENGTH);
  if (recoveryHash !== undefined) return { kind: "recovery", hash: recoveryHash };
  const kept = await totpOf(deps.database.db, userId);
  if (kept?.confirmedAtMs === undefined) return undefined;
  const step = await stepOf(deps, userId, kept.sealedSecret, code);
  return step === undefined ? undefined : { kind: "totp", step };
}

/** Uses it up. False: it is wrong, or was used before. */
export async function useSecondFactor(
  db: AccessTransaction["db"],
  userId: string,
  shown: ShownCode,
  nowMs: number,
): Promise<boolean> {
  if (shown.kind === "totp") return useTotpStep(db, userId, shown.step);
  return useRecoveryCode(db, userId, { hash: shown.hash, nowMs });
}

/** The time step whose code this is; undefined: of none that is near. */
async function stepOf(
  { secret, now }: Pick<AccountsDeps, "secret" | "now">,
  userId: string,
  sealedSecret: string,
  code: string,
): Promise<number | undefined> {
  const token = code.replaceAll(/\s/g, "");
  if (!/^\d{6}$/.test(token)) return undefined;
  const opened = secret.open("totp", userId, sealedSecret);
  if (opened === undefined) {
    throw new AppError("forbidden", "The hub's key changed, so codes cannot be checked. Use a recovery code.");
  }
  const epoch = Math.floor(now() / 1000);
  const result = await verify({ secret: opened, token, epoch, epochTolerance: STEP_SECONDS });
  return result.valid && result.delta !== undefined ? Math.floor(epoch / STEP_SECONDS) + result.delta : undefined;
}

async function giveRecoveryCodes(
  db: AccessTransaction["db"],
  userId: string,
  nowMs: number,
): Promise<readonly string[]> {
  const codes = Array.from({ length: RECOVERY_CODES }, () => newTypedCode(RECOVERY_CODE_LENGTH));
  const hashes = codes.flatMap((code) => typedHashOf(code, RECOVERY_CODE_LENGTH) ?? []);
  await replaceRecoveryCodes(db, userId, { hashes, nowMs });
  return codes;
}

function wrongCode(): AppError {
  return new AppError("invalid_request", "The code is wrong, or was used already.", { param: "code" });
}
