import { calculatePKCECodeChallenge, randomNonce, randomPKCECodeVerifier, randomState } from "openid-client";

import { AppError } from "../errors.ts";
import type { UserActor } from "../identity/actor.ts";
import { networkOf } from "../network.ts";
import { newId } from "../new-id.ts";
import { audit, hubActor } from "../store/audit-store.ts";
import type { AccessTransaction } from "../store/database.ts";
import {
  type LinkedAccountRecord,
  deleteLinkedAccount,
  insertLinkedAccount,
  linkedAccount,
  linkedAccountsOf,
} from "../store/linked-account-store.ts";
import { useAttempt } from "../store/used-attempt-store.ts";
import { type UserRecord, userByEmail, userById } from "../store/user-store.ts";
import type { AccountsDeps } from "./accounts.ts";
import { type AttemptOf, openAttempt, sealAttempt } from "./attempt.ts";
import { type Arrival, arrive, refuseDisabled } from "./password-sign-in.ts";
import type { Provider, ProviderPerson } from "./provider.ts";
import { localPath } from "./public-url.ts";
import { admit, createUser } from "./registration.ts";
import { requireFresh, requireLive } from "./sign-ins.ts";
import type { Visitor } from "./visitor.ts";
import { requireWayIn } from "./ways-in.ts";

/** Where to send the browser, and what it must keep meanwhile. */
export interface ProviderJourney {
  readonly location: string;
  readonly attempt: string;
}

/** What coming back from a provider leads to. */
export type ProviderReturn = Arrival | { readonly outcome: "linked"; readonly returnTo: string };

/** Begins a sign-in at another service. @throws AppError `not_found`, `rate_limit_exceeded`, `upstream_unreachable` */
export async function beginProviderSignIn(
  deps: AccountsDeps,
  visitor: Visitor,
  wanted: {
    readonly provider: string;
    readonly returnTo?: string | undefined;
    readonly inviteCode?: string | undefined;
  },
): Promise<ProviderJourney> {
  return beginJourney(deps, visitor, wanted);
}

/** Begins to link an account elsewhere to the actor's. @throws AppError as above, `forbidden`, `confirmation_required` */
export async function beginLinking(
  deps: AccountsDeps,
  actor: UserActor,
  visitor: Visitor,
  wanted: { readonly provider: string; readonly returnTo?: string | undefined },
): Promise<ProviderJourney> {
  requireFresh(actor, deps.now());
  return beginJourney(deps, visitor, { ...wanted, linkTo: actor.user.id });
}

/**
 * Ends what was begun, when the browser comes back: signs in, makes an account, or links one.
 *
 * The attempt in the browser's cookie, the state in the address and the provider of both must belong together, once.
 *
 * @param actor Who is signed in in this browser.
 * @param query What the provider added to the address, as it came.
 * @throws AppError `unauthenticated` when anything is not right, `forbidden`, `conflict` when an address has an account that may
 *   not be taken over so
 */
export async function finishProviderJourney(
  deps: AccountsDeps,
  visitor: Visitor,
  actor: UserActor | undefined,
  came: { readonly provider: string; readonly query: string },
): Promise<ProviderReturn> {
  const provider = providerOf(deps, came.provider);
  deps.tries.take(["provider from", networkOf(visitor.address)]);
  const attempt = openAttempt(deps, visitor.cookies.attempt, "provider");
  const state = new URLSearchParams(came.query).get("state");
  if (attempt === undefined || attempt.provider !== provider.name || attempt.state !== state) throw startAgain();
  // Before the provider is asked: of two that come with the same code, one may.
  if (!(await useAttempt(deps.database.db, attempt, deps.now()))) throw startAgain();
  const callback = new URL(callbackUrl(deps, provider));
  callback.search = came.query;
  const person = await provider.person(callback, attempt).catch((thrown: unknown) => {
    deps.log.warn({ error: thrown, provider: provider.name, address: visitor.address }, "a provider's sign-in failed");
    throw new AppError("unauthenticated", `The sign-in with ${provider.label} did not succeed.`, { cause: thrown });
  });
  if (attempt.linkTo !== undefined) return link(deps, provider, { person, actor, attempt });
  const user = await userOf(deps, provider, { person, visitor, attempt });
  refuseDisabled(user);
  return arrive(deps, { user, visitor, means: `provider ${provider.name}`, returnTo: attempt.returnTo });
}

