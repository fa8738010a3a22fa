import type { Principal } from "../identity/principal.ts";
import { OPERATOR_GROUP_ID } from "../store/access-schema.ts";
import type { Catalogue } from "./catalogue.ts";
import type { FleetTarget } from "./fleet-target.ts";
import type { FleetWorker, WorkerSession } from "./fleet-worker.ts";
import type { RefusedModels } from "./served-notice.ts";
import { tellServed, type TellServedDeps } from "./tell-served.ts";

export const CLAIM_PACE = {
  /** A worker's names are claimed no more often: whoever announces anew all the time costs no more than this. */
  spacingMs: 250,
  /** After names could not be claimed, until the next try. */
  retryMs: 1_000,
} as const;

/** Whose model names they are in each group. */
export interface ModelClaims {
  /** Which of an owner's model names may be served in a group. What is new and free is theirs from then on. */
  claim(asked: {
    readonly groupId: string;
    /** undefined: the operator. */
    readonly ownerId: string | undefined;
    readonly models: readonly string[];
  }): Promise<{
    readonly allowed: readonly string[];
    readonly taken: readonly string[];
    readonly tooMany: readonly string[];
    readonly misleading: readonly string[];
  }>;
}

export interface ServingDeps extends TellServedDeps {
  /** `KeyRing.groupsToServe` */
  readonly groupsToServe: (worker: Principal, named: readonly string[] | undefined) => readonly string[];
  /** undefined: every name may be served by everybody who serves in the group. */
  readonly claims: ModelClaims | undefined;
  /** A target appeared, or may take more than before. */
  readonly onRoom: (target: FleetTarget) => void;
  /** A target serves in the group no more: what runs there for it must end. */
  readonly onLost: (target: FleetTarget, groupId: string) => void;
}

/** Decides which models of which worker are routed to in which group, keeps the catalogue so, and tells the worker. */
export class Serving {
  readonly #catalogue: Catalogue;
  readonly #deps: ServingDeps;

  constructor(catalogue: Catalogue, deps: ServingDeps) {
    this.#catalogue = catalogue;
    this.#deps = deps;
  }

  /**
   * Decides anew, as its announcement, its key or its owner's rights changed. Nothing waits for the database: a name that has to be
   * claimed first is routed to when it is.
   */
  decide(worker: FleetWorker): void {
    const { principal, named } = worker;
    worker.decision += 1;
    const before = worker.groupIds;
    worker.groupIds = this.#deps.groupsToServe(principal, named.wanted);
    for (const groupId of worker.groupIds) named.serves(groupId, this.#deps.slugOf(groupId));
    for (const groupId of before) if (!worker.groupIds.includes(groupId)) this.#leave(worker, groupId);
    for (const groupId of worker.groupIds) {
      this.#serve(worker, groupId, this.#mustClaim(groupId) ? (worker.allowed.get(groupId) ?? NOTHING) : undefined);
    }
    this.#settleSoon(worker, 0);
  }

  /** One of the worker's sessions is gone, others are there: what was told on it may not have arrived. */
  sessionGone(worker: FleetWorker, session: WorkerSession): void {
    if (worker.notice?.toldOn !== session) return;
    worker.notice.toldOn = undefined;
    this.#settleSoon(worker, 0);
  }

  /** The worker is gone. */
  forget(worker: FleetWorker): void {
    worker.decision += 1;
    clearTimeout(worker.nextClaim);
    for (const target of worker.targets.values()) this.#catalogue.remove(target);
  }

  /** Whoever serves in the operator's own group runs the hub. */
  #mustClaim(groupId: string): boolean {
    return this.#deps.claims !== undefined && groupId !== OPERATOR_GROUP_ID;
  }

  #settleSoon(worker: FleetWorker, afterMs: number): void {
    if (worker.nextClaim !== undefined) return;
    const settle = (): void => {
      worker.nextClaim = undefined;
      worker.claimsFrom = performance.now() + CLAIM_PACE.spacingMs;
      void this.#settle(worker);
    };
    const waitMs = Math.max(afterMs, worker.claimsFrom - performance.now());
    if (waitMs <= 0) settle();
    else worker.nextClaim = setTimeout(settle, waitMs).unref();
  }

  /** Claims its names everywhere, and tells it what came of that. Never rejects. */
  async #settle(worker: FleetWorker): Promise<void> {
    const { decision } = worker;
    const claimed = worker.groupIds.filter((groupId) => this.#mustClaim(groupId));
    const settled = await Promise.all(claimed.map((groupId) => this.#claim(worker, groupId)));
    // A later decision tells for itself, and so does the next try.
    if (worker.decision === decision && settled.every((isSettled) => isSettled)) {
      const waitMs = tellServed(worker, this.#deps);
      if (waitMs > 0) this.#settleSoon(worker, waitMs);
    }
  }

  #leave(worker: FleetWorker, groupId: string): void {
    worker.allowed.delete(groupId);
    worker.refused.delete(groupId);
    for (const target of worker.targets.values()) {
      this.#catalogue.set(target, groupId, NOTHING);
      if (target.inFlight > 0) this.#deps.onLost(target, groupId);
    }
  }

  /** @param allowed Of the names it offers; undefined: all of them. */
  #serve(worker: FleetWorker, groupId: string, allowed: ReadonlySet<string> | undefined): void {
    for (const target of worker.targets.values()) {
      const models = offered(worker, target, (model) => allowed === undefined || allowed.has(model));
      this.#catalogue.set(target, groupId, models);
      this.#deps.onRoom(target);
    }
  }

  /** Whether it is known what may be served there. Never rejects. What was allowed before goes on meanwhile. */
  async #claim(worker: FleetWorker, groupId: string): Promise<boolean> {
    const { decision, workerId, userId: ownerId } = worker;
    const targets = [...worker.targets.values()];
    const models = [...new Set(targets.flatMap((target) => [...offered(worker, target)]))];
    try {
      const claimed = await this.#deps.claims?.claim({ groupId, ownerId, models });
      // A later decision asks for itself.
      if (claimed === undefined || worker.decision !== decision) return false;
      worker.allowed.set(groupId, new Set(claimed.allowed));
      worker.refused.set(groupId, refusedOf(claimed));
      this.#serve(worker, groupId, worker.allowed.get(groupId));
      return true;
    } catch (error) {
      if (worker.decision !== decision) return false;
      this.#deps.log.error({ error, workerId, groupId }, "model names could not be claimed; trying again");
      this.#settleSoon(worker, CLAIM_PACE.retryMs);
      return false;
    }
  }
}

function refusedOf({ taken, tooMany, misleading }: Awaited<ReturnType<ModelClaims["claim"]>>): RefusedModels[] {
  return [
    { why: "taken", models: taken },
    { why: "too-many", models: tooMany },
    { why: "misleading", models: misleading },
  ];
}

const NOTHING: ReadonlySet<string> = new Set();

/** What the target has and its worker's key may serve; the announced set itself when that is all of it. */
function offered(
  { principal }: FleetWorker,
  { announced }: FleetTarget,
  isAllowed: (model: string) => boolean = () => true,
): ReadonlySet<string> {
  const models = [...announced].filter((model) => principal.allowsModel(model) && isAllowed(model));
  return models.length === announced.size ? announced : new Set(models);
}
