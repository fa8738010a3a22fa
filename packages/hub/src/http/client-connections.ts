import type { Server } from "node:http";
import type { Socket } from "node:net";

/** The open connections of clients, busy or idle. One that became a WebSocket, a worker's tunnel too, is none any more. */
export class ClientConnections {
  readonly #sockets = new Set<Socket>();

  constructor(server: Server) {
    server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
    // Node's types say Duplex, as somebody may emit the event himself; a server's own is the socket of the connection.
    server.prependListener("upgrade", (_request, socket) => this.#sockets.delete(socket as Socket));
  }

  get size(): number {
    return this.#sockets.size;
  }
}
