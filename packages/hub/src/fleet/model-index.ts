import type { FleetTarget } from "./fleet-target.ts";
import { Pool } from "./pool.ts";

/** A model that no worker has any more is remembered so long: "offline for now" is another answer than "no such model". */
export const REMEMBERED = { maxModels: 5_000, forMs: 10 * 60_000 } as const;

/** Model name to the targets that have it. Finding candidates costs the same with one worker and with ten thousand. */
export class ModelIndex {
  readonly #targets = new Map<string, Pool<FleetTarget>>();
  readonly #firstSeenMs = new Map<string, number>();
  readonly #lastSeenMs = new Map<string, number>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Workers served `models` until lately, as far as is known from before this hub's start. */
  remember(models: Iterable<string>): void {
    for (const model of models) this.#lastSeenMs.set(model, this.#now());
  }

  targetsOf(model: string): Pool<FleetTarget> | undefined {
    return this.#targets.get(model);
  }

  get isEmpty(): boolean {
    return this.#targets.size === 0;
  }

  /** Whether a worker served `model` until lately. */
  isRemembered(model: string): boolean {
    const lastSeen = this.#lastSeenMs.get(model);
    return lastSeen !== undefined && this.#now() - lastSeen <= REMEMBERED.forMs;
  }

  /** Every model served now, by name. `sinceMs`: when the hub first saw it without a break. */
  list(): { readonly id: string; readonly sinceMs: number }[] {
    return [...this.#targets.keys()].toSorted().map((id) => ({ id, sinceMs: this.#firstSeenMs.get(id) ?? 0 }));
  }

  sinceMs(model: string): number | undefined {
    return this.#firstSeenMs.get(model);
  }

  /** `target` serves exactly `models` from now on. */
  set(target: FleetTarget, models: ReadonlySet<string>): void {
    for (const model of target.models) if (!models.has(model)) this.#remove(target, model);
    for (const model of models) if (!target.models.has(model)) this.#add(target, model);
    target.models = models;
  }

  #add(target: FleetTarget, model: string): void {
    const targets = this.#targets.get(model);
    if (targets !== undefined) {
      targets.add(target);
      return;
    }
    const first = new Pool<FleetTarget>();
    first.add(target);
    this.#targets.set(model, first);
    this.#firstSeenMs.set(model, this.#now());
    this.#lastSeenMs.delete(model);
  }

  #remove(target: FleetTarget, model: string): void {
    const targets = this.#targets.get(model);
    targets?.delete(target);
    if (targets === undefined || targets.size > 0) return;
    this.#targets.delete(model);
    this.#firstSeenMs.delete(model);
    this.#lastSeenMs.set(model, this.#now());
    if (this.#lastSeenMs.size <= REMEMBERED.maxModels) return;
    for (const oldest of this.#lastSeenMs.keys()) {
      this.#lastSeenMs.delete(oldest);
      break;
    }
  }
}
