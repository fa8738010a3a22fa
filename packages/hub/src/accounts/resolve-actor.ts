import type { IncomingHttpHeaders } from "node:http";

import { SCOPES, type UserActor } from "../identity/actor.ts";
import { hashOfSecret } from "../identity/key-secret.ts";
import { accessTokenByHash, touchAccessToken } from "../store/access-token-store.ts";
import { signInByHash, touchSignIn } from "../store/sign-in-store.ts";
import type { AccountsDeps } from "./accounts.ts";
import { SIGN_INS, actingUserOf } from "./sign-ins.ts";
import type { Cookies } from "./visitor.ts";

/** A token's last use is noted so often at most. */
const TOUCH_MS = 60 * 1000;

/**
 * Whose sign-in cookie or access token these headers hold; undefined: nobody's that is good now. A token wins over a cookie, also
 * when it is not good: whoever sends one means it.
 *
 * Read from the database each time: one look-up by a unique hash, so whatever was ended or changed is so for the next request
 * on every hub.
 */
export async function resolveActor(
  deps: Pick<AccountsDeps, "database" | "now"> & { readonly cookies: Cookies },
  headers: IncomingHttpHeaders,
  address: string,
): Promise<UserActor | undefined> {
  const [, token] = /^bearer +(\S+) *$/i.exec(headers.authorization ?? "") ?? [];
  if (token !== undefined) return token.startsWith("pat-") ? byToken(deps, token, address) : undefined;
  const secret = deps.cookies.read(headers, "sign-in");
  return secret === undefined ? undefined : bySignIn(deps, secret, address);
}

async function bySignIn(
  { database: { db }, now }: Pick<AccountsDeps, "database" | "now">,
  secret: string,
  address: string,
): Promise<UserActor | undefined> {
  const nowMs = now();
  const found = await signInByHash(db, hashOfSecret(secret), { nowMs, seenSinceMs: nowMs - SIGN_INS.idleMs });
  if (found === undefined || found.user.disabledAtMs !== undefined) return undefined;
  const { signIn, user } = found;
  if (signIn.lastSeenAtMs < nowMs - SIGN_INS.touchMs) await touchSignIn(db, signIn.id, { nowMs });
  const via = { kind: "sign-in", id: signIn.id, confirmedAtMs: signIn.confirmedAtMs } as const;
  return { kind: "user", user: actingUserOf(user), via, address };
}

async function byToken(
  { database: { db }, now }: Pick<AccountsDeps, "database" | "now">,
  secret: string,
  address: string,
): Promise<UserActor | undefined> {
  const nowMs = now();
  const found = await accessTokenByHash(db, hashOfSecret(secret), nowMs);
  if (found === undefined || found.user.disabledAtMs !== undefined) return undefined;
  const { token, user } = found;
  if ((token.lastUsedAtMs ?? 0) < nowMs - TOUCH_MS) await touchAccessToken(db, token.id, { nowMs });
  // A scope that a later version took away is worth nothing.
  const scopes = SCOPES.filter((scope) => token.scopes.includes(scope));
  return { kind: "user", user: actingUserOf(user), via: { kind: "token", id: token.id, scopes }, address };
}
