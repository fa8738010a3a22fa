import { Stop } from "../exit-code.ts";

/** What an invite's link says. */
export interface JoinLink {
  /** Where the hub is: scheme, host, and the path before `/join`, without a slash at its end. */
  readonly hub: URL;
  readonly code: string;
}

/**
 * Reads `https://hub/join#CODE`. With the code behind a slash, as some type it, it is read as well.
 *
 * @throws Stop "config"
 */
export function parseJoinLink(link: string): JoinLink {
  const url = URL.canParse(link) ? new URL(link) : undefined;
  const [, before, inPath] = /^(.*)\/join(?:\/([^/]*))?\/?$/.exec(url?.pathname ?? "") ?? [];
  // A page may have put more behind the code.
  // A code has letters, digits and hyphens: nothing of it is ever encoded.
  const code = url?.hash.slice(1).split("&")[0] || inPath;
  if (url === undefined || before === undefined || !["http:", "https:"].includes(url.protocol) || !code) {
    throw new Stop("config", "this is no invite link; it looks like https://hub.example.com/join#7H2K-9QXM-0B3C-V8TZ");
  }
  const hub = new URL(before === "" ? "/" : before, url.origin);
  return { hub, code };
}

/** A page or route of the hub. */
export function atHub({ hub }: Pick<JoinLink, "hub">, path: string): URL {
  return new URL(`${hub.pathname.replace(/\/$/, "")}${path}`, hub.origin);
}

/** Where the worker connects: as short as the hub's address allows. */
export function gatewayUrlOf({ hub }: JoinLink): string {
  const socket = hub.protocol === "https:" ? "wss:" : "ws:";
  const path = hub.pathname === "/" ? "" : atHub({ hub }, "/api/tokilake/connect").pathname;
  return `${socket}//${hub.host}${path}`;
}
