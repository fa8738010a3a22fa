import type { FleetTarget } from "./fleet-target.ts";
import { ModelIndex } from "./model-index.ts";

/** A model that no worker has any more is remembered so long: "offline for now" is another answer than "no such model". */
export const REMEMBERED = { maxModels: 5_000, forMs: 10 * 60_000 } as const;

const NOTHING: ReadonlySet<string> = new Set();

/** What is served in each group. Groups know nothing of one another, and one where nothing is served costs nothing. */
export class Catalogue {
  readonly #now: () => number;
  readonly #indexes = new Map<string, ModelIndex>();
  /** By group and model: when it was last served. The oldest first. */
  readonly #lastSeenMs = new Map<string, number>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** undefined: nothing is served there. */
  in(groupId: string): ModelIndex | undefined {
    return this.#indexes.get(groupId);
  }

  /** `target` serves exactly `models` in the group from now on. */
  set(target: FleetTarget, groupId: string, models: ReadonlySet<string>): void {
    const before = target.modelsIn(groupId) ?? NOTHING;
    if (before === models) return;
    const index = this.#indexes.get(groupId) ?? new ModelIndex(this.#now);
    for (const model of before) if (!models.has(model) && index.remove(target, model)) this.#left(groupId, model);
    for (const model of models) if (!before.has(model) && index.add(target, model)) this.#came(groupId, model);
    target.serve(groupId, models);
    if (index.isEmpty) this.#indexes.delete(groupId);
    else this.#indexes.set(groupId, index);
  }

  /** `target` serves nothing any more, anywhere. */
  remove(target: FleetTarget): void {
    for (const groupId of target.groupIds) this.set(target, groupId, NOTHING);
  }

  /** Workers served `models` in the group until lately, as far as is known from before this hub's start. */
  remember(groupId: string, models: Iterable<string>): void {
    for (const model of models) if (this.in(groupId)?.targetsOf(model) === undefined) this.#left(groupId, model);
  }

  /** Whether a worker served `model` in the group until lately. */
  isRemembered(groupId: string, model: string): boolean {
    const lastSeen = this.#lastSeenMs.get(placeOf(groupId, model));
    return lastSeen !== undefined && this.#now() - lastSeen <= REMEMBERED.forMs;
  }

  #came(groupId: string, model: string): void {
    this.#lastSeenMs.delete(placeOf(groupId, model));
  }

  #left(groupId: string, model: string): void {
    const place = placeOf(groupId, model);
    this.#lastSeenMs.delete(place);
    this.#lastSeenMs.set(place, this.#now());
    if (this.#lastSeenMs.size <= REMEMBERED.maxModels) return;
    for (const oldest of this.#lastSeenMs.keys()) {
      this.#lastSeenMs.delete(oldest);
      break;
    }
  }
}

/** Ids of groups have no blanks. */
function placeOf(groupId: string, model: string): string {
  return `${groupId} ${model}`;
}
