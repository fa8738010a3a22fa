import { AppError } from "../errors.ts";
import type { UserActor } from "../identity/actor.ts";
import { audit } from "../store/audit-store.ts";
import { endLinks } from "../store/one-time-link-store.ts";
import { type UserRecord, changeUser, userByEmail, userById } from "../store/user-store.ts";
import type { AccountsDeps } from "./accounts.ts";
import { normaliseEmail } from "./email.ts";
import { changeOfAddressMail, passwordChangedMail } from "./mails.ts";
import { makeLink } from "./one-time-links.ts";
import { checkNewPassword } from "./password-rules.ts";
import { renewAfterChange, requireFresh } from "./sign-ins.ts";

/** The actor's own record. */
export async function ownAccount({ database }: Pick<AccountsDeps, "database">, actor: UserActor): Promise<UserRecord> {
  const user = await userById(database.db, actor.user.id);
  if (user === undefined) throw new AppError("not_found");
  return user;
}

/** Changes how the actor is called. @throws AppError `precondition_failed` */
export async function renameSelf(
  { database, now }: Pick<AccountsDeps, "database" | "now">,
  actor: UserActor,
  given: { readonly name: string; readonly version: number },
): Promise<UserRecord> {
  return database.write(async (transaction) => {
    const { id, name } = actor.user;
    const user = await changeUser(transaction, id, { name: given.name }, given.version);
    if (user === undefined) throw new AppError("precondition_failed");
    const entry = { action: "user.rename", objectType: "user", objectId: id };
    await audit(transaction.db, actor, { ...entry, before: { name }, after: { name: user.name } }, now());
    return user;
  });
}

/**
 * Sets the actor's password, also the first one of who signs in by other means. Every other sign-in ends. Returns the secret of
 * this one's new cookie.
 *
 * @throws AppError `forbidden`, `confirmation_required`, `invalid_request`
 */
export async function changePassword(deps: AccountsDeps, actor: UserActor, password: string): Promise<string> {
  const nowMs = deps.now();
  requireFresh(actor, nowMs);
  const { id, email } = actor.user;
  const passwordHash = await deps.hasher.hash(checkNewPassword(password, email));
  const secret = await deps.database.write(async (transaction) => {
    const { db } = transaction;
    await changeUser(transaction, id, { passwordHash });
    await endLinks(db, "reset-password", id);
    await audit(db, actor, { action: "user.change-password", objectType: "user", objectId: id }, nowMs);
    const renewed = await renewAfterChange(db, actor, id, nowMs);
    // The sign-in ended while the password was hashed, so whoever asked may not do this any more.
    if (renewed === undefined) throw new AppError("unauthenticated");
    return renewed;
  });
  deps.outbox.post(() => Promise.resolve(passwordChangedMail(email)));
  return secret;
}

/**
 * Sends a link to a new address; the account has it once the link is opened. Whether the address belongs to another account is not
 * told: then no link is sent.
 *
 * @throws AppError `forbidden`, `confirmation_required`, `invalid_request`, `rate_limit_exceeded`
 */
export function requestChangeOfEmail(deps: AccountsDeps, actor: UserActor, given: { readonly email: string }): void {
  requireFresh(actor, deps.now());
  const email = normaliseEmail(given.email);
  deps.tries.take(["mail from", `user ${actor.user.id}`], ["change mail to", email]);
  deps.outbox.post(async () => {
    if ((await userByEmail(deps.database.db, email)) !== undefined) return undefined;
    const link = await makeLink(deps, deps.database.db, { purpose: "verify-email", userId: actor.user.id, email });
    return changeOfAddressMail(email, link);
  });
}