/** The actor's own, the oldest first. */
export function listLinkedAccounts(
  { database }: Pick<AccountsDeps, "database">,
  actor: UserActor,
): Promise<readonly LinkedAccountRecord[]> {
  return linkedAccountsOf(database.db, actor.user.id);
}

/** Unlinks one of the actor's own. @throws AppError `not_found`, `forbidden`, `confirmation_required`, `conflict` for the last way in */
export async function unlinkAccount(deps: AccountsDeps, actor: UserActor, id: string): Promise<void> {
  const nowMs = deps.now();
  requireFresh(actor, nowMs);
  await deps.database.write(async ({ db }) => {
    const removed = await deleteLinkedAccount(db, { id, userId: actor.user.id });
    if (removed === undefined) throw new AppError("not_found");
    await requireWayIn(db, actor.user.id);
    const entry = { action: "account.unlink", objectType: "user", objectId: actor.user.id };
    await audit(db, actor, { ...entry, before: { provider: removed.provider, subject: removed.subject } }, nowMs);
  });
}

async function beginJourney(
  deps: AccountsDeps,
  visitor: Visitor,
  wanted: {
    readonly provider: string;
    readonly returnTo?: string | undefined;
    readonly inviteCode?: string | undefined;
    readonly linkTo?: string | undefined;
  },
): Promise<ProviderJourney> {
  const provider = providerOf(deps, wanted.provider);
  deps.tries.take(["provider from", networkOf(visitor.address)]);
  const checks = { state: randomState(), nonce: randomNonce(), verifier: randomPKCECodeVerifier() };
  const challenge = await calculatePKCECodeChallenge(checks.verifier);
  const redirectUri = callbackUrl(deps, provider);
  const location = await provider.authorizationUrl({ ...checks, redirectUri, challenge }).catch((thrown: unknown) => {
    deps.log.warn({ error: thrown, provider: provider.name }, "a provider cannot be reached");
    throw new AppError("upstream_unreachable", `${provider.label} does not answer.`, { cause: thrown });
  });
  const attempt = sealAttempt(deps, {
    kind: "provider",
    provider: provider.name,
    ...checks,
    returnTo: localPath(wanted.returnTo),
    ...(wanted.inviteCode !== undefined && { invite: wanted.inviteCode }),
    ...(wanted.linkTo !== undefined && { linkTo: wanted.linkTo }),
  });
  return { location: location.href, attempt };
}

/** The user whom an account elsewhere signs in as: linked, linked now over a verified address, or new. */
async function userOf(
  deps: AccountsDeps,
  provider: Provider,
  came: {
    readonly person: ProviderPerson;
    readonly visitor: Visitor;
    readonly attempt: AttemptOf<"provider">;
  },
): Promise<UserRecord> {
  const { person, visitor, attempt } = came;
  const { db } = deps.database;
  const linked = await linkedAccount(db, provider.name, person.subject);
  const user = linked && (await userById(db, linked.userId));
  if (user !== undefined) return user;
  const email = person.verifiedEmail;
  if (email === undefined) {
    throw new AppError("forbidden", `${provider.label} names no verified e-mail address, and this hub needs one.`);
  }
  const known = await userByEmail(db, email);
  if (known === undefined) await admit(deps, visitor, attempt.invite);
  const nowMs = deps.now();
  return deps.database.write(async (transaction) => {
    // Looked up again: somebody may have come in between.
    const existing = await userByEmail(transaction.db, email);
    if (existing !== undefined) {
      requireLinkable(provider, existing);
      await keepLink(transaction, provider, { person, user: existing }, nowMs);
      await audit(transaction.db, hubActor(visitor), linkEntry(provider, person, existing.id), nowMs);
      return existing;
    }
    // There was one a moment ago, so that nobody looked whether a new one is admitted.
    if (known !== undefined) throw startAgain();
    const newcomer = {
      id: newId("user", nowMs),
      email,
      emailVerifiedAtMs: nowMs,
      name: person.name,
      role: "user",
      passwordHash: undefined,
      createdAtMs: nowMs,
    } as const;
    const means = `provider ${provider.name}`;
    const made = await createUser(deps, transaction, { newcomer, visitor, means, inviteCode: attempt.invite });
    if (made === undefined) throw startAgain();
    await keepLink(transaction, provider, { person, user: made }, nowMs);
    return made;
  });
}

