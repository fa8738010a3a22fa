import type { IncomingMessage } from "node:http";

import { AppError } from "../errors.ts";
import type { FailedAttempts } from "../identity/failed-attempts.ts";
import type { KeyRing, Principal } from "../identity/key-ring.ts";
import type { Denial } from "../identity/principal.ts";
import { keyRefusal } from "../identity/refusals.ts";
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
 * @throws AppError `invalid_api_key`, `account_deactivated`, `not_a_member`, `ip_not_authorized`; `rate_limit_exceeded` when
 *   those were answered too often; `insufficient_quota`.
 */
export function authenticate(
  deps: AuthenticateDeps,
  request: IncomingMessage,
  authorization = request.headers.authorization,
): Principal {
  const secret = bearerOf(authorization);
  const identification =
    secret === undefined ? undefined : deps.keys.identify(secret, "api", () => deps.addresses.of(request).ip);
  if (identification?.outcome === "known") {
    deps.strangers.welcome(request.socket);
    return identification.principal;
  }
  throw refusalFor(deps, request, identification?.outcome);
}

function refusalFor(
  deps: AuthenticateDeps,
  request: IncomingMessage,
  outcome: "unknown" | Denial | undefined,
): AppError {
  if (outcome === undefined) return refusalOf(deps, request, NO_KEY);
  if (outcome === "unknown") return refusalOf(deps, request, "Incorrect API key provided.");
  // Who has spent what they may is no stranger, and finds out how long that lasts by asking.
  if (outcome === "exhausted") return keyRefusal(outcome);
  return countedRefusal(deps, request, keyRefusal(outcome, CHALLENGE));
}

/**
 * Counts a failed attempt.
 *
 * @param message What was wrong with the key.
 */
export function refusalOf(
  deps: Pick<AuthenticateDeps, "failures" | "addresses">,
  request: IncomingMessage,
  message: string,
): AppError {
  return countedRefusal(deps, request, new AppError("invalid_api_key", message, { headers: CHALLENGE }));
}

function countedRefusal(
  { failures, addresses }: Pick<AuthenticateDeps, "failures" | "addresses">,
  request: IncomingMessage,
  refusal: AppError,
): AppError {
  const retryAfter = failures.count(addresses.of(request).network);
  if (retryAfter === undefined) return refusal;
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
