import type { Channel } from "../channels/channel.ts";

/** What a target needs of the worker it belongs to. */
export interface TargetOwner {
  readonly workerId: string;
  /** The user whose worker it is; undefined: the operator's. */
  readonly userId: string | undefined;
  /** Whether one of its sessions takes new streams. */
  readonly isAccepting: boolean;
}

/** One engine of one connected worker, as the hub routes to it, over however many sessions: its slots are the engine's. */
export class FleetTarget {
  readonly name: string;
  readonly channel: Channel;
  /** Requests it runs at once. Undefined: unknown; the worker itself refuses what is too much. */
  slots: number | undefined;
  /** Our requests on it now. */
  inFlight = 0;
  /** What the worker last reported; undefined: never did. */
  reported: { readonly running: number | undefined; readonly waiting: number | undefined } | undefined;
  /** What its worker announced, whoever may use it. */
  announced: ReadonlySet<string> = new Set();
  routes: ReadonlySet<string> | undefined;
  readonly #owner: TargetOwner;
  /** By group: what it serves there. Most often the same set in all of them. */
  readonly #served = new Map<string, ReadonlySet<string>>();

  constructor(name: string, owner: TargetOwner, channel: Channel) {
    this.name = name;
    this.#owner = owner;
    this.channel = channel;
  }

  get workerId(): string {
    return this.#owner.workerId;
  }

  /** undefined: the operator's. */
  get userId(): string | undefined {
    return this.#owner.userId;
  }

  get isAccepting(): boolean {
    return this.#owner.isAccepting;
  }

  /** Where it serves something. */
  get groupIds(): readonly string[] {
    return [...this.#served.keys()];
  }

  /** What it serves in the group; undefined: nothing. */
  modelsIn(groupId: string): ReadonlySet<string> | undefined {
    return this.#served.get(groupId);
  }

  /** For the catalogue alone, whose lists say the same. */
  serve(groupId: string, models: ReadonlySet<string>): void {
    if (models.size === 0) this.#served.delete(groupId);
    else this.#served.set(groupId, models);
  }

  /** Whether its owner lets it answer the route, such as "POST /v1/embeddings", as far as the hub was told. */
  serves(route: string): boolean {
    return this.routes === undefined || this.routes.has(route);
  }
}
