import { AppError } from "../errors.ts";
import type { Scope, UserActor } from "../identity/actor.ts";
import { hashOfSecret, shownPrefix } from "../identity/key-secret.ts";
import { newOpaqueSecret } from "../identity/opaque-secret.ts";
import { newId } from "../new-id.ts";
import {
  type AccessTokenRecord,
  accessTokensOf,
  insertAccessToken,
  liveAccessTokensOf,
  revokeAccessToken,
} from "../store/access-token-store.ts";
import { audit } from "../store/audit-store.ts";
import type { AccountsDeps } from "./accounts.ts";
import { requireFresh, requireLive } from "./sign-ins.ts";

export const ACCESS_TOKENS = {
  /** Tokens of one user that can be used. */
  maxLive: 100,
  /** The farthest end of a token that has one: 5 years. */
  maxLifeMs: 5 * 365 * 24 * 3600 * 1000,
} as const;

type Deps = Pick<AccountsDeps, "database" | "now">;

/**
 * Makes a personal access token. The secret is returned here and can never be read again. A token cannot make one: what a
 * script is given must not grow.
 *
 * @throws AppError `forbidden`, `unauthenticated`, `confirmation_required`, `conflict` when there are too many, `invalid_request`
 */
export async function createAccessToken(
  { database, now }: Deps,
  actor: UserActor,
  wanted: { readonly name: string; readonly scopes: readonly Scope[]; readonly expiresAtMs: number | undefined },
): Promise<{ readonly token: AccessTokenRecord; readonly secret: string }> {
  const nowMs = now();
  requireFresh(actor, nowMs);
  const { name, expiresAtMs } = wanted;
  if (expiresAtMs !== undefined && (expiresAtMs <= nowMs || expiresAtMs > nowMs + ACCESS_TOKENS.maxLifeMs)) {
    throw new AppError("invalid_request", "A token ends in the future, within 5 years.", { param: "expires_at_ms" });
  }
  const secret = `pat-${newOpaqueSecret()}`;
  const token: AccessTokenRecord = {
    id: newId("token", nowMs),
    userId: actor.user.id,
    name,
    prefix: shownPrefix(secret),
    scopes: [...new Set(wanted.scopes)],
    createdAtMs: nowMs,
    expiresAtMs,
    revokedAtMs: undefined,
    lastUsedAtMs: undefined,
  };
  await database.write(async ({ db }) => {
    await requireLive(db, actor);
    if ((await liveAccessTokensOf(db, actor.user.id, nowMs)) >= ACCESS_TOKENS.maxLive) {
      throw new AppError("conflict", `You have ${ACCESS_TOKENS.maxLive} tokens already. Revoke one first.`);
    }
    await insertAccessToken(db, { ...token, hash: hashOfSecret(secret) });
    const after = { name, scopes: token.scopes, expires_at_ms: expiresAtMs ?? null };
    await audit(db, actor, { action: "token.create", objectType: "token", objectId: token.id, after }, nowMs);
  });
  return { token, secret };
}

/** The actor's own, the newest first. */
export async function listAccessTokens(
  { database }: Pick<AccountsDeps, "database">,
  actor: UserActor,
  page: { readonly limit: number; readonly after?: string | undefined },
): Promise<readonly AccessTokenRecord[]> {
  return accessTokensOf(database.db, actor.user.id, page);
}

/** Revokes one of the actor's own. @throws AppError `not_found` */
export async function revokeOwnAccessToken({ database, now }: Deps, actor: UserActor, id: string): Promise<void> {
  const nowMs = now();
  await database.write(async ({ db }) => {
    const token = await revokeAccessToken(db, { id, userId: actor.user.id }, nowMs);
    if (token === undefined) throw new AppError("not_found");
    const before = { name: token.name };
    await audit(db, actor, { action: "token.revoke", objectType: "token", objectId: id, before }, nowMs);
  });
}
