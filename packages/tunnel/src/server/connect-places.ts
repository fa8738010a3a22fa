import type { TunnelLimits } from "../limits.ts";
import { RateLimit } from "../mux/rate-limit.ts";
import { TunnelRefusal } from "../tunnel-refusal.ts";

interface Owner {
  /** Connections of whatever state. */
  places: number;
  pending: number;
  readonly rate: RateLimit;
}

const RETRY_MS = 5000;

/**
 * Who takes up how many of the server's connections, from the upgrade to the end. Before authentication connections count
 * for the network they come from, behind it also for their owner: then whoever floods only finds his own places taken.
 */
export class ConnectPlaces {
  readonly #limits: TunnelLimits;
  readonly #pendingByNetwork = new Map<string, number>();
  readonly #owners = new Map<string, Owner>();
  #pending = 0;

  constructor(limits: TunnelLimits) {
    this.#limits = limits;
  }

  /** Connections that have not registered yet. */
  get pending(): number {
    return this.#pending;
  }

  /** @throws TunnelRefusal when too many are on their way in. */
  enter(network: string): Place {
    const { maxPendingSessions, maxPendingPerNetwork } = this.#limits;
    if (this.#pending >= maxPendingSessions) throw refusal(503, "busy", "too many are connecting");
    const pending = this.#pendingByNetwork.get(network) ?? 0;
    if (pending >= maxPendingPerNetwork) throw refusal(429, "busy", "too many are connecting from this address");
    this.#pending += 1;
    this.#pendingByNetwork.set(network, pending + 1);
    return new Place({
      take: (owner, nowMs) => this.#take(owner, nowMs),
      settle: (owner) => this.#settle(network, owner),
      free: (owner) => (owner.places -= 1),
    });
  }

  /** Forgets owners without a connection. Call it now and then. */
  prune(): void {
    for (const [name, owner] of this.#owners) if (owner.places === 0) this.#owners.delete(name);
  }

  #take(name: string, nowMs: number): Owner {
    const { maxPendingPerOwner, maxSessionsPerOwner, connectsPerSecondPerOwner, connectBurstPerOwner } = this.#limits;
    let owner = this.#owners.get(name);
    if (owner === undefined) {
      owner = { places: 0, pending: 0, rate: new RateLimit(connectsPerSecondPerOwner, connectBurstPerOwner) };
      this.#owners.set(name, owner);
    }
    if (owner.places >= maxSessionsPerOwner) {
      throw refusal(429, "too-many-sessions", "this key has as many connections as it may");
    }
    if (owner.pending >= maxPendingPerOwner || !owner.rate.take(nowMs)) {
      throw refusal(429, "too-fast", "too many connect with this key at the same time");
    }
    owner.places += 1;
    owner.pending += 1;
    return owner;
  }

  #settle(network: string, owner: Owner | undefined): void {
    this.#pending -= 1;
    if (owner !== undefined) owner.pending -= 1;
    const pending = (this.#pendingByNetwork.get(network) ?? 0) - 1;
    if (pending > 0) this.#pendingByNetwork.set(network, pending);
    else this.#pendingByNetwork.delete(network);
  }
}

interface PlaceOwner {
  /** @throws TunnelRefusal */
  take(name: string, nowMs: number): Owner;
  settle(owner: Owner | undefined): void;
  free(owner: Owner): void;
}

/** One connection's place. */
export class Place {
  readonly #places: PlaceOwner;
  #owner: Owner | undefined;
  #state: "pending" | "registered" | "left" = "pending";

  constructor(places: PlaceOwner) {
    this.#places = places;
  }

  /** It is known whose it is. Once. @throws TunnelRefusal when the owner has too many; the place must then be left. */
  claim(owner: string, nowMs: number): void {
    this.#owner = this.#places.take(owner, nowMs);
  }

  registered(): void {
    if (this.#state !== "pending") return;
    this.#state = "registered";
    this.#places.settle(this.#owner);
  }

  /** Twice is once. */
  leave(): void {
    if (this.#state === "left") return;
    if (this.#state === "pending") this.#places.settle(this.#owner);
    this.#state = "left";
    if (this.#owner !== undefined) this.#places.free(this.#owner);
  }
}

function refusal(status: number, code: string, message: string): TunnelRefusal {
  return new TunnelRefusal({ status, code, message, retryAfterMs: RETRY_MS });
}
