import { AppError } from "../errors.ts";
import type { UserActor } from "../identity/actor.ts";
import { networkOf } from "../network.ts";
import { newId } from "../new-id.ts";
import { type AuditActor, audit, hubActor } from "../store/audit-store.ts";
import type { AccessTransaction } from "../store/database.ts";
import { endLinks } from "../store/one-time-link-store.ts";
import {
  type NewUser,
  type UserRecord,
  changeUser,
  insertUser,
  passwordHashOf,
  userByEmail,
  userById,
} from "../store/user-store.ts";
import type { AccountsDeps } from "./accounts.ts";
import { normaliseEmail } from "./email.ts";
import { addressChangedMail, alreadyRegisteredMail, verificationMail } from "./mails.ts";
import { lookAtLink, makeLink, takeLink } from "./one-time-links.ts";
import { checkNewPassword, normalisePassword } from "./password-rules.ts";
import { hasRoot } from "./set-up.ts";
import type { Visitor } from "./visitor.ts";

export interface Registration {
  readonly email: string;
  readonly password: string;
  readonly name: string;
  readonly inviteCode?: string | undefined;
}

/**
 * Makes an account, and uses an invite for it in the same step.
 *
 * What is returned says only what comes next, never whether the address had an account: then nothing changes, and its owner
 * gets a mail about it. Signing in is a request of its own.
 *
 * @throws AppError `forbidden` when nobody may, `invalid_request` for fields and invite codes, `rate_limit_exceeded`
 */
export async function register(
  deps: AccountsDeps,
  visitor: Visitor,
  given: Registration,
): Promise<{ readonly next: "verify-email" | "sign-in" }> {
  const email = normaliseEmail(given.email);
  const password = checkNewPassword(given.password, email);
  await admit(deps, visitor, given.inviteCode);
  deps.tries.take(["register from", networkOf(visitor.address)], ["registration mail to", email]);
  const nowMs = deps.now();
  const newcomer: NewUser = {
    id: newId("user", nowMs),
    email,
    emailVerifiedAtMs: undefined,
    name: given.name,
    role: "user",
    passwordHash: await deps.hasher.hash(password, "stranger"),
    createdAtMs: nowMs,
  };
  const user = await deps.database.write((transaction) =>
    createUser(deps, transaction, { newcomer, visitor, means: "password", inviteCode: given.inviteCode }),
  );
  deps.outbox.post(async () =>
    user === undefined
      ? alreadyRegisteredMail(email, deps.publicUrl.of("/sign-in"))
      : verificationMail(email, await verificationLink(deps, user)),
  );
  return { next: deps.settings.requiresVerifiedEmail ? "verify-email" : "sign-in" };
}

/**
 * Whether somebody with this invite code, or none, may make an account.
 *
 * @throws AppError `forbidden`, `invalid_request`
 */
export async function admit(
  deps: AccountsDeps,
  { address }: Pick<Visitor, "address">,
  inviteCode: string | undefined,
): Promise<void> {
  const { registration } = deps.settings;
  if (registration === "closed") throw new AppError("forbidden", "This hub takes no new accounts.");
  if (!(await hasRoot(deps))) throw new AppError("forbidden", "This hub is not set up yet.");
  if (inviteCode !== undefined) return deps.invites.check(inviteCode, address);
  if (registration === "invite") {
    throw new AppError("invalid_request", "A new account needs an invite code.", { param: "invite_code" });
  }
}

/** Keeps a new user, with what the invite gives; undefined when the address belongs to one already. */
export async function createUser(
  deps: Pick<AccountsDeps, "invites" | "now">,
  transaction: AccessTransaction,
  arriving: {
    readonly newcomer: NewUser;
    readonly visitor: Visitor;
    readonly means: string;
    readonly inviteCode: string | undefined;
  },
): Promise<UserRecord | undefined> {
  const { newcomer, visitor, means, inviteCode } = arriving;
  const user = await insertUser(transaction, newcomer);
  if (user === undefined) return undefined;
  const after = { email: user.email, role: user.role, means };
  const entry = { action: "user.create", objectType: "user", objectId: user.id, after };
  await audit(transaction.db, hubActor(visitor), entry, newcomer.createdAtMs);
  if (inviteCode !== undefined) {
    await deps.invites.redeem(transaction, inviteCode, { user, by: hubActor(visitor) }, newcomer.createdAtMs);
  }
  return user;
}

