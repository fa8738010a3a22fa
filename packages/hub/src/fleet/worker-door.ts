import type { IncomingMessage } from "node:http";

import { createTunnelServer, type TunnelPeer, TunnelRefusal, type TunnelServer } from "@tokilake/tunnel";

import packageJson from "../../package.json" with { type: "json" };
import type { FailedAttempts } from "../identity/failed-attempts.ts";
import type { Identification, KeyRing, Principal } from "../identity/key-ring.ts";
import { newId } from "../new-id.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { Fleet } from "./fleet.ts";

export interface WorkerDoorDeps {
  readonly hubId: string;
  /** Workers that name no version of the tunnel speak version 1. */
  readonly assumesV1: boolean;
  readonly keys: KeyRing;
  readonly failures: FailedAttempts;
  readonly clientOf: (request: IncomingMessage) => TunnelPeer;
  /** The request showed a valid key. */
  readonly onKnown: (request: IncomingMessage) => void;
  readonly fleet: Fleet;
  readonly metrics: Metrics;
  readonly log: Log;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

/** Where workers come in: who may connect, and what the fleet learns of them. */
export function openWorkerDoor(deps: WorkerDoorDeps): TunnelServer<Principal> {
  const { fleet, metrics } = deps;
  return createTunnelServer<Principal>({
    hubId: deps.hubId,
    software: `tokilake/${packageJson.version}`,
    log: deps.log,
    allowNoSubprotocol: deps.assumesV1,
    refusalHeaders: () => ({ "x-request-id": newId("req", deps.now()), "x-content-type-options": "nosniff" }),
    authenticate: (bearer, request) => counted(metrics, () => identifyWorker(deps, bearer, request)),
    clientOf: deps.clientOf,
    ownerOf: (principal) => principal.keyId,
    isBounded: (principal) => principal.userId !== undefined,
    register: (principal, registration) => counted(metrics, () => fleet.admit(principal, registration)),
    onSession: (session) => {
      metrics.tunnelConnect("accepted");
      fleet.add(session);
    },
    onUpdate: (session, details) => fleet.update(session, details),
    onClose: (session, reason) => {
      fleet.remove(session);
      metrics.tunnelDisconnect(reason.code, Date.now() - session.openedAtMs);
    },
  });
}

/** A valid key gets in however many others fail from the same address; of those only so many are told why. */
function identifyWorker(deps: WorkerDoorDeps, bearer: string | undefined, request: IncomingMessage): Principal {
  if (request.headers.origin !== undefined) {
    throw refusal(403, "cross-origin", "the tunnel does not take connections from browsers");
  }
  const identification = bearer === undefined ? undefined : identified(deps, bearer, request);
  if (identification?.outcome === "known") {
    deps.onKnown(request);
    return identification.principal;
  }
  const retryAfter = deps.failures.count(deps.clientOf(request).network);
  if (retryAfter !== undefined) throw tooManyFailures(retryAfter);
  throw refusal(...(identification === undefined ? NO_KEY : REFUSALS[identification.outcome]));
}

function identified({ keys, clientOf }: WorkerDoorDeps, bearer: string, request: IncomingMessage): Identification {
  return keys.identify(bearer, "worker", () => clientOf(request).ip);
}

type Refusal = readonly [status: number, code: string, message: string];

const NO_KEY: Refusal = [401, "no-key", "send a worker key as Authorization: Bearer wk-…"];

/** A worker waits after a 401 or 403, and tries again. */
const REFUSALS: Readonly<Record<Exclude<Identification["outcome"], "known">, Refusal>> = {
  unknown: [401, "unknown-key", "this worker key is not known here"],
  "wrong-kind": [403, "wrong-key-kind", "this is an API key; a worker needs a key that begins with wk-"],
  revoked: [401, "key-revoked", "this worker key was revoked"],
  rotated: [401, "key-rotated", "this worker key was rotated: give the worker its new secret"],
  disabled: [401, "key-disabled", "this worker key is disabled"],
  expired: [401, "key-expired", "this worker key has expired"],
  "owner-disabled": [401, "account-disabled", "the account that this worker key belongs to is disabled"],
  "no-membership": [403, "not-a-member", "the owner of this worker key may not serve here"],
  exhausted: [403, "exhausted", "this worker key has spent all that it may"],
  "address-not-allowed": [403, "address-not-allowed", "this worker key may not be used from this address"],
};

function tooManyFailures(seconds: number): TunnelRefusal {
  return new TunnelRefusal({
    status: 429,
    code: "too-many-failures",
    message: "too many attempts without a valid worker key came from this address: check the key",
    retryAfterMs: seconds * 1000,
  });
}

function refusal(status: number, code: string, message: string): TunnelRefusal {
  return new TunnelRefusal({ status, code, message });
}

/** Counts refusals by their code. */
function counted<T>(metrics: Metrics, decide: () => T): T {
  try {
    return decide();
  } catch (thrown) {
    if (thrown instanceof TunnelRefusal) metrics.tunnelConnect(thrown.code);
    throw thrown;
  }
}
