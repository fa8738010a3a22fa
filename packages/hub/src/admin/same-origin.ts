import type { IncomingHttpHeaders } from "node:http";

import { AppError } from "../errors.ts";

/** Methods that change nothing (RFC 9110 §9.2.1): a page elsewhere may cause them, and cannot read the answer. */
const SAFE_METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

export interface OriginCheck {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  /** Scheme, host and port that people use; undefined: only the `Host` of the request is known. */
  readonly publicOrigin: string | undefined;
  /** A browser sends a cookie by itself, so a request with one must show that a page of ours sent it. */
  readonly usesCookie: boolean;
}

/**
 * Refuses what a page of somebody else's makes a browser send (cross-site request forgery). Browsers say where a request comes
 * from in `Sec-Fetch-Site` (Fetch Metadata), older ones in `Origin`; a page can change neither. With neither of them there
 * is no browser, and a cookie has no business there: scripts have tokens.
 *
 * @throws AppError `forbidden`
 */
export function checkSameOrigin({ method, headers, publicOrigin, usesCookie }: OriginCheck): void {
  if (SAFE_METHODS.has(method)) return;
  const site = headers["sec-fetch-site"];
  if (site === "same-origin" || site === "none") return;
  if (site === undefined && headers.origin === undefined) {
    if (!usesCookie) return;
    throw new AppError(
      "forbidden",
      "A request with the sign-in cookie must come from a page of this hub. Scripts send a personal access token.",
    );
  }
  if (site === undefined && isOurs(headers, publicOrigin)) return;
  throw new AppError("forbidden", "This request came from a page of another origin.");
}

function isOurs({ origin, host }: IncomingHttpHeaders, publicOrigin: string | undefined): boolean {
  if (origin === undefined || host === undefined) return false;
  return origin === publicOrigin || origin === `http://${host}` || origin === `https://${host}`;
}
