import { AppError } from "../errors.ts";
import type { Actor } from "../identity/actor.ts";
import { newId } from "../new-id.ts";
import type { UserRole } from "../store/access-schema.ts";
import { revokeAccessTokensOf } from "../store/access-token-store.ts";
import { type AuditEntry, audit } from "../store/audit-store.ts";
import type { AccessTransaction } from "../store/database.ts";
import { endLinks } from "../store/one-time-link-store.ts";
import { removeTotp } from "../store/second-factor-store.ts";
import { endSignInsOf } from "../store/sign-in-store.ts";
import {
  type UserFilter,
  type UserRecord,
  changeUser,
  insertUser,
  rootsOf,
  userByEmail,
  userById,
  usersWhere,
} from "../store/user-store.ts";
import type { AccountsDeps } from "./accounts.ts";
import { normaliseEmail } from "./email.ts";
import { resetMail } from "./mails.ts";
import { resetLink } from "./password-reset.ts";
import { requireFresh } from "./sign-ins.ts";

/** Who stands above whom. Auditors see everything and change nothing. */
const RANKS: Readonly<Record<UserRole, number>> = { user: 0, auditor: 1, admin: 2, root: 3 };

type Deps = Pick<AccountsDeps, "database" | "now">;

/** Users, the newest first. @throws AppError `forbidden` */
export async function listUsers(
  { database }: Pick<AccountsDeps, "database">,
  actor: Actor,
  filter: UserFilter,
  page: { readonly limit: number; readonly after?: string | undefined },
): Promise<readonly UserRecord[]> {
  requireRole(actor, "auditor");
  return usersWhere(database.db, filter, page);
}

/** One user: anybody for whoever may see users, else oneself only. @throws AppError `not_found` */
export async function getUser(
  { database }: Pick<AccountsDeps, "database">,
  actor: Actor,
  id: string,
): Promise<UserRecord> {
  const isVisible = rankOf(actor) >= RANKS.auditor || (actor.kind === "user" && actor.user.id === id);
  const user = isVisible ? await userById(database.db, id) : undefined;
  if (user === undefined) throw new AppError("not_found");
  return user;
}

/** The user with that id or address, for commands. @throws AppError `not_found` */
export async function findUser(
  { database }: Pick<AccountsDeps, "database">,
  actor: Actor,
  idOrEmail: string,
): Promise<UserRecord> {
  requireRole(actor, "auditor");
  const user = idOrEmail.includes("@")
    ? await userByEmail(database.db, normaliseEmail(idOrEmail))
    : await userById(database.db, idOrEmail);
  if (user === undefined) throw new AppError("not_found", `There is no user ${idOrEmail}.`);
  return user;
}

/**
 * Makes a user without a password, who chooses one by a link. An address that an administrator gives counts as verified once that
 * link is used.
 *
 * @throws AppError `forbidden`, `conflict`, `invalid_request`
 */
export async function createUserAs(
  { database, now }: Deps,
  actor: Actor,
  wanted: { readonly email: string; readonly name: string; readonly role: UserRole },
): Promise<UserRecord> {
  const nowMs = now();
  requireRole(actor, "admin");
  requireMayGive(actor, wanted.role);
  if (wanted.role !== "user") requireFresh(actor, nowMs);
  const email = normaliseEmail(wanted.email);
  return database.write(async (transaction) => {
    await requireStill(transaction, actor);
    const user = await insertUser(transaction, {
      id: newId("user", nowMs),
      email,
      emailVerifiedAtMs: undefined,
      name: wanted.name,
      role: wanted.role,
      passwordHash: undefined,
      createdAtMs: nowMs,
    });
    if (user === undefined) {
      throw new AppError("conflict", "There is a user with this e-mail address already.", { param: "email" });
    }
    await audit(transaction.db, actor, entryOf("user.create", user, undefined, { email, role: user.role }), nowMs);
    return user;
  });
}

