import type { Channel } from "../channels/channel.ts";

/** What a target needs of the session it belongs to. */
export interface TargetSession {
  readonly isAccepting: boolean;
  readonly registration: { readonly workerId: string };
}

/** One engine of one connected worker, as the hub routes to it. */
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
  readonly #session: TargetSession;

  constructor(name: string, session: TargetSession, channel: Channel) {
    this.name = name;
    this.#session = session;
    this.channel = channel;
  }

  get workerId(): string {
    return this.#session.registration.workerId;
  }

  get isAccepting(): boolean {
    return this.#session.isAccepting;
  }

  /** Whether its owner lets it answer the route, such as "POST /v1/embeddings", as far as the hub was told. */
  serves(route: string): boolean {
    return this.routes === undefined || this.routes.has(route);
  }
}
