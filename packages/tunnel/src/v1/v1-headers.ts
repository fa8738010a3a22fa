import { WIRE_LIMITS } from "../limits.ts";
import type { HeaderPairs } from "../tunnel-stream.ts";

const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
// eslint-disable-next-line no-control-regex -- these are what we look for
const FORBIDDEN_IN_VALUE = /[\0\r\n]/;
/**
 * Of the connection, not of the message (RFC 9110 §7.6.1). And `set-cookie`: several of them, joined with commas as v1
 * does, cannot be told apart.
 */
const DROPPED = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "set-cookie",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** v1's object of headers: names as Go writes them, several values of one name joined with ", ". */
export function encodeHeaders(headers: HeaderPairs): Readonly<Record<string, string>> {
  const joined = new Map<string, string>();
  for (const [name, value] of headers) {
    if (DROPPED.has(name) || value === "") continue;
    const known = joined.get(name);
    joined.set(name, known === undefined ? value : `${known}, ${value}`);
  }
  return Object.fromEntries([...joined].map(([name, value]) => [canonicalName(name), value]));
}

/** The pairs of such an object. What cannot stand in a head is left out, as are empty names and values. */
export function decodeHeaders(wire: Readonly<Record<string, unknown>> | undefined): HeaderPairs {
  const pairs: (readonly [string, string])[] = [];
  for (const key of Object.keys(wire ?? {})) {
    const name = key.toLowerCase();
    const value = wire?.[key];
    if (typeof value !== "string" || value === "" || value.length > WIRE_LIMITS.headerValueLength) continue;
    if (name.length > WIRE_LIMITS.headerNameLength || !NAME.test(name) || DROPPED.has(name)) continue;
    if (!FORBIDDEN_IN_VALUE.test(value)) pairs.push([name, value]);
    if (pairs.length === WIRE_LIMITS.headerPairs) break;
  }
  return pairs;
}

/** "content-type" as "Content-Type". */
function canonicalName(name: string): string {
  return name.replaceAll(/(?:^|-)[a-z]/g, (start) => start.toUpperCase());
}