/** Sends the verification mail once more, if there is somebody who waits for one. The answer is always the same. */
export function resendVerification(deps: AccountsDeps, visitor: Visitor, given: { readonly email: string }): void {
  const email = normaliseEmail(given.email);
  deps.tries.take(["mail from", networkOf(visitor.address)], ["verification mail to", email]);
  deps.outbox.post(async () => {
    const user = await userByEmail(deps.database.db, email);
    if (user === undefined || user.emailVerifiedAtMs !== undefined || user.disabledAtMs !== undefined) return undefined;
    return verificationMail(email, await verificationLink(deps, user));
  });
}

/**
 * Takes the link of a verification mail: the address it was sent to is the user's from now on, and verified.
 *
 * The link alone shows whose the address is, not whose the account is. Somebody may have made one with an address that is not his,
 * in the hope that its owner opens the link. So whoever opens it must be signed in to the account, or know its password.
 *
 * @param actor Who is signed in in this browser.
 * @throws AppError `invalid_request` for the link or the password, `conflict` when another user has that address by now,
 *   `rate_limit_exceeded`, `overloaded`
 */
export async function verifyEmail(
  deps: AccountsDeps,
  visitor: Visitor,
  actor: UserActor | undefined,
  given: { readonly token: string; readonly password?: string | undefined },
): Promise<void> {
  const link = { secret: given.token, purpose: "verify-email" } as const;
  const { userId = "" } = await lookAtLink(deps.database.db, link, deps.now());
  const isOwn = actor?.via.kind === "sign-in" && actor.user.id === userId;
  if (!isOwn) await requirePasswordOf(deps, visitor, userId, given.password);
  const nowMs = deps.now();
  const by = isOwn ? actor : hubActor(visitor);
  const before = await deps.database.write((transaction) => takeAddress(transaction, by, link, nowMs));
  if (before !== undefined) deps.outbox.post(() => Promise.resolve(addressChangedMail(before)));
}

/** Returns the address from before, when it was another one. */
async function takeAddress(
  transaction: AccessTransaction,
  by: AuditActor,
  link: { readonly secret: string; readonly purpose: "verify-email" },
  nowMs: number,
): Promise<string | undefined> {
  const { db } = transaction;
  const { userId = "", email = "" } = await takeLink(db, link, nowMs);
  const user = await userById(db, userId);
  if (user === undefined || user.disabledAtMs !== undefined) {
    throw new AppError("forbidden", "This account is disabled.");
  }
  const holder = await userByEmail(db, email);
  if (holder !== undefined && holder.id !== userId) throw new AppError("conflict", "Another account has this address.");
  await changeUser(transaction, userId, { email, emailVerifiedAtMs: nowMs });
  await endLinks(db, "verify-email", userId);
  // Those were sent to the address from before.
  await endLinks(db, "reset-password", userId);
  const entry = { action: "user.verify-email", objectType: "user", objectId: userId };
  await audit(db, by, { ...entry, before: { email: user.email }, after: { email } }, nowMs);
  return user.email === email ? undefined : user.email;
}

async function requirePasswordOf(
  deps: AccountsDeps,
  visitor: Visitor,
  userId: string,
  password: string | undefined,
): Promise<void> {
  if (password === undefined) {
    throw new AppError("invalid_request", "Sign in, or give the account's password, to verify its address.", {
      param: "password",
    });
  }
  const giveBack = deps.tries.take(["sign-in from", networkOf(visitor.address)], ["sign-in to", userId]);
  const kept = await passwordHashOf(deps.database.db, userId);
  if (!(await deps.hasher.verify(normalisePassword(password), kept, "stranger"))) {
    throw new AppError("invalid_request", "The password is wrong.", { param: "password" });
  }
  giveBack();
}

function verificationLink(deps: AccountsDeps, user: UserRecord): Promise<string> {
  return makeLink(deps, deps.database.db, { purpose: "verify-email", userId: user.id, email: user.email });
}
