import { AppError } from "../errors.ts";
import type { UserActor } from "../identity/actor.ts";
import { hashOfSecret } from "../identity/key-secret.ts";
import { newOpaqueSecret } from "../identity/opaque-secret.ts";
import { networkOf } from "../network.ts";
import { renewSignIn } from "../store/sign-in-store.ts";
import { useAttempt } from "../store/used-attempt-store.ts";
import { type UserRecord, changeUser, passwordHashOf, userById, userWithPassword } from "../store/user-store.ts";
import type { AccountsDeps } from "./accounts.ts";
import { openAttempt, sealAttempt } from "./attempt.ts";
import { readDeviceToken } from "./device-token.ts";
import { normaliseEmail } from "./email.ts";
import { isOutdatedHash } from "./password-hasher.ts";
import { normalisePassword } from "./password-rules.ts";
import { localPath } from "./public-url.ts";
import { readSecondFactor, useSecondFactor } from "./second-factor.ts";
import { type SignInMeans, type SignedIn, startSignIn } from "./sign-ins.ts";
import type { Visitor } from "./visitor.ts";

/** What showing a password, or an account elsewhere, leads to. */
export type Arrival =
  | { readonly outcome: "signed-in"; readonly signedIn: SignedIn; readonly returnTo: string }
  /** The attempt goes into its cookie; `finishSignIn` takes it with the code. */
  | { readonly outcome: "second-factor"; readonly attempt: string };

/**
 * Signs in with e-mail and password.
 *
 * Whether there is such a user shows neither in the answer nor in how long it takes: one query and one hash in every case, and
 * the failure of a known address is written nowhere but in the log.
 *
 * @throws AppError `unauthenticated` for anything that is not right, `rate_limit_exceeded`, `overloaded`
 */
export async function signInWithPassword(
  deps: AccountsDeps,
  visitor: Visitor,
  given: { readonly email: string; readonly password: string; readonly returnTo?: string },
): Promise<Arrival> {
  const email = normaliseEmail(given.email);
  const password = normalisePassword(given.password);
  const found = await userWithPassword(deps.database.db, email);
  const device = found && readDeviceToken(deps.secret, visitor.cookies.device, found.user.id);
  const giveBack =
    device === undefined
      ? deps.tries.take(["sign-in from", networkOf(visitor.address)], ["sign-in to", email])
      : deps.tries.take(["sign-in on device", device]);
  const lane = device === undefined ? "stranger" : "known-device";
  const isRight = await deps.hasher.verify(password, found?.passwordHash, lane).catch((thrown: unknown) => {
    // Nothing was checked, so nothing was guessed: others' floods do not use up these tries.
    giveBack();
    throw thrown;
  });
  if (found === undefined || password === undefined || !isRight || isUnverified(deps, found.user)) {
    deps.log.info({ address: visitor.address, userId: found?.user.id }, "a sign-in failed");
    throw wrongPassword();
  }
  giveBack();
  refuseDisabled(found.user);
  const user = await hashedAnew(deps, { ...found, password });
  return arrive(deps, { user, visitor, means: "password", returnTo: localPath(given.returnTo) });
}

/** Signs in whoever has shown a first factor, or asks for the second one. */
export async function arrive(
  deps: AccountsDeps,
  arrival: {
    readonly user: UserRecord;
    readonly visitor: Visitor;
    readonly means: SignInMeans;
    readonly returnTo: string;
  },
): Promise<Arrival> {
  const { user, means, returnTo } = arrival;
  if (user.hasSecondFactor) {
    const attempt = { kind: "second-factor", userId: user.id, userVersion: user.version, means, returnTo } as const;
    return { outcome: "second-factor", attempt: sealAttempt(deps, attempt) };
  }
  const signedIn = await deps.database.write((transaction) =>
    startSignIn(deps, transaction, { ...arrival, hasUsedSecondFactor: false }, deps.now()),
  );
  return { outcome: "signed-in", signedIn, returnTo };
}

/**
 * Ends a sign-in that waits for its second factor, with a code of the app or a recovery code.
 *
 * @throws AppError `unauthenticated` when no sign-in waits or it waited too long, `invalid_request` for a wrong code,
 *   `rate_limit_exceeded`
 */