/**
 * Whether an account may be linked by its address alone, without its user. Both sides must have verified it: whoever made an
 * account with somebody else's address must not wait there for its owner, nor be let in by a provider that takes any address.
 * Whoever runs the hub, or sees all of it, links on purpose.
 *
 * @throws AppError `conflict`
 */
function requireLinkable(provider: Provider, user: UserRecord): void {
  const isSafe = user.emailVerifiedAtMs !== undefined && user.role === "user";
  if (isSafe || user.disabledAtMs !== undefined) return refuseDisabled(user);
  throw new AppError(
    "conflict",
    `There is an account with this e-mail address. Sign in to it in another way, then link ${provider.label} in your account.`,
  );
}

async function link(
  deps: AccountsDeps,
  provider: Provider,
  came: {
    readonly person: ProviderPerson;
    readonly actor: UserActor | undefined;
    readonly attempt: AttemptOf<"provider">;
  },
): Promise<ProviderReturn> {
  const { person, actor, attempt } = came;
  // Somebody else signed in in this browser meanwhile, or nobody is any more.
  if (actor === undefined || actor.user.id !== attempt.linkTo) throw startAgain();
  const nowMs = deps.now();
  requireFresh(actor, nowMs);
  await deps.database.write(async (transaction) => {
    await requireLive(transaction.db, actor);
    const user = await userById(transaction.db, actor.user.id);
    if (user === undefined) throw startAgain();
    await keepLink(transaction, provider, { person, user }, nowMs);
    await audit(transaction.db, actor, linkEntry(provider, person, user.id), nowMs);
  });
  return { outcome: "linked", returnTo: attempt.returnTo };
}

async function keepLink(
  { db }: AccessTransaction,
  provider: Provider,
  linked: { readonly person: ProviderPerson; readonly user: UserRecord },
  nowMs: number,
): Promise<void> {
  const { person, user } = linked;
  const isKept = await insertLinkedAccount(db, {
    id: newId("linked", nowMs),
    userId: user.id,
    provider: provider.name,
    subject: person.subject,
    email: person.verifiedEmail,
    createdAtMs: nowMs,
  });
  if (isKept) return;
  const holder = await linkedAccount(db, provider.name, person.subject);
  if (holder?.userId !== user.id) {
    throw new AppError("conflict", `This ${provider.label} account signs in as somebody else already.`);
  }
}

function linkEntry(
  provider: Provider,
  { subject }: ProviderPerson,
  userId: string,
): {
  readonly action: string;
  readonly objectType: string;
  readonly objectId: string;
  readonly after: Readonly<Record<string, string>>;
} {
  return { action: "account.link", objectType: "user", objectId: userId, after: { provider: provider.name, subject } };
}

function providerOf({ providers }: AccountsDeps, name: string): Provider {
  const provider = providers.get(name);
  if (provider === undefined) throw new AppError("not_found", "Nobody signs in with this service here.");
  return provider;
}

function callbackUrl({ publicUrl }: AccountsDeps, provider: Provider): string {
  return publicUrl.of(`/api/sign-in/providers/${provider.name}/callback`);
}

function startAgain(): AppError {
  return new AppError("unauthenticated", "This sign-in took too long or was ended already. Start again.");
}
