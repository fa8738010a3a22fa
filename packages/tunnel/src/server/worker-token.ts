import type { IncomingMessage } from "node:http";

const BEARER = /^Bearer +([^\s]+) *$/i;
const V1_AUTHORIZATION = /^(?:Bearer +)?([^\s]+) *$/i;
/** Where the original looks, in its order, when there is no header. */
const QUERY_NAMES = ["access_token", "token"];

/** The token of `Authorization: Bearer`. */
export function bearerToken(request: IncomingMessage): string | undefined {
  return BEARER.exec(request.headers.authorization ?? "")?.[1];
}

/**
 * The token of a v1 worker: `Authorization` with or without `Bearer`, else the query. As it was sent: the original cuts a
 * leading "sk-" off, because its database holds keys without; whoever checks the key knows better what it looks like.
 */
export function v1Token(request: IncomingMessage): { readonly token: string; readonly isInUrl: boolean } | undefined {
  const header = V1_AUTHORIZATION.exec((request.headers.authorization ?? "").trim())?.[1];
  if (header !== undefined) return { token: header, isInUrl: false };
  const query = new URLSearchParams((request.url ?? "").split("?").slice(1).join("?"));
  for (const name of QUERY_NAMES) {
    const token = query.get(name)?.trim();
    if (token !== undefined && token !== "") return { token, isInUrl: true };
  }
  return undefined;
}
