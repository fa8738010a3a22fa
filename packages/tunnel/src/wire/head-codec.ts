import { WIRE_LIMITS } from "../limits.ts";
import { TunnelError } from "../tunnel-error.ts";
import type { HeaderPairs, ResponseHead, StreamOpening } from "../tunnel-stream.ts";

const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
const METHOD = /^[A-Z][A-Z-]{0,31}$/;
// eslint-disable-next-line no-control-regex -- these are what we look for
const FORBIDDEN_IN_VALUE = /[\0\r\n]/;
// eslint-disable-next-line no-control-regex -- these are what we look for
const FORBIDDEN_IN_PATH = /[\u0000-\u0020\u007f]/;
const REPLACEMENT_CHARACTER = "\uFFFD";
const MAX_ID_LENGTH = 256;

/** The JSON of an OPEN. @throws TunnelError "protocol" or "too-large" when the peer would refuse it. */
export function encodeOpening(opening: StreamOpening): string {
  checkOpening(opening);
  return bounded(
    JSON.stringify({
      k: opening.kind ?? "http",
      id: opening.requestId,
      t: opening.target,
      m: opening.method,
      p: opening.path,
      q: opening.query,
      h: opening.headers,
      len: opening.bodyLength,
      model: opening.model,
      cls: opening.priority === "bulk" ? 2 : 1,
      dl: opening.deadlineMs,
      ct: opening.connectTimeoutMs,
      tp: opening.traceparent,
    }),
    WIRE_LIMITS.maxPayloadBytes,
  );
}

/** @throws TunnelError "protocol", "too-large", or "unsupported" for a kind that we do not serve. */
export function decodeOpening(payload: Buffer): StreamOpening {
  const wire = parseObject(payload);
  const kind = wire["k"];
  if (kind !== "http" && kind !== "ws") throw new TunnelError("unsupported", { message: "OPEN of an unknown kind" });
  const opening = {
    ...(kind === "ws" && { kind: "ws" as const }),
    requestId: text(wire["id"], "id"),
    target: text(wire["t"], "t"),
    method: text(wire["m"], "m"),
    path: text(wire["p"], "p"),
    query: text(wire["q"] ?? "", "q"),
    headers: headerPairs(wire["h"]),
    priority: wire["cls"] === 2 ? ("bulk" as const) : ("interactive" as const),
    ...optional("bodyLength", wire["len"], wholeNumber),
    ...optional("model", wire["model"], text),
    ...optional("deadlineMs", wire["dl"], wholeNumber),
    ...optional("connectTimeoutMs", wire["ct"], wholeNumber),
    ...optional("traceparent", wire["tp"], text),
  };
  checkOpening(opening);
  return opening;
}

/** The JSON of a HEAD. @throws TunnelError as {@link encodeOpening}. */
export function encodeResponseHead(head: ResponseHead): string {
  checkStatus(head.status);
  checkHeaders(head.headers);
  return bounded(JSON.stringify({ s: head.status, h: head.headers }), WIRE_LIMITS.maxPayloadBytes);
}

/** @throws TunnelError "protocol" or "too-large". */
export function decodeResponseHead(payload: Buffer): ResponseHead {
  const wire = parseObject(payload);
  const status = wire["s"];
  checkStatus(status);
  const headers = headerPairs(wire["h"]);
  checkHeaders(headers);
  return { status, headers };
}

/** The JSON of TRAILERS. @throws TunnelError "too-large". */
export function encodeTrailers(trailers: Readonly<Record<string, unknown>>): string {
  return bounded(JSON.stringify(trailers), WIRE_LIMITS.trailersBytes);
}

/** A JSON object of a peer, of bounded size. @throws TunnelError "protocol" or "too-large". */
export function decodeTrailers(payload: Buffer): Readonly<Record<string, unknown>> {
  if (payload.length > WIRE_LIMITS.trailersBytes) throw new TunnelError("too-large", { message: "TRAILERS" });
  return parseObject(payload);
}

