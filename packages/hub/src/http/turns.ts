import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** A connection on which more requests wait is not read, until fewer do. What one read gave may be some more. */
export const MAX_WAITING_REQUESTS = 64;

/**
 * Begins each request of a connection when the one in front of it is answered.
 *
 * Answers leave in order (RFC 9112 §9.3.2), so to begin earlier gains little. It would run what nobody can be told, as the
 * answer in front may end the connection, and keep whole answers in memory behind a slow one.
 */
export class Turns {
  readonly #newest = new WeakMap<Socket, ServerResponse>();
  readonly #waiting = new WeakMap<Socket, number>();

  /** Calls `begin` now or later, or never when the connection ends before: whoever sent the request may send it again. */
  take({ socket }: IncomingMessage, response: ServerResponse, begin: () => void): void {
    const before = this.#newest.get(socket);
    this.#newest.set(socket, response);
    if (before === undefined || before.closed) return begin();
    this.#count(socket, 1);
    before.once("close", () => {
      this.#count(socket, -1);
      if (!socket.destroyed && !socket.writableEnded) begin();
    });
  }

  #count(socket: Socket, change: 1 | -1): void {
    const waiting = (this.#waiting.get(socket) ?? 0) + change;
    this.#waiting.set(socket, waiting);
    // Not now: at the end of each request Node reads on.
    if (waiting > MAX_WAITING_REQUESTS) process.nextTick(() => this.#holdBack(socket));
    else if (change < 0 && waiting === MAX_WAITING_REQUESTS) socket.resume();
  }

  #holdBack(socket: Socket): void {
    if ((this.#waiting.get(socket) ?? 0) > MAX_WAITING_REQUESTS) socket.pause();
  }
}
