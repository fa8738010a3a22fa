import { type Registration, TunnelRefusal } from "@tokilake/tunnel";

import { TunnelChannel } from "../channels/tunnel-channel.ts";
import type { EndReason, KeyEnd, Principal } from "../identity/principal.ts";
import type { Log } from "../observe/log.ts";
import {
  ANNOUNCEMENT_LIMITS,
  isSeenInFull,
  type LoadAnnouncement,
  type ModelsAnnouncement,
  NOT_SEEN,
  parseAnnouncement,
} from "./announcement.ts";
import { Catalogue } from "./catalogue.ts";
import { FleetTarget } from "./fleet-target.ts";
import { FleetWorker, nameOf, processOf, type WorkerSession } from "./fleet-worker.ts";
import { Serving, type ServingDeps } from "./serving.ts";

const TOO_MANY_MODELS_RETRY_MS = 60_000;

export interface FleetDeps extends ServingDeps {
  readonly log: Log;
  readonly now: () => number;
  /** A name is connected by its first session, and gone with its last. Default: nobody wants to know. */
  readonly onWorker?: (worker: FleetWorker, is: "connected" | "disconnected") => void;
}

export interface FleetTraffic {
  readonly received: number;
  readonly sent: number;
  readonly streams: number;
  readonly slowestRoundTripMs: number;
}

/** The connected workers and what they serve. Everything is in memory and true at once: no worker, no entry. */
export class Fleet {
  readonly models: Catalogue;
  readonly #deps: FleetDeps;
  readonly #serving: Serving;
  /** By session: those of one process share the worker behind it. */
  readonly #workers = new Map<WorkerSession, FleetWorker>();
  readonly #processes = new Map<string, FleetWorker>();
  /** Which key holds each name that is connected (`nameOf`). A name is free again when its last session ends. */
  readonly #owners = new Map<string, { readonly keyId: string; sessions: number }>();
  /** Models announced by the workers of each key. */
  readonly #modelCounts = new Map<string, number>();
  #endedTraffic = { received: 0, sent: 0 };

  constructor(deps: FleetDeps) {
    this.#deps = deps;
    this.models = new Catalogue(deps.now);
    this.#serving = new Serving(this.models, deps);
  }

  /** Every process that is connected now. */
  get workers(): Iterable<FleetWorker> {
    return this.#processes.values();
  }

  /** Bytes on all sessions there ever were, and what runs on those that are open. */
  get traffic(): FleetTraffic {
    let { received, sent } = this.#endedTraffic;
    let streams = 0;
    let slowestRoundTripMs = 0;
    for (const session of this.#workers.keys()) {
      received += session.bytesReceived;
      sent += session.bytesSent;
      streams += session.streamCount;
      slowestRoundTripMs = Math.max(slowestRoundTripMs, session.roundTripMs ?? 0);
    }
    return { received, sent, streams, slowestRoundTripMs };
  }

  /**
   * Decides whether a worker may register, before anything changes.
   *
   * @throws TunnelRefusal when another key of the same owner holds the name, or name or announcement are not valid.
   */
  admit(principal: Principal, registration: Registration): void {
    const { workerId } = registration;
    if (!isSeenInFull(workerId)) {
      const message = `the worker's name has ${NOT_SEEN}; choose another namespace`;
      throw new TunnelRefusal({ status: 400, code: "bad-name", message, fatal: true });
    }
    const owner = this.#owners.get(nameOf(principal, registration));
    if (owner !== undefined && owner.keyId !== principal.keyId) {
      throw new TunnelRefusal({
        status: 409,
        code: "name-taken",
        message: `the worker name "${workerId}" is in use by another key of yours; choose another namespace`,
        fatal: true,
      });
    }
    const parsed = parseAnnouncement(registration.details);
    if (parsed.outcome === "valid" && parsed.announcement.kind === "models") {
      this.#checkRoom(principal, registration, parsed.announcement.models.length);
      return;
    }
    const problem = parsed.outcome === "valid" ? "a worker registers with its models" : parsed.problem;
    throw new TunnelRefusal({ status: 400, code: "bad-announcement", message: problem, fatal: true });
  }

  /** A session more of a worker that is there already leads to the same targets, and brings what the worker serves now. */
  add(session: WorkerSession): void {
    const { identity, registration } = session;
    const process = processOf(identity, registration);
    const worker = this.#processes.get(process) ?? new FleetWorker(registration.workerId, identity);
    this.#processes.set(process, worker);
    this.#workers.set(session, worker);
    worker.add(session);
    const name = nameOf(identity, registration);
    const owner = this.#owners.get(name) ?? { keyId: identity.keyId, sessions: 0 };
    owner.sessions += 1;
    this.#owners.set(name, owner);
    this.update(session, session.registration.details);
    if (owner.sessions === 1) this.#deps.onWorker?.(worker, "connected");
  }

  /**
   * A later announcement, on whichever session: the last to come counts. One that is not valid changes nothing: the last
   * good one stays.
   */
  update(session: WorkerSession, details: unknown): void {
    const worker = this.#workers.get(session);
    // An update may still arrive from a session that a newer one has replaced.
    if (worker === undefined) return;
    const parsed = parseAnnouncement(details);
    if (parsed.outcome === "invalid") {
      const { workerId } = session.registration;
      this.#deps.log.warn({ workerId, problem: parsed.problem }, "worker announced something that is not valid");
      return;
    }
    if (parsed.announcement.kind === "load") setLoad(worker.targets, parsed.announcement);
    else if (this.#hasRoom(session.identity.keyId, worker, parsed.announcement.models.length)) {
      this.#setModels(session.identity.keyId, worker, parsed.announcement);
    } else {
      const { workerId } = session.registration;
      this.#deps.log.warn({ workerId }, "a key's workers announced more models than they may; the last list stays");
    }
  }

