import type { FleetTarget } from "./fleet-target.ts";
import { Pool } from "./pool.ts";

/** Model name to the targets that have it, in one group. Finding candidates costs the same with one worker and with ten thousand. */
export class ModelIndex {
  readonly #targets = new Map<string, Pool<FleetTarget>>();
  readonly #firstSeenMs = new Map<string, number>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  targetsOf(model: string): Pool<FleetTarget> | undefined {
    return this.#targets.get(model);
  }

  get isEmpty(): boolean {
    return this.#targets.size === 0;
  }

  /** Every model served now, in no order. */
  get models(): Iterable<string> {
    return this.#targets.keys();
  }

  /** When the hub first saw the model without a break; undefined: nobody serves it now. */
  sinceMs(model: string): number | undefined {
    return this.#firstSeenMs.get(model);
  }

  /** True: nobody had it before. */
  add(target: FleetTarget, model: string): boolean {
    const targets = this.#targets.get(model);
    if (targets !== undefined) {
      targets.add(target);
      return false;
    }
    const first = new Pool<FleetTarget>();
    first.add(target);
    this.#targets.set(model, first);
    this.#firstSeenMs.set(model, this.#now());
    return true;
  }

  /** True: nobody has it any more. */
  remove(target: FleetTarget, model: string): boolean {
    const targets = this.#targets.get(model);
    targets?.delete(target);
    if (targets === undefined || targets.size > 0) return false;
    this.#targets.delete(model);
    this.#firstSeenMs.delete(model);
    return true;
  }
}
