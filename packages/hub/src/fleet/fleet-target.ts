import type { Channel } from "../channels/channel.ts";

/** What a target needs of the worker it belongs to. */
export interface TargetOwner {
  readonly workerId: string;
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
  models: ReadonlySet<string> = new Set();
  routes: ReadonlySet<string> | undefined;
  readonly #owner: TargetOwner;

  constructor(name: string, owner: TargetOwner, channel: Channel) {
    this.name = name;
    this.#owner = owner;
    this.channel = channel;
  }

  get workerId(): string {
    return this.#owner.workerId;
  }

  get isAccepting(): boolean {
    return this.#owner.isAccepting;
  }

  /** Whether its owner lets it answer the route, such as "POST /v1/embeddings", as far as the hub was told. */
  serves(route: string): boolean {
    return this.routes === undefined || this.routes.has(route);
  }
}
