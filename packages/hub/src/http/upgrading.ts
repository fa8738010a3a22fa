import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

import { AppError } from "../errors.ts";
import { errorBody } from "./error-body.ts";

/** What takes over the socket of an `Upgrade` request, and its errors. */
export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

/** Gives upgrades of `path` to `handler`, and refuses those of any other. */
export function upgrading(path: string, handler: UpgradeHandler): UpgradeHandler {
  return (request, socket, head) => {
    const [asked] = (request.url ?? "").split("?", 1);
    if (asked === path) handler(request, socket, head);
    else refuse(socket);
  };
}

function refuse(socket: Duplex): void {
  const error = new AppError("unknown_url", "This address does not take WebSocket connections.");
  const body = JSON.stringify(errorBody(error));
  // The peer may be gone; there is nobody to tell then.
  socket.on("error", () => socket.destroy());
  socket.end(
    `HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n` +
      `connection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}