/** @throws TunnelError "protocol" when it is not one JSON object in valid UTF-8. The size must be checked before. */
export function parseObject(payload: Buffer): Record<string, unknown> {
  const value = parseJson(payload);
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw malformed("not a JSON object");
  // An object that is no array: its keys are strings, its values whatever JSON allows.
  return value as Record<string, unknown>;
}

/** Whether no value lies deeper than `depth`: what works on the value later may recurse. */
export function isShallow(value: unknown, depth: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  if (depth === 0) return false;
  return Object.values(value).every((inner) => isShallow(inner, depth - 1));
}

function parseJson(payload: Buffer): unknown {
  const json = payload.toString("utf8");
  // Decoding replaces bad bytes; only a text with such a character is worth the slow, strict check.
  if (json.includes(REPLACEMENT_CHARACTER) && !Buffer.from(json).equals(payload)) throw malformed("not UTF-8");
  try {
    return JSON.parse(json);
  } catch {
    throw malformed("not JSON");
  }
}

function checkOpening(opening: StreamOpening): void {
  if (opening.path.length + opening.query.length > WIRE_LIMITS.pathLength) throw tooLarge("path");
  if (opening.requestId.length > MAX_ID_LENGTH || opening.target.length > MAX_ID_LENGTH) throw tooLarge("id or target");
  if (!METHOD.test(opening.method)) throw malformed("method");
  if (!opening.path.startsWith("/") || FORBIDDEN_IN_PATH.test(opening.path)) throw malformed("path");
  if (FORBIDDEN_IN_PATH.test(opening.query)) throw malformed("query");
  checkHeaders(opening.headers);
}

function checkStatus(status: unknown): asserts status is number {
  if (typeof status !== "number" || !Number.isInteger(status) || status < 100 || status > 599) {
    throw malformed("status");
  }
}

function checkHeaders(headers: HeaderPairs): void {
  if (headers.length > WIRE_LIMITS.headerPairs) throw tooLarge("header pairs");
  for (const [name, value] of headers) {
    if (name.length > WIRE_LIMITS.headerNameLength) throw tooLarge("header name");
    if (value.length > WIRE_LIMITS.headerValueLength) throw tooLarge("header value");
    if (!NAME.test(name)) throw malformed("header name");
    if (FORBIDDEN_IN_VALUE.test(value)) throw malformed("header value");
  }
}

function headerPairs(value: unknown): HeaderPairs {
  if (!Array.isArray(value)) throw malformed("headers");
  for (const pair of value) {
    if (!Array.isArray(pair) || pair.length !== 2) throw malformed("header pair");
    if (typeof pair[0] !== "string" || typeof pair[1] !== "string") throw malformed("header pair");
  }
  // Every element was just seen to be a pair of strings.
  return value as unknown as HeaderPairs;
}

function optional<K extends string, V>(
  key: K,
  value: unknown,
  read: (value: unknown, name: string) => V,
): { readonly [key in K]?: V } {
  if (value === undefined || value === null) return {};
  // A computed key widens to string; it is K.
  return { [key]: read(value, key) } as { readonly [key in K]?: V };
}

function text(value: unknown, name: string): string {
  if (typeof value !== "string") throw malformed(name);
  return value;
}

function wholeNumber(value: unknown, name: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw malformed(name);
  return value;
}

function bounded(json: string, maxBytes: number): string {
  // A UTF-16 unit is at most three bytes, so most texts need no count.
  if (json.length * 3 > maxBytes && Buffer.byteLength(json) > maxBytes) throw tooLarge("head");
  return json;
}

function malformed(what: string): TunnelError {
  return new TunnelError("protocol", { message: `malformed: ${what}` });
}

function tooLarge(what: string): TunnelError {
  return new TunnelError("too-large", { message: `too large: ${what}` });
}
