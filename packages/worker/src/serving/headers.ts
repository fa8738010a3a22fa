import type { HeaderPairs } from "@tokilake/tunnel";

/** What a client may tell the engine. The hub has its own list; this is the owner's. */
const REQUEST_HEADERS = new Set(["accept", "content-type", "openai-beta", "traceparent", "user-agent", "x-request-id"]);

/** One hop only (RFC 9110 §7.6.1), or able to reveal the engine's address or to act in the hub's name. */
const DROPPED_FROM_ANSWER = new Set([
  "alt-svc",
  "connection",
  "content-location",
  "keep-alive",
  "link",
  "location",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "refresh",
  "set-cookie",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "www-authenticate",
]);

/**
 * Headers of the request to the engine. The owner's headers win over the client's, the API key over both.
 *
 * Compressed answers are not asked for: the hub reads usage from the bytes that pass.
 */
export function engineRequestHeaders(
  fromHub: HeaderPairs,
  owner: Readonly<Record<string, string>>,
  apiKey: readonly [name: string, value: string] | undefined,
): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of fromHub) if (REQUEST_HEADERS.has(name)) headers[name] = value;
  for (const [name, value] of Object.entries(owner)) headers[name.toLowerCase()] = value;
  if (apiKey !== undefined) headers[apiKey[0].toLowerCase()] = apiKey[1];
  headers["accept-encoding"] = "identity";
  return headers;
}

/** @param raw Names and values by turns, as undici gives them. */
export function answerHeaders(raw: readonly (Buffer | string)[]): HeaderPairs {
  const pairs: [string, string][] = [];
  const named = new Set<string>();
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = latin1(raw[at]).toLowerCase();
    const value = latin1(raw[at + 1]).trim();
    if (name === "connection") for (const item of value.split(",")) named.add(item.trim().toLowerCase());
    pairs.push([name, value]);
  }
  return pairs.filter(([name]) => !DROPPED_FROM_ANSWER.has(name) && !named.has(name));
}

export function headerOf(pairs: HeaderPairs, name: string): string | undefined {
  return pairs.find(([key]) => key === name)?.[1];
}

function latin1(value: Buffer | string | undefined): string {
  return typeof value === "string" ? value : (value?.toString("latin1") ?? "");
}
