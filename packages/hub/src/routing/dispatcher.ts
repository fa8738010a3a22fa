import { AppError } from "../errors.ts";
import type { Catalogue } from "../fleet/catalogue.ts";
import type { FleetTarget } from "../fleet/fleet-target.ts";
import type { Principal } from "../identity/principal.ts";
import { chooseLeastLoaded, hasFreeSlot } from "./choose.ts";
import { suits } from "./pins.ts";
import { type Place, SlotQueue, type SlotWish } from "./slot-queue.ts";

/**
 * With more candidates than `all`, the choice is among `some` of them, taken by chance: with 10,000 workers of one model,
 * looking at each would cost more than the request. Two by chance are nearly as good as all (Mitzenmacher, "The power of
 * two choices"); eight are closer still.
 */
const LOOK_AT = { all: 64, some: 8 } as const;

/** A target that had no room, though it seemed to, is left alone so long, or until a request of ours ends there. */
export const REST_MS = 250;

/**
 * So long a hub that takes another's place lets requests wait for the first worker of their model. The other one asks its
 * workers to come over in at most half its grace.
 */
export const WORKERS_EXPECTED_MS = 20_000;

interface Rest {
  readonly timer: NodeJS.Timeout;
  /** Fewer of ours than that: one has ended. */
  running: number;
}

/** Where a request wants to go. */
export interface RouteWish {
  readonly principal: Pick<Principal, "groupIds" | "pins">;
  /** Of the principal's groups those where it may be served now, in this order. */
  readonly groupIds: readonly string[];
  readonly model: string;
  readonly method: "GET" | "POST";
  readonly path: string;
  /** Targets that failed this request already. */
  readonly tried: ReadonlySet<FleetTarget>;
  /** Somebody was asked already, so a failure is known that says more than that nobody is left. */
  readonly isRetry: boolean;
  /** How long it may wait for a slot. */
  readonly maxWaitMs: number;
}

export interface DispatcherOptions {
  /** A function, as the fleet tells its room to the dispatcher and so is built after it. */
  readonly models: () => Catalogue;
  /** In [0, 1). */
  readonly random: () => number;
  /** How long a request may wait, from now, for a worker that nobody has seen yet: those of the hub before are on their way. */
  readonly patienceMs: () => number;
}

/** Gives each request a target with a free slot, and counts what runs where. */
export class Dispatcher {
  readonly #models: () => Catalogue;
  readonly #random: () => number;
  readonly #patienceMs: () => number;
  readonly #queue = new SlotQueue<FleetTarget>();
  readonly #resting = new Map<FleetTarget, Rest>();

  constructor({ models, random, patienceMs }: DispatcherOptions) {
    this.#models = models;
    this.#random = random;
    this.#patienceMs = patienceMs;
  }

  get waiting(): number {
    return this.#queue.size;
  }

  /**
   * A target for the request, its slot taken: `release` it exactly once. In the first group that has one free; waits when all
   * are full.
   *
   * Undefined when somebody was asked and nobody else is left.
   *
   * @throws AppError `model_not_found`, `no_worker`, `invalid_request` or `worker_busy`; else the signal's reason.
   */
  async acquire(wish: RouteWish, signal: AbortSignal): Promise<Place<FleetTarget> | undefined> {
    const busy: FleetTarget[] = [];
    for (const groupId of wish.groupIds) {
      const mustWait = this.#queue.hasWaiters(groupId, wish.model);
      const lucky = mustWait ? undefined : this.#chooseAmongSome(groupId, wish);
      if (lucky !== undefined) return taken(lucky, groupId);
      const able = this.#able(groupId, wish);
      const roomy = mustWait ? [] : able.filter((target) => this.#hasRoom(target));
      const free = chooseLeastLoaded(roomy, this.#random);
      if (free !== undefined) return taken(free, groupId);
      busy.push(...able);
    }
    if (busy.length === 0) return wish.isRetry ? undefined : this.#waitForWorker(wish, signal);
    const place = this.#queue.wait(slotWish(wish), signal);
    // Those ahead may not want what is free: they tried it, or it does not serve their route.
    for (const target of busy) this.offer(target);
    return place;
  }

  release(target: FleetTarget): void {
    target.inFlight -= 1;
    const rest = this.#resting.get(target);
    if (rest !== undefined && target.inFlight < rest.running) this.#endRest(target, rest);
    this.offer(target);
  }

  /** `target` refused a request for want of room: it gets no other for a moment. Before its `release`. */
  rest(target: FleetTarget): void {
    const rest = this.#resting.get(target);
    if (rest !== undefined) {
      rest.running -= 1;
      return;
    }
    const timer = setTimeout(() => {
      this.#resting.delete(target);
      this.offer(target);
    }, REST_MS);
    this.#resting.set(target, { timer, running: target.inFlight - 1 });
  }

  #endRest(target: FleetTarget, { timer }: Rest): void {
    clearTimeout(timer);
    this.#resting.delete(target);
  }

  #hasRoom(target: FleetTarget): boolean {
    return !this.#resting.has(target) && hasFreeSlot(target);
  }

