/**
 * Cross-origin access for browser apps. They send their key in a header, never a cookie, so any origin may call: without
 * the key nothing is given, and a browser attaches no credential by itself. Only `/v1` answers so.
 */
export const CORS_HEADERS: readonly string[] = [
  "access-control-allow-origin",
  "*",
  "access-control-expose-headers",
  "x-request-id, x-tokilake-worker, server-timing, retry-after, openai-processing-ms",
];

/** Whether a response to this request needs `CORS_HEADERS`. */
export function isCrossOrigin(path: string, origin: string | undefined): boolean {
  return origin !== undefined && path.startsWith("/v1/");
}

/** What a preflight is answered with besides `CORS_HEADERS`. The browser may keep it for a day; it asks for what it wants to send. */
export function preflightHeaders(allow: string, requested: string | undefined): string[] {
  return [
    "access-control-allow-methods",
    allow,
    "access-control-allow-headers",
    requested !== undefined && HEADER_NAMES.test(requested) ? requested : "authorization, content-type",
    "access-control-max-age",
    "86400",
  ];
}

const HEADER_NAMES = /^[a-zA-Z0-9_, -]{1,1000}$/;
