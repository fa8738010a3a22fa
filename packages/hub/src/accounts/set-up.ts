import { ConfigError } from "../config.ts";
import { AppError } from "../errors.ts";
import { networkOf } from "../network.ts";
import { newId } from "../new-id.ts";
import { type HubActor, audit, hubActor } from "../store/audit-store.ts";
import type { AccessTransaction } from "../store/database.ts";
import { endLinks } from "../store/one-time-link-store.ts";
import { type NewUser, insertUser, rootsOf, type UserRecord } from "../store/user-store.ts";
import type { AccountsDeps } from "./accounts.ts";
import { normaliseEmail } from "./email.ts";
import { lookAtLink, makeLink, takeLink } from "./one-time-links.ts";
import { checkNewPassword } from "./password-rules.ts";
import { type SignedIn, startSignIn } from "./sign-ins.ts";
import type { Visitor } from "./visitor.ts";

/** How the first root comes to be, when the hub starts. */
export type FirstRun =
  | { readonly is: "done" }
  /** Made just now from the settings. */
  | { readonly is: "root-made"; readonly user: UserRecord }
  /** Whoever opens the link becomes root. */
  | { readonly is: "link"; readonly link: string };

/**
 * While there is no root: makes one of the settings when they name one, else a link for whoever sees the log. A link of an
 * earlier start ends. There is no password that a hub has by itself.
 *
 * @throws ConfigError when address or password of the settings are no good.
 */
export async function firstRun(
  deps: AccountsDeps,
  admin: { readonly email: string; readonly password: string } | undefined,
): Promise<FirstRun> {
  if (await hasRoot(deps)) return { is: "done" };
  if (admin === undefined) {
    return deps.database.write(async ({ db }) => {
      await endLinks(db, "set-up", undefined);
      return { is: "link", link: await makeLink(deps, db, { purpose: "set-up" }) };
    });
  }
  const root = await rootOf(deps, { ...admin, name: "" }).catch((thrown: unknown) => {
    if (!(thrown instanceof AppError)) throw thrown;
    throw new ConfigError(`TOKILAKE_ADMIN_EMAIL or TOKILAKE_ADMIN_PASSWORD: ${thrown.message}`);
  });
  const user = await deps.database.write((transaction) =>
    insertRoot(transaction, root, hubActor({ address: "" }), deps.now()),
  );
  // Another hub that started at the same time was faster.
  return user === undefined ? { is: "done" } : { is: "root-made", user };
}

/** Whether somebody set the hub up already. */
export async function hasRoot({ database }: Pick<AccountsDeps, "database">): Promise<boolean> {
  return (await rootsOf(database.db)) > 0;
}

/**
 * Makes the first root for whoever has the link, and signs in. Of several at once one succeeds.
 *
 * @throws AppError `invalid_request`, `conflict` when there is a root already
 */
export async function setUp(
  deps: AccountsDeps,
  visitor: Visitor,
  given: { readonly token: string; readonly email: string; readonly password: string; readonly name: string },
): Promise<SignedIn> {
  const link = { secret: given.token, purpose: "set-up" } as const;
  const giveBack = deps.tries.take(["register from", networkOf(visitor.address)]);
  await lookAtLink(deps.database.db, link, deps.now());
  giveBack();
  const root = await rootOf(deps, given);
  const nowMs = deps.now();
  return deps.database.write(async (transaction) => {
    await takeLink(transaction.db, link, nowMs);
    const user = await insertRoot(transaction, root, hubActor(visitor), nowMs);
    if (user === undefined) throw new AppError("conflict", "This hub was set up already. Sign in instead.");
    return startSignIn(deps, transaction, { user, visitor, means: "set-up", hasUsedSecondFactor: false }, nowMs);
  });
}

async function rootOf(
  { hasher, now }: Pick<AccountsDeps, "hasher" | "now">,
  given: { readonly email: string; readonly password: string; readonly name: string },
): Promise<NewUser> {
  const email = normaliseEmail(given.email);
  const passwordHash = await hasher.hash(checkNewPassword(given.password, email));
  const nowMs = now();
  return {
    id: newId("user", nowMs),
    email,
    // Whoever sets a hub up could verify any address: the mails are his.
    emailVerifiedAtMs: nowMs,
    name: given.name,
    role: "root",
    passwordHash,
    createdAtMs: nowMs,
  };
}

/** undefined: there is a root. Transactions follow one another, so nobody comes between the look and the insert. */
async function insertRoot(
  transaction: AccessTransaction,
  root: NewUser,
  actor: HubActor,
  nowMs: number,
): Promise<UserRecord | undefined> {
  const { db } = transaction;
  if ((await rootsOf(db)) > 0) return undefined;
  const user = await insertUser(transaction, root);
  if (user === undefined) throw new AppError("conflict", "There is a user with this e-mail address already.");
  await endLinks(db, "set-up", undefined);
  const after = { email: user.email, role: user.role };
  await audit(db, actor, { action: "user.create", objectType: "user", objectId: user.id, after }, nowMs);
  return user;
}