  /** Gives what is free at `target` to those who wait. */
  offer(target: FleetTarget): void {
    while (target.isAccepting && this.#hasRoom(target) && this.#queue.offer(target)) target.inFlight += 1;
  }

  #chooseAmongSome(groupId: string, wish: RouteWish): FleetTarget | undefined {
    const targets = this.#models().in(groupId)?.targetsOf(wish.model);
    if (targets === undefined || targets.size <= LOOK_AT.all) return undefined;
    const some = targets.sample(LOOK_AT.some, this.#random);
    return chooseLeastLoaded(
      some.filter((target) => isAble(target, wish) && this.#hasRoom(target)),
      this.#random,
    );
  }

  #able(groupId: string, wish: RouteWish): FleetTarget[] {
    const targets = this.#models().in(groupId)?.targetsOf(wish.model) ?? [];
    return [...targets].filter((target) => isAble(target, wish));
  }

  /** @throws AppError why there is none, when nobody is expected or the wait too long. */
  async #waitForWorker(wish: RouteWish, signal: AbortSignal): Promise<Place<FleetTarget>> {
    const maxWaitMs = this.#patienceMs();
    if (maxWaitMs <= 0) throw this.#absence(wish);
    return this.#queue.wait({ ...slotWish(wish), maxWaitMs, tooLong: () => this.#absence(wish) }, signal);
  }

  /** Says nothing of other groups than the request's own. */
  #absence(wish: RouteWish): AppError {
    const { model, groupIds, principal } = wish;
    const catalogue = this.#models();
    const indexes = groupIds.flatMap((groupId) => catalogue.in(groupId) ?? []);
    const targets = indexes.flatMap((index) => [...(index.targetsOf(model) ?? [])]);
    const wanted = targets.filter((target) => suits(target, principal.pins));
    if (wanted.some((target) => target.serves(routeOf(wish)))) return offline(model);
    if (wanted.length > 0) {
      return new AppError("invalid_request", `The model "${model}" does not serve ${wish.path}.`, { param: "model" });
    }
    if (targets.length > 0) return unwanted(model);
    if (groupIds.some((groupId) => catalogue.isRemembered(groupId, model))) return offline(model);
    if (indexes.length === 0) {
      return new AppError("no_worker", "No worker is online. Connect one and try again.", { retryAfter: 5 });
    }
    return new AppError("model_not_found", `The model "${model}" does not exist. GET /v1/models lists those that do.`, {
      param: "model",
    });
  }
}

function taken(target: FleetTarget, groupId: string): Place<FleetTarget> {
  target.inFlight += 1;
  return { target, groupId };
}

function isAble(target: FleetTarget, wish: RouteWish): boolean {
  return (
    target.isAccepting && !wish.tried.has(target) && target.serves(routeOf(wish)) && suits(target, wish.principal.pins)
  );
}

function slotWish(wish: RouteWish): SlotWish<FleetTarget> {
  const { principal, groupIds, model, maxWaitMs } = wish;
  return {
    groupIds,
    model,
    // The key may have lost the group while it waited.
    accepts: (target, groupId) => principal.groupIds.includes(groupId) && isAble(target, wish),
    maxWaitMs,
  };
}

function routeOf({ method, path }: RouteWish): string {
  return `${method} ${path}`;
}

function offline(model: string): AppError {
  return new AppError("no_worker", `No worker with the model "${model}" is online now. Try again shortly.`, {
    retryAfter: 5,
  });
}

function unwanted(model: string): AppError {
  return new AppError(
    "no_worker",
    `The workers with the model "${model}" are not among those that this API key asks for.`,
    { retryAfter: 5 },
  );
}