export async function finishSignIn(
  deps: AccountsDeps,
  visitor: Visitor,
  code: string,
): Promise<{ readonly signedIn: SignedIn; readonly returnTo: string }> {
  const nowMs = deps.now();
  const attempt = openAttempt(deps, visitor.cookies.attempt, "second-factor");
  const user = attempt && (await userById(deps.database.db, attempt.userId));
  if (attempt === undefined || user?.version !== attempt.userVersion) throw startAgain();
  refuseDisabled(user);
  const device = readDeviceToken(deps.secret, visitor.cookies.device, user.id);
  const giveBack = deps.tries.take(device === undefined ? ["code of", user.id] : ["code on device", device]);
  const shown = await readSecondFactor(deps, user.id, code);
  const signedIn =
    shown &&
    (await deps.database.write(async (transaction) => {
      if (!(await useSecondFactor(transaction.db, user.id, shown, nowMs))) return undefined;
      if (!(await useAttempt(transaction.db, attempt, nowMs))) throw startAgain();
      // The attempt was sealed by us with one of these.
      const means = attempt.means as SignInMeans;
      return startSignIn(deps, transaction, { user, visitor, means, hasUsedSecondFactor: true }, nowMs);
    }));
  if (signedIn === undefined) {
    deps.log.warn({ address: visitor.address, userId: user.id }, "a second factor was wrong");
    throw new AppError("invalid_request", "The code is wrong, or was used already.", { param: "code" });
  }
  giveBack();
  return { signedIn, returnTo: attempt.returnTo };
}

/**
 * Shows anew who is signed in, for what is dangerous: the password when there is one, and the code when there is a second factor.
 * Returns the secret of the sign-in's new cookie.
 *
 * @throws AppError `invalid_request` for what is wrong or missing, `forbidden` for who has neither
 */
export async function confirmSignIn(
  deps: AccountsDeps,
  actor: UserActor,
  given: { readonly password?: string | undefined; readonly code?: string | undefined },
): Promise<string> {
  const nowMs = deps.now();
  const user = await userById(deps.database.db, actor.user.id);
  if (user === undefined || actor.via.kind !== "sign-in") throw new AppError("forbidden");
  if (!user.hasPassword && !user.hasSecondFactor) {
    throw new AppError(
      "forbidden",
      "There is no password to confirm with. Sign in again, then it counts as confirmed.",
    );
  }
  const { id } = actor.via;
  const giveBack = deps.tries.take(["confirm on", user.id]);
  if (user.hasPassword) await requirePassword(deps, user, given.password);
  const shown = user.hasSecondFactor ? await readSecondFactor(deps, user.id, given.code ?? "") : undefined;
  const secret = newOpaqueSecret();
  await deps.database.write(async ({ db }) => {
    const isShown = !user.hasSecondFactor || (shown && (await useSecondFactor(db, user.id, shown, nowMs)));
    if (isShown !== true) {
      throw new AppError("invalid_request", "The code is wrong, or was used already.", { param: "code" });
    }
    if (!(await renewSignIn(db, id, { hash: hashOfSecret(secret), nowMs }))) throw new AppError("unauthenticated");
  });
  giveBack();
  return secret;
}

async function requirePassword(deps: AccountsDeps, user: UserRecord, given: string | undefined): Promise<void> {
  const password = normalisePassword(given ?? "");
  const kept = await passwordHashOf(deps.database.db, user.id);
  if (await deps.hasher.verify(password, kept, "known-device")) return;
  throw new AppError("invalid_request", "The password is wrong.", { param: "password" });
}

/** @throws AppError `forbidden`. Only whoever has shown who he is may hear of it. */
export function refuseDisabled(user: UserRecord): void {
  if (user.disabledAtMs !== undefined) throw new AppError("forbidden", "This account is disabled.");
}

function isUnverified({ settings }: AccountsDeps, user: UserRecord): boolean {
  return settings.requiresVerifiedEmail && user.emailVerifiedAtMs === undefined;
}

/** When more work for a password is asked for than its hash has seen, now is the one moment to do it. */
async function hashedAnew(
  deps: AccountsDeps,
  known: { readonly user: UserRecord; readonly passwordHash: string | undefined; readonly password: string },
): Promise<UserRecord> {
  const { user, passwordHash, password } = known;
  if (passwordHash === undefined || !isOutdatedHash(passwordHash)) return user;
  const anew = await deps.hasher.hash(password);
  // Not when the password was changed meanwhile.
  const changed = await deps.database.write((transaction) =>
    changeUser(transaction, user.id, { passwordHash: anew }, user.version),
  );
  return changed ?? user;
}

function wrongPassword(): AppError {
  return new AppError(
    "unauthenticated",
    "The e-mail address or the password is wrong, or the address is not verified yet.",
  );
}

function startAgain(): AppError {
  return new AppError("unauthenticated", "This sign-in took too long or was ended already. Start again.");
}
