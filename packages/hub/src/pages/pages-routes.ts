import { hash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";

import { AppError } from "../errors.ts";
import type { Exchange } from "../http/exchange.ts";
import type { Route } from "../http/router.ts";

/**
 * Nothing but the hub's own files, no script or style within a page, and no frame around it. What the pages know they ask the admin
 * API for; whoever has none of its secrets learns nothing here.
 */
const HEADERS = [
  "content-security-policy",
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy",
  "same-origin",
  "referrer-policy",
  "no-referrer",
  "cache-control",
  // Asked for again each time, and answered 304: after an update no page meets a script from before.
  "no-cache",
] as const;

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

interface Asset {
  readonly contentType: string;
  readonly bytes: Buffer;
  readonly etag: string;
}

/** What all pages have around their sections. */
const FRAME = "frame.html";

/**
 * The few pages that links of the hub lead to: `NAME.html` of this folder at `/NAME`, the rest below `/pages/`. Read once, now. Their
 * addresses are relative, so that a hub may stand below a path.
 */
export function pageRoutes(): readonly Route[] {
  const names = readdirSync(import.meta.dirname).filter((name) => extname(name) in TYPES && name !== FRAME);
  return [...names.map(assetRoute), HOME, JOIN_WITH_CODE];
}

function assetRoute(name: string): Route {
  const extension = extname(name);
  const bytes = extension === ".html" ? pageOf(name) : readFileSync(join(import.meta.dirname, name));
  const asset = {
    contentType: TYPES[extension] ?? "",
    bytes,
    etag: `"${hash("sha256", bytes, "base64url").slice(0, 22)}"`,
  };
  const path = extension === ".html" ? `/${name.slice(0, -extension.length)}` : `/pages/${name}`;
  return { method: "GET", path, handler: (exchange) => answerAsset(exchange, asset) };
}

/** A page of a title, in its first line, and sections. */
function pageOf(name: string): Buffer {
  const [frame, page] = [FRAME, name].map((file) => readFileSync(join(import.meta.dirname, file), "utf8"));
  const [, title, sections] = /^<title>(.+)<\/title>\n([^]+)$/.exec(page ?? "") ?? [];
  if (frame === undefined || title === undefined || sections === undefined) throw new Error(`${name} has no title`);
  const parts: Readonly<Record<string, string>> = { title, sections, name: name.slice(0, -".html".length) };
  return Buffer.from(frame.replaceAll(/\{\{(\w+)\}\}/g, (_all, part: string) => parts[part] ?? ""));
}

function answerAsset({ request, reply }: Exchange, { contentType, bytes, etag }: Asset): void {
  if (request.headers["if-none-match"] === etag) {
    reply.head(304, [...HEADERS, "etag", etag]);
    return reply.end();
  }
  const about = ["content-type", contentType, "content-length", String(bytes.length), "etag", etag];
  reply.head(200, [...HEADERS, ...about]);
  reply.end(request.method === "HEAD" ? undefined : bytes);
}

/** People who type the hub's address see a page; programs get the error that they can read. */
const HOME: Route = {
  method: "GET",
  path: "/",
  handler: ({ request, reply }) => {
    if (request.headers.accept?.includes("text/html") !== true) {
      throw new AppError("unknown_url", "There is nothing here but a page for people. The API is below /v1/.");
    }
    reply.head(303, [...HEADERS, "location", "account", "vary", "accept"]);
    reply.end();
  },
};

/** For those who write an invite's code behind a slash: out of the address that later requests name. */
const JOIN_WITH_CODE: Route = {
  method: "GET",
  path: "/join/*",
  handler: ({ path, reply }) => {
    const code = path.slice("/join/".length);
    if (!/^[\w-]{1,64}$/.test(code)) throw new AppError("unknown_url", "This is no invite's link.");
    reply.head(303, [...HEADERS, "location", `../join#${code}`]);
    reply.end();
  },
};
