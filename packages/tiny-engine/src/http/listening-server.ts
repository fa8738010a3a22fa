import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";

/** Where to listen. */
export interface ListenOptions {
  /** 0, the default, picks a free port. */
  readonly port?: number;
  /** Default 127.0.0.1. */
  readonly host?: string;
}

/** What takes over the socket of an `Upgrade` request, and its errors. */
export type UpgradeListener = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

/** A server that accepts connections. Closing it ends the connections that are open. */
export interface ListeningServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Serves `handle` over plain HTTP. Nothing but `handle` ever ends a slow request: a test decides how long it takes.
 *
 * @param upgrade Absent: an `Upgrade` request is served as if it asked for none.
 * @throws Error with Node's code (`EADDRINUSE`, `EACCES`) when the port cannot be opened.
 */
export async function listen(
  handle: (request: IncomingMessage, response: ServerResponse) => void,
  options: ListenOptions,
  upgrade?: UpgradeListener,
): Promise<ListeningServer> {
  // Half a connection's idle time elsewhere is 4 to 60 s, so a kept connection here outlives the client's.
  const server = createServer({ requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 75_000 }, handle);
  if (upgrade !== undefined) server.on("upgrade", upgrade);
  const host = options.host ?? "127.0.0.1";
  // Benchmarks open thousands of connections at once; the default backlog of 511 drops some of them.
  server.listen({ port: options.port ?? 0, host, backlog: 4096 });
  await once(server, "listening");
  const port = portOf(server);
  const close = async () => {
    if (!server.listening) return;
    server.close();
    server.closeAllConnections();
    await once(server, "close");
  };
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${port}`,
    port,
    close,
    [Symbol.asyncDispose]: close,
  };
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("The server has no port.");
  return address.port;
}
