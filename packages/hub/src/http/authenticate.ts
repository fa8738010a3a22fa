import type { IncomingMessage } from "node:http";

import { AppError } from "../errors.ts";
import type { FailedAttempts } from "../identity/failed-attempts.ts";
import type { Identification, KeyRing, Principal } from "../identity/key-ring.ts";
import type { ClientAddresses } from "./client-address.ts";
import type { StrangerSockets } from "./stranger-sockets.ts";

/** What stands at the door. */
export interface AuthenticateDeps {
  readonly keys: KeyRing;
  readonly addresses: ClientAddresses;
  readonly failures: FailedAttempts;
  readonly strangers: StrangerSockets;
}

/**
 * Who sent this: the one place that decides it, from memory. The key is looked at first, so a valid one is never held up
 * by others that fail from the same address (ARCHITECTURE.md, "Failures cost the one who fails").
 *
 * @param authorization The key as a header says it, wherever it came from.
 * @throws AppError `invalid_api_key`; `rate_limit_exceeded` when that was answered too often.
 */
export function authenticate(
  deps: AuthenticateDeps,
  request: IncomingMessage,
  authorization = request.headers.authorization,
): Principal {
  const secret = bearerOf(authorization);
  const identification = secret === undefined ? undefined : deps.keys.identify(secret, "api");
  if (identification?.outcome === "known") {
    deps.strangers.welcome(request.socket);
    return identification.principal;
  }
  throw refusalOf(deps, request, identification === undefined ? NO_KEY : REFUSALS[identification.outcome]);
}

/**
 * Counts a failed attempt.
 *
 * @param message What was wrong with the key.
 */
export function refusalOf(
  { failures, addresses }: Pick<AuthenticateDeps, "failures" | "addresses">,
  request: IncomingMessage,
  message: string,
): AppError {
  const retryAfter = failures.count(addresses.of(request).network);
  if (retryAfter === undefined) return new AppError("invalid_api_key", message, { headers: CHALLENGE });
  return new AppError(
    "rate_limit_exceeded",
    `Too many requests without a valid API key came from your address. The next one may come in ${retryAfter} s.`,
    { retryAfter },
  );
}

/** The token of `Authorization: Bearer …` (RFC 6750 §2.1), undefined when there is none. */
export function bearerOf(authorization: string | undefined): string | undefined {
  if (authorization === undefined || authorization.slice(0, 7).toLowerCase() !== "bearer ") return undefined;
  const token = authorization.slice(7).trim();
  return token === "" ? undefined : token;
}

const CHALLENGE = { "www-authenticate": "Bearer" } as const;

const NO_KEY = 'You did not provide an API key. Send it as "Authorization: Bearer sk-…".';

const REFUSALS: Readonly<Record<Exclude<Identification["outcome"], "known">, string>> = {
  unknown: "Incorrect API key provided.",
  "wrong-kind": "This is a worker key. The API takes keys that begin with sk-.",
  revoked: "This API key was revoked.",
};
