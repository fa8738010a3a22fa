import { randomUUID } from "node:crypto";

import type { LinkState, TunnelClient } from "@tokilake/tunnel";

/** Which of the worker's connections one is. */
export interface Place {
  /** From 0. */
  readonly slot: number;
  /** The same for all: so the hub knows that they lead to one process. */
  readonly instanceId: string;
}

/** How many of the connections there are. */
export interface Connections {
  readonly open: number;
  /** How many there should be, as far as the hub is known. */
  readonly wanted: number;
  /** One that is missing was not tried twice yet: it may be there in a moment. */
  readonly isSettling: boolean;
}

export interface HubLinkOptions {
  readonly connections: number;
  /** Starts to dial. `onState` may be called before it returns. */
  connect(place: Place, onState: (state: LinkState) => void): TunnelClient;
  /** The link as a whole changed. */
  onChange(state: LinkState, connections: Connections): void;
}

const CONNECTING: LinkState = { is: "connecting", attempt: 0 };
const DRAINING: LinkState = { is: "draining" };

/**
 * All connections of a worker to its hub, as one. The first decides: while it is refused the others are not opened, and a
 * hub of version 1 gets no other. Once opened each lives by itself, so that one that is lost takes nothing else with it.
 */
export class HubLink {
  readonly #options: HubLinkOptions;
  readonly #instanceId = randomUUID();
  /** Both by slot. */
  readonly #clients: TunnelClient[] = [];
  readonly #states: LinkState[] = [];
  #wanted = 1;
  #isEnding = false;
  #told: { readonly state: LinkState; readonly connections: Connections } | undefined;

  constructor(options: HubLinkOptions) {
    this.#options = options;
    this.#open(0);
  }

  /** Connected when one of them is; else how the first one stands. Stopped when all are. */
  get state(): LinkState {
    const first = this.#states[0] ?? CONNECTING;
    if (first.is !== "stopped") return this.#isEnding ? DRAINING : (this.#states.find(isConnected) ?? first);
    const isOver = first.reason === "refused" || this.#states.every((state) => state.is === "stopped");
    return isOver ? first : DRAINING;
  }

  get connections(): Connections {
    return {
      open: this.#states.filter(isConnected).length,
      wanted: this.#wanted,
      isSettling: this.#states.some((state) => "attempt" in state && state.attempt < 2),
    };
  }

  /** On all of them: whichever is up tells the hub, and the hub takes what comes last. */
  update(details: unknown): void {
    for (const client of this.#clients) client.update(details);
  }

  /** See `TunnelClient.drain`. */
  async drain(options: { readonly graceMs: number }): Promise<void> {
    this.#isEnding = true;
    // The first one leaves last: what the hub opens meanwhile then finds a connection that still runs.
    await Promise.all(this.#clients.toReversed().map((client) => client.drain(options)));
  }

  close(): void {
    this.#isEnding = true;
    for (const client of this.#clients.toReversed()) client.close();
  }

  #open(slot: number): void {
    const place = { slot, instanceId: this.#instanceId };
    this.#clients[slot] = this.#options.connect(place, (state) => this.#onState(slot, state));
  }

  #onState(slot: number, state: LinkState): void {
    const was = this.#states[slot];
    this.#states[slot] = state;
    if (slot === 0 && state.is === "connected" && !this.#isEnding) {
      this.#wanted = state.version === 2 ? this.#options.connections : 1;
      this.#openOthers();
    }
    // How the last one was lost is why the link is down: the first may have been away for a while, for another reason.
    const isEndOfLink = was?.is === "connected" && state.is === "waiting" && !this.#states.some(isConnected);
    this.#tell(isEndOfLink ? state : this.state);
  }

  #openOthers(): void {
    for (let slot = 1; slot < this.#wanted; slot += 1) {
      const state = this.#states[slot];
      // One that an earlier hub refused gets another chance.
      if (state === undefined || state.is === "stopped") this.#open(slot);
    }
  }

  #tell(state: LinkState): void {
    const { connections } = this;
    const told = this.#told;
    const isSame =
      told?.state === state &&
      told.connections.open === connections.open &&
      told.connections.wanted === connections.wanted &&
      told.connections.isSettling === connections.isSettling;
    if (isSame) return;
    this.#told = { state, connections };
    this.#options.onChange(state, connections);
  }
}

function isConnected(state: LinkState): boolean {
  return state.is === "connected";
}
