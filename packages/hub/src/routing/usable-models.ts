import type { Catalogue } from "../fleet/catalogue.ts";
import type { Principal } from "../identity/principal.ts";
import { suits } from "./pins.ts";

export interface UsableModel {
  readonly id: string;
  /** When the hub first saw it, without a break, in a group of the key. */
  readonly sinceMs: number;
}

/** The models that a key may ask for now: those of its groups, of its own list, on workers that its owner wants. */
export class UsableModels {
  readonly #catalogue: Catalogue;

  constructor(catalogue: Catalogue) {
    this.#catalogue = catalogue;
  }

  /** By name. */
  list(principal: Principal): UsableModel[] {
    const names = new Set<string>();
    for (const groupId of principal.groupIds) {
      for (const model of this.#catalogue.in(groupId)?.models ?? []) names.add(model);
    }
    return [...names].toSorted().flatMap((id) => {
      const sinceMs = this.sinceMs(principal, id);
      return sinceMs === undefined ? [] : { id, sinceMs };
    });
  }

  /** undefined: nobody serves it to the key now. */
  sinceMs(principal: Principal, model: string): number | undefined {
    if (!principal.allowsModel(model)) return undefined;
    const times = principal.groupIds.flatMap((groupId) => this.#inGroup(principal, groupId, model) ?? []);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  #inGroup({ pins }: Principal, groupId: string, model: string): number | undefined {
    const index = this.#catalogue.in(groupId);
    if (pins === undefined) return index?.sinceMs(model);
    return [...(index?.targetsOf(model) ?? [])].some((target) => suits(target, pins))
      ? index?.sinceMs(model)
      : undefined;
  }
}
