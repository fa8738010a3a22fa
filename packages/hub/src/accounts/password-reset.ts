import { AppError } from "../errors.ts";
import { networkOf } from "../network.ts";
import { revokeAccessTokensOf } from "../store/access-token-store.ts";
import { type AuditActor, audit, hubActor } from "../store/audit-store.ts";
import type { AccessTransaction } from "../store/database.ts";
import { revokeKeysOf } from "../store/key-store.ts";
import { deleteLinkedAccountsOf } from "../store/linked-account-store.ts";
import { endLinks } from "../store/one-time-link-store.ts";
import { deletePasskeysOf } from "../store/passkey-store.ts";
import { removeTotp } from "../store/second-factor-store.ts";
import { endSignInsOf } from "../store/sign-in-store.ts";
import { type UserRecord, changeUser, userByEmail, userById } from "../store/user-store.ts";
import type { AccountsDeps } from "./accounts.ts";
import { normaliseEmail } from "./email.ts";
import { passwordChangedMail, resetMail } from "./mails.ts";
import { lookAtLink, makeLink, takeLink } from "./one-time-links.ts";
import { checkNewPassword } from "./password-rules.ts";
import type { Visitor } from "./visitor.ts";

/** Sends a link for a new password, if the address has an account. The answer is always the same, and as fast. */
export function requestPasswordReset(deps: AccountsDeps, visitor: Visitor, given: { readonly email: string }): void {
  const email = normaliseEmail(given.email);
  deps.tries.take(["mail from", networkOf(visitor.address)], ["reset mail to", email]);
  deps.outbox.post(async () => {
    const user = await userByEmail(deps.database.db, email);
    if (user === undefined || user.disabledAtMs !== undefined) return undefined;
    return resetMail(email, await resetLink(deps, user));
  });
}

/** A link by which that user chooses a new password. */
export function resetLink(deps: AccountsDeps, user: UserRecord): Promise<string> {
  return makeLink(deps, deps.database.db, { purpose: "reset-password", userId: user.id, email: user.email });
}

/**
 * Takes the link of a mail and sets the password. All sign-ins of the user end, and the address counts as verified: the mail
 * arrived.
 *
 * Where it was not verified before, everything else that signs in goes too, and all keys. Somebody may have made the account with an address
 * that is not his, to wait there for its owner.
 *
 * @throws AppError `invalid_request` for the link or the password, `forbidden` for a disabled account
 */
export async function resetPassword(
  deps: AccountsDeps,
  visitor: Visitor,
  given: { readonly token: string; readonly password: string },
): Promise<void> {
  const link = { secret: given.token, purpose: "reset-password" } as const;
  const { email = "" } = await lookAtLink(deps.database.db, link, deps.now());
  const passwordHash = await deps.hasher.hash(checkNewPassword(given.password, email), "stranger");
  const nowMs = deps.now();
  await deps.database.write(async (transaction) => {
    const { userId = "" } = await takeLink(transaction.db, link, nowMs);
    const user = await userById(transaction.db, userId);
    if (user === undefined || user.disabledAtMs !== undefined)
      throw new AppError("forbidden", "This account is disabled.");
    if (user.email !== email) throw new AppError("invalid_request", "The account has another address by now.");
    const by = hubActor(visitor);
    const entry = { action: "user.reset-password", objectType: "user", objectId: user.id };
    await audit(transaction.db, by, entry, nowMs);
    if (user.emailVerifiedAtMs === undefined) await forgetCredentials(transaction, by, user, nowMs);
    await endSignInsOf(transaction.db, user.id, nowMs);
    await endLinks(transaction.db, "reset-password", user.id);
    const emailVerifiedAtMs = user.emailVerifiedAtMs ?? nowMs;
    await changeUser(transaction, user.id, { passwordHash, emailVerifiedAtMs });
  });
  deps.outbox.post(() => Promise.resolve(passwordChangedMail(email)));
}

async function forgetCredentials(
  transaction: AccessTransaction,
  by: AuditActor,
  { id: userId, hasPassword }: UserRecord,
  nowMs: number,
): Promise<void> {
  const { db } = transaction;
  await deletePasskeysOf(db, userId);
  await deleteLinkedAccountsOf(db, userId);
  await removeTotp(db, userId);
  await revokeAccessTokensOf(db, userId, nowMs);
  await endLinks(db, "verify-email", userId);
  // Nobody but the operator could make keys for an account without a password.
  if (!hasPassword) return;
  // A worker key would go on to serve wherever the owner of the address may from now on.
  for (const objectId of await revokeKeysOf(transaction, userId, nowMs))
    await audit(db, by, { action: "key.revoke", objectType: "key", objectId }, nowMs);
}
