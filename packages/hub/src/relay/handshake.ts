import type { IncomingHttpHeaders } from "node:http";

import { AppError } from "../errors.ts";

/** What a client says in its handshake besides the address. */
export interface Handshake {
  /** As in the header `Authorization`, wherever the key came from. */
  readonly authorization: string | undefined;
  /** Subprotocols that may be shown to a worker, in the client's order. */
  readonly protocols: readonly string[];
}

/** How a browser, which cannot set headers, sends its key (OpenAI, "Realtime API", WebSocket in browsers). */
const KEY_PREFIX = "openai-insecure-api-key.";
/** Others of that kind: they say who the client is. */
const PRIVATE_PREFIXES = [KEY_PREFIX, "openai-organization.", "openai-project."];
const REALTIME = "realtime";
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const MAX_PROTOCOLS = 16;

/** @throws AppError `invalid_request` when the list of subprotocols is none. */
export function readHandshake(headers: IncomingHttpHeaders): Handshake {
  const list = headers["sec-websocket-protocol"];
  const offered = list === undefined ? [] : list.split(",").map((name) => name.trim());
  const isValid = offered.every((name) => TOKEN.test(name)) && new Set(offered).size === offered.length;
  if (!isValid || offered.length > MAX_PROTOCOLS) {
    throw new AppError("invalid_request", "The header sec-websocket-protocol is not a list of subprotocols.");
  }
  const key = offered.find((name) => name.startsWith(KEY_PREFIX))?.slice(KEY_PREFIX.length);
  return {
    authorization: headers.authorization ?? (key === undefined ? undefined : `Bearer ${key}`),
    protocols: offered.filter((name) => !PRIVATE_PREFIXES.some((prefix) => name.startsWith(prefix))),
  };
}

/**
 * The subprotocol for the client. Never one that it did not offer. An engine that takes none leaves it to us: browsers end
 * a connection whose offer nobody took, and what is spoken here is `realtime`.
 */
export function chooseProtocol(offered: readonly string[], chosen: string | undefined): string | undefined {
  if (chosen !== undefined && offered.includes(chosen)) return chosen;
  return offered.includes(REALTIME) ? REALTIME : undefined;
}