/**
 * Gives a user another role. All of the user's sign-ins end, and an access token that was made under the old role with them.
 *
 * @throws AppError `not_found`, `forbidden`, `confirmation_required`, `precondition_failed`, `conflict` for the last root
 */
export async function changeRole(
  deps: Deps,
  actor: Actor,
  wanted: { readonly id: string; readonly role: UserRole; readonly version: number | undefined },
): Promise<UserRecord> {
  const { id, role, version } = wanted;
  requireFresh(actor, deps.now());
  return changeOther(deps, actor, { id, version }, async (transaction, user, nowMs) => {
    requireMayGive(actor, role);
    if (user.role === role) return user;
    if (user.role === "root") await requireOtherRoot(transaction, user);
    const changed = await changeUser(transaction, id, { role }, version);
    await endAll(transaction, user, nowMs);
    const entry = entryOf("user.change-role", user, { role: user.role }, { role });
    await audit(transaction.db, actor, entry, nowMs);
    return changed;
  });
}

/**
 * Keeps a user out: sign-ins end at once, links too, and tokens and keys are refused until the user is enabled again.
 *
 * @throws AppError `not_found`, `forbidden`, `precondition_failed`, `conflict` for oneself and the last root
 */
export async function disableUser(
  deps: Deps,
  actor: Actor,
  which: { readonly id: string; readonly version: number | undefined },
): Promise<UserRecord> {
  return changeOther(deps, actor, which, async (transaction, user, nowMs) => {
    if (actor.kind === "user" && actor.user.id === user.id) {
      throw new AppError("conflict", "You cannot disable yourself.");
    }
    if (user.disabledAtMs !== undefined) return user;
    if (user.role === "root") await requireOtherRoot(transaction, user);
    const changed = await changeUser(transaction, user.id, { disabledAtMs: nowMs }, which.version);
    await endSignInsOf(transaction.db, user.id, nowMs);
    await endLinks(transaction.db, "reset-password", user.id);
    await endLinks(transaction.db, "verify-email", user.id);
    await audit(transaction.db, actor, entryOf("user.disable", user), nowMs);
    return changed;
  });
}

/** Lets a user in again. @throws AppError `not_found`, `forbidden`, `precondition_failed` */
export async function enableUser(
  deps: Deps,
  actor: Actor,
  which: { readonly id: string; readonly version: number | undefined },
): Promise<UserRecord> {
  return changeOther(deps, actor, which, async (transaction, user, nowMs) => {
    if (user.disabledAtMs === undefined) return user;
    const changed = await changeUser(transaction, user.id, { disabledAtMs: null }, which.version);
    await audit(transaction.db, actor, entryOf("user.enable", user), nowMs);
    return changed;
  });
}

/** Signs a user out everywhere. Returns from how many devices. */
export async function endSignInsAs(deps: Deps, actor: Actor, id: string): Promise<number> {
  let ended = 0;
  await changeOther(deps, actor, { id, version: undefined }, async (transaction, user, nowMs) => {
    ended = await endSignInsOf(transaction.db, user.id, nowMs);
    await audit(transaction.db, actor, entryOf("user.end-sign-ins", user, undefined, { ended }), nowMs);
    return user;
  });
  return ended;
}

/**
 * Turns off the second factor of a user who lost it, and signs the user out everywhere.
 *
 * @throws AppError `not_found`, `forbidden`, `confirmation_required`
 */
export async function removeSecondFactorAs(deps: Deps, actor: Actor, id: string): Promise<void> {
  requireFresh(actor, deps.now());
  await changeOther(deps, actor, { id, version: undefined }, async (transaction, user, nowMs) => {
    await removeTotp(transaction.db, user.id);
    await endSignInsOf(transaction.db, user.id, nowMs);
    await audit(transaction.db, actor, entryOf("second-factor.remove", user), nowMs);
    return user;
  });
}

/**
 * Sends a user a link for a new password. Only the operator's command is given the link itself: whoever has it is that user.
 *
 * @throws AppError `not_found`, `forbidden`, `confirmation_required`, `conflict` for a disabled user
 */
