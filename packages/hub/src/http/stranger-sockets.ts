import type { Socket } from "node:net";

/** Connections on which no valid key came yet. Above a limit the oldest of them make room. */
export const STRANGERS = {
  /** From one network, once `crowdMs` have passed. A client with a key is a stranger for some milliseconds only. */
  perNetwork: 1_024,
  /** A client may open thousands of connections before it says anything on the first: each has so long to show a key. */
  crowdMs: 1_000,
  /** From one network, in that time too. */
  perNetworkAtOnce: 4_096,
  /** From anywhere. Worst case: 160 MB; the rest of `maxConnections` is for those who showed a key. */
  inAll: 8_192,
} as const;

/**
 * Keeps strangers from taking all connections by opening many and saying nothing, slowly, or nothing that counts. The
 * oldest goes rather than the newest: who has a key shows it soon, so it is not among the oldest of a thousand.
 */
export class StrangerSockets {
  /** With its network; the oldest first. */
  readonly #networks = new Map<Socket, string>();
  readonly #byNetwork = new Map<string, Set<Socket>>();
  /** What is looked at again after `crowdMs`. */
  readonly #crowded = new Set<Set<Socket>>();

  get size(): number {
    return this.#networks.size;
  }

  /** A connection that was just taken. @param network Of the socket itself: no header came yet. */
  add(socket: Socket, network: string): void {
    const neighbours = this.#byNetwork.get(network) ?? new Set<Socket>();
    this.#networks.set(socket, network);
    this.#byNetwork.set(network, neighbours.add(socket));
    socket.once("close", () => this.welcome(socket));
    this.#closeOldest(neighbours, neighbours.size - STRANGERS.perNetworkAtOnce);
    this.#closeOldest(this.#networks.keys(), this.#networks.size - STRANGERS.inAll);
    if (neighbours.size > STRANGERS.perNetwork) this.#makeRoomSoon(neighbours);
  }

  /** It showed a valid key, or is closed. Twice is once. */
  welcome(socket: Socket): void {
    const network = this.#networks.get(socket);
    if (network === undefined) return;
    this.#networks.delete(socket);
    const neighbours = this.#byNetwork.get(network);
    neighbours?.delete(socket);
    if (neighbours?.size === 0) this.#byNetwork.delete(network);
  }

  #makeRoomSoon(neighbours: Set<Socket>): void {
    this.#crowded.add(neighbours);
    if (this.#crowded.size > 1) return;
    setTimeout(() => this.#makeRoom(), STRANGERS.crowdMs).unref();
  }

  #makeRoom(): void {
    for (const neighbours of this.#crowded) this.#closeOldest(neighbours, neighbours.size - STRANGERS.perNetwork);
    this.#crowded.clear();
  }

  #closeOldest(sockets: Iterable<Socket>, count: number): void {
    let left = count;
    for (const oldest of sockets) {
      if (left-- <= 0) return;
      this.welcome(oldest);
      oldest.destroy();
    }
  }
}
