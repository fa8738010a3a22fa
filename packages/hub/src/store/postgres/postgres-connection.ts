import { Socket } from "node:net";

import pg from "pg";

import type { StoreOptions } from "../store.ts";

/** PostgreSQL's number of the type bigint. */
const INT8 = 20;
/** And of what it makes of a sum of them. */
const NUMERIC = 1700;

/** A hub's queries are short; what takes longer waits for a lock that nobody gives back. */
const STATEMENT_TIMEOUT_MS = 30_000;
const CONNECT_TIMEOUT_MS = 5_000;

/** Connections of one hub. A query takes well under a millisecond; these are for those that wait for a disk. */
export const MAX_CONNECTIONS = 10;

/** The sockets of a store's connections, so that one whose other end does not answer can be ended all the same. */
export class OpenSockets {
  readonly #sockets = new Set<Socket>();

  open(): Socket {
    const socket = new Socket();
    this.#sockets.add(socket);
    return socket.once("close", () => this.#sockets.delete(socket));
  }

  /** Those that are still open after `ms`. Does not keep the process alive: sockets do. */
  destroyAfter(ms: number): void {
    setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, ms).unref();
  }
}

/** How each connection is made. Whole numbers come as numbers: times, counts and nano-credits stay below 2^53. */
export function connectionConfig(url: string, options: StoreOptions): pg.ClientConfig {
  return {
    connectionString: url,
    application_name: "tokilake",
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    // A line that dies without a word after the query went out: the server's own limit would never be heard.
    query_timeout: STATEMENT_TIMEOUT_MS + CONNECT_TIMEOUT_MS,
    lock_timeout: options.busyTimeoutMs ?? CONNECT_TIMEOUT_MS,
    idle_in_transaction_session_timeout: STATEMENT_TIMEOUT_MS,
    keepAlive: true,
    types: { getTypeParser: parserOf },
  };
}

// pg's own signature has an overload for each type; all of them are a function of what came.
function parserOf(
  ...[oid, format]: Parameters<typeof pg.types.getTypeParser>
): ReturnType<typeof pg.types.getTypeParser> {
  if (oid === INT8 || oid === NUMERIC) return wholeNumber;
  return pg.types.getTypeParser(oid, format);
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value))
    throw new RangeError(`The database holds ${text}, which is not a whole number below 2^53.`);
  return value;
}
