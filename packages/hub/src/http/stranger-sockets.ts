import type { Socket } from "node:net";

/** Connections on which no valid key came yet. One more makes room: the oldest of them is closed. */
export const STRANGERS = {
  /** From one network. A client with a key is a stranger for some milliseconds only. */
  perNetwork: 1_024,
  /** From anywhere. Worst case: 160 MB; the rest of `maxConnections` is for those who showed a key. */
  inAll: 8_192,
} as const;

/**
 * Keeps strangers from taking all connections by opening many and saying nothing, slowly, or nothing that counts. The
 * oldest goes rather than the newest: who has a key shows it at once, so it is never the oldest of a thousand.
 */
export class StrangerSockets {
  /** With its network; the oldest first. */
  readonly #networks = new Map<Socket, string>();
  readonly #byNetwork = new Map<string, Set<Socket>>();

  get size(): number {
    return this.#networks.size;
  }

  /** A connection that was just taken. @param network Of the socket itself: no header came yet. */
  add(socket: Socket, network: string): void {
    const neighbours = this.#byNetwork.get(network) ?? new Set<Socket>();
    if (neighbours.size >= STRANGERS.perNetwork) this.#closeOldest(neighbours);
    if (this.#networks.size >= STRANGERS.inAll) this.#closeOldest(this.#networks.keys());
    this.#networks.set(socket, network);
    this.#byNetwork.set(network, neighbours.add(socket));
    socket.once("close", () => this.welcome(socket));
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

  #closeOldest(sockets: Iterable<Socket>): void {
    for (const oldest of sockets) {
      this.welcome(oldest);
      oldest.destroy();
      return;
    }
  }
}
