import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

import { AppError } from "../errors.ts";
import { newId } from "../new-id.ts";
import { errorBody } from "./error-body.ts";

/** What takes over the socket of an `Upgrade` request, and its errors. */
export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

/**
 * Gives upgrades to the handler of their path, compared as it came, and refuses those of any other.
 *
 * @param now Epoch milliseconds, for the id of a refused request.
 */
export function upgrading(handlers: ReadonlyMap<string, UpgradeHandler>, now: () => number): UpgradeHandler {
  return (request, socket, head) => {
    const [path = ""] = (request.url ?? "").split("?", 1);
    const handler = handlers.get(path);
    if (handler === undefined) refuse(socket, newId("req", now()));
    else handler(request, socket, head);
  };
}

function refuse(socket: Duplex, requestId: string): void {
  const error = new AppError("unknown_url", "This address does not take WebSocket connections.");
  const body = JSON.stringify(errorBody(error));
  // The peer may be gone; there is nobody to tell then.
  socket.on("error", () => socket.destroy());
  socket.end(
    `HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n` +
      `x-request-id: ${requestId}\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}