export async function sendResetLink(
  deps: AccountsDeps,
  actor: Actor,
  id: string,
): Promise<{ readonly link: string | undefined }> {
  requireFresh(actor, deps.now());
  const user = await changeOther(deps, actor, { id, version: undefined }, async (transaction, found, nowMs) => {
    if (found.disabledAtMs !== undefined)
      throw new AppError("conflict", "This user is disabled. Enable the user first.");
    await audit(transaction.db, actor, entryOf("user.send-reset-link", found), nowMs);
    return found;
  });
  if (actor.kind === "operator") return { link: await resetLink(deps, user) };
  deps.outbox.post(async () => resetMail(user.email, await resetLink(deps, user)));
  return { link: undefined };
}

/** A change of a user by somebody who stands above, in one transaction. */
async function changeOther(
  { database, now }: Deps,
  actor: Actor,
  which: { readonly id: string; readonly version: number | undefined },
  act: (transaction: AccessTransaction, user: UserRecord, nowMs: number) => Promise<UserRecord | undefined>,
): Promise<UserRecord> {
  requireRole(actor, "admin");
  return database.write(async (transaction) => {
    await requireStill(transaction, actor);
    const user = await userById(transaction.db, which.id);
    if (user === undefined) throw new AppError("not_found");
    requireAbove(actor, user);
    if (which.version !== undefined && which.version !== user.version) throw new AppError("precondition_failed");
    const changed = await act(transaction, user, now());
    if (changed === undefined) throw new AppError("precondition_failed");
    return changed;
  });
}

/** Of two who take each other's role at once, the second one has none any more. */
async function requireStill({ db }: AccessTransaction, actor: Actor): Promise<void> {
  if (actor.kind === "operator") return;
  const user = await userById(db, actor.user.id);
  if (user === undefined || user.disabledAtMs !== undefined || user.role !== actor.user.role) {
    throw new AppError("forbidden", "What you may do was changed meanwhile.");
  }
}

function rankOf(actor: Actor): number {
  return actor.kind === "operator" ? Number.POSITIVE_INFINITY : RANKS[actor.user.role];
}

function requireRole(actor: Actor, role: UserRole): void {
  if (rankOf(actor) < RANKS[role]) throw new AppError("forbidden", `This needs the role ${role}.`);
}

/** Nobody changes his equals but root: an administrator must not become another one, nor root, by way of a link or a reset. */
function requireAbove(actor: Actor, user: UserRecord): void {
  if (rankOf(actor) >= RANKS.root || rankOf(actor) > RANKS[user.role]) return;
  if (actor.kind === "user" && actor.user.id === user.id) {
    throw new AppError("forbidden", "You cannot do this to yourself. Ask root.");
  }
  throw new AppError("forbidden", `Only root may do this to a user with the role ${user.role}.`);
}

/** Only root makes administrators and roots. */
function requireMayGive(actor: Actor, role: UserRole): void {
  if (rankOf(actor) >= RANKS.root || rankOf(actor) > RANKS[role]) return;
  throw new AppError("forbidden", `Only root may give the role ${role}.`, { param: "role" });
}

async function requireOtherRoot({ db }: AccessTransaction, user: UserRecord): Promise<void> {
  if (user.disabledAtMs !== undefined || (await rootsOf(db)) > 1) return;
  throw new AppError("conflict", "This is the last root. Make another one first.");
}

async function endAll({ db }: AccessTransaction, user: UserRecord, nowMs: number): Promise<void> {
  // Also of a root who steps down: everything begins anew under the new role.
  await endSignInsOf(db, user.id, nowMs);
  await revokeAccessTokensOf(db, user.id, nowMs);
}

function entryOf(
  action: string,
  user: UserRecord,
  before?: AuditEntry["before"],
  after?: AuditEntry["after"],
): AuditEntry {
  return { action, objectType: "user", objectId: user.id, before, after };
}