  /** Nothing goes to the session once this returns. What its worker serves goes with the last one. */
  remove(session: WorkerSession): void {
    const worker = this.#workers.get(session);
    if (worker === undefined) return;
    this.#workers.delete(session);
    worker.remove(session);
    const isLast = this.#disown(nameOf(session.identity, session.registration));
    const { received, sent } = this.#endedTraffic;
    this.#endedTraffic = { received: received + session.bytesReceived, sent: sent + session.bytesSent };
    if (!worker.isGone) {
      this.#serving.sessionGone(worker, session);
      return;
    }
    this.#processes.delete(processOf(session.identity, session.registration));
    this.#serving.forget(worker);
    this.#countModels(session.identity.keyId, worker, 0);
    if (isLast) this.#deps.onWorker?.(worker, "disconnected");
  }

  /** Ends the sessions of a key that is good no more. Their streams fail over or fail visibly. */
  closeKey({ keyId, reason }: KeyEnd): void {
    const message = KEY_ENDS[reason];
    for (const session of this.#workers.keys()) {
      const { identity } = session;
      if (identity.keyId !== keyId || (reason === "rotated" && !identity.isRotatedAway)) continue;
      session.close("revoked", message);
    }
  }

  /** Where workers with the key may serve, or what, may have changed. */
  decideKey(keyId: string): void {
    for (const worker of this.#processes.values()) if (worker.principal.keyId === keyId) this.#serving.decide(worker);
  }

  /** Who may serve in the group, or what, may have changed. */
  decideGroup(groupId: string): void {
    for (const worker of this.#processes.values()) {
      const mayServe = this.#deps.groupsToServe(worker.principal, worker.named.wanted).includes(groupId);
      if (mayServe || worker.groupIds.includes(groupId)) this.#serving.decide(worker);
    }
  }

  /** Whether the name is free from now on. */
  #disown(name: string): boolean {
    const owner = this.#owners.get(name);
    if (owner === undefined) return false;
    owner.sessions -= 1;
    if (owner.sessions === 0) this.#owners.delete(name);
    return owner.sessions === 0;
  }

  /** @throws TunnelRefusal */
  #checkRoom(principal: Principal, registration: Registration, models: number): void {
    if (this.#hasRoom(principal.keyId, this.#processes.get(processOf(principal, registration)), models)) return;
    throw new TunnelRefusal({
      status: 429,
      code: "too-many-models",
      message: `the workers of one key may announce ${ANNOUNCEMENT_LIMITS.maxModelsPerKey} models together`,
      retryAfterMs: TOO_MANY_MODELS_RETRY_MS,
    });
  }

  #hasRoom(keyId: string, worker: FleetWorker | undefined, models: number): boolean {
    const others = (this.#modelCounts.get(keyId) ?? 0) - (worker?.modelCount ?? 0);
    return others + models <= ANNOUNCEMENT_LIMITS.maxModelsPerKey;
  }

  #countModels(keyId: string, worker: FleetWorker, models: number): void {
    const sum = (this.#modelCounts.get(keyId) ?? 0) - worker.modelCount + models;
    worker.modelCount = models;
    if (sum === 0) this.#modelCounts.delete(keyId);
    else this.#modelCounts.set(keyId, sum);
  }

  #setModels(keyId: string, worker: FleetWorker, announced: ModelsAnnouncement): void {
    this.#countModels(keyId, worker, announced.models.length);
    const { targets } = worker;
    const modelsOf = new Map<string, Set<string>>(announced.targets.map((each) => [each.name, new Set()]));
    for (const model of announced.models) modelsOf.get(model.target)?.add(model.id);
    for (const [name, target] of targets) {
      if (modelsOf.has(name)) continue;
      this.models.remove(target);
      targets.delete(name);
    }
    for (const each of announced.targets) {
      const target = targets.get(each.name) ?? new FleetTarget(each.name, worker, new TunnelChannel(worker, each.name));
      target.slots = each.slots;
      target.routes = each.routes === undefined ? undefined : new Set(each.routes);
      targets.set(each.name, target);
      target.announced = modelsOf.get(each.name) ?? new Set();
    }
    worker.named.announce(announced.groups);
    this.#serving.decide(worker);
  }
}

const KEY_ENDS: Readonly<Record<EndReason, string>> = {
  revoked: "the worker key was revoked",
  rotated: "the worker key was rotated: give the worker its new secret",
  disabled: "the worker key is disabled",
  expired: "the worker key has expired",
  "owner-disabled": "the account that the worker key belongs to is disabled",
  "no-membership": "the owner of the worker key may not serve here",
};

function setLoad(targets: ReadonlyMap<string, FleetTarget>, load: LoadAnnouncement): void {
  for (const each of load.targets) {
    const target = targets.get(each.name);
    if (target !== undefined) target.reported = { running: each.running, waiting: each.waiting };
  }
}
