import type { IncomingHttpHeaders } from "node:http";

import { AppError } from "../errors.ts";
import type { Identification, KeyKind, KeyRing, Principal } from "../identity/key-ring.ts";

/**
 * Who sent this: the one place that decides it, from memory.
 *
 * @throws AppError `invalid_api_key`.
 */
export function authenticate(
  keys: KeyRing,
  request: { readonly headers: IncomingHttpHeaders },
  kind: KeyKind,
): Principal {
  const secret = bearerOf(request.headers.authorization);
  if (secret === undefined) {
    throw new AppError("invalid_api_key", 'You did not provide an API key. Send it as "Authorization: Bearer sk-…".', {
      headers: CHALLENGE,
    });
  }
  const identification = keys.identify(secret, kind);
  if (identification.outcome === "known") return identification.principal;
  throw new AppError("invalid_api_key", REFUSALS[identification.outcome], { headers: CHALLENGE });
}

/** The token of `Authorization: Bearer …` (RFC 6750 §2.1), undefined when there is none. */
export function bearerOf(authorization: string | undefined): string | undefined {
  if (authorization === undefined || authorization.slice(0, 7).toLowerCase() !== "bearer ") return undefined;
  const token = authorization.slice(7).trim();
  return token === "" ? undefined : token;
}

const CHALLENGE = { "www-authenticate": "Bearer" } as const;

const REFUSALS: Readonly<Record<Exclude<Identification["outcome"], "known">, string>> = {
  unknown: "Incorrect API key provided.",
  "wrong-kind": "This is a worker key. The API takes keys that begin with sk-.",
  revoked: "This API key was revoked.",
};
