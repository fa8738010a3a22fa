import type { IncomingHttpHeaders } from "node:http";

import type { Headers } from "../channels/channel.ts";

/** Request headers that a worker may see. All else stays here, above all the client's key and cookies. */
const TO_WORKER = ["accept", "openai-beta", "traceparent", "user-agent"] as const;

/** Response headers that a client may see. Never `set-cookie`, `location` or `strict-transport-security`: workers are not trusted. */
const TO_CLIENT = new Set([
  "content-type",
  "content-disposition",
  "content-encoding",
  "content-language",
  "retry-after",
  "retry-after-ms",
  "x-should-retry",
]);
const LIMITS_PREFIX = "x-ratelimit-";

/** Sent with every head of an event stream, so that no proxy collects or changes it (nginx reads `x-accel-buffering`). */
export const SSE_HEADERS = ["cache-control", "no-cache, no-transform", "x-accel-buffering", "no"] as const;

/** What goes to the worker. `contentType`: what the body is, which is not always what the client called it. */
export function headersForWorker(from: IncomingHttpHeaders, contentType: string, requestId: string): Headers {
  return [["content-type", contentType], ["x-request-id", requestId], ...passedOn(from)];
}

/** What goes to the worker with a WebSocket handshake. */
export function headersForHandshake(
  from: IncomingHttpHeaders,
  protocols: readonly string[],
  requestId: string,
): Headers {
  const offer = protocols.length === 0 ? [] : [["sec-websocket-protocol", protocols.join(", ")] as const];
  return [...offer, ["x-request-id", requestId], ...passedOn(from)];
}

function passedOn(from: IncomingHttpHeaders): [string, string][] {
  const headers: [string, string][] = [];
  for (const name of TO_WORKER) {
    const value = from[name];
    if (typeof value === "string") headers.push([name, value]);
  }
  return headers;
}

/**
 * What goes to the client: names and values in turn.
 *
 * @param options.hidesLimits The hub tells limits of its own: those of the engine are not the client's then.
 */
export function headersForClient(from: Headers, options: { readonly hidesLimits: boolean }): string[] {
  const headers: string[] = [];
  for (const [name, value] of from) {
    const isLimit = name.startsWith(LIMITS_PREFIX) && !options.hidesLimits;
    const isAllowed = isLimit || TO_CLIENT.has(name) || name.startsWith("openai-");
    if (isAllowed && PRINTABLE.test(value)) headers.push(name, value);
  }
  return headers;
}

/** The value of the first header with that name. */
export function headerOf(headers: Headers, name: string): string | undefined {
  return headers.find(([each]) => each === name)?.[1];
}

/** `text/event-stream` of `text/event-stream; charset=utf-8`, in lower case. */
export function mediaTypeOf(contentType: string | undefined): string {
  // Asked four times a request, and nearly always this.
  if (contentType === "application/json") return contentType;
  return (contentType ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
}

// Anything else makes Node refuse the whole head.
const PRINTABLE = /^[\t\x20-\x7e\x80-\xff]*$/;
