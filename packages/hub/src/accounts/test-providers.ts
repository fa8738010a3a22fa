import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { type Adapter, type AdapterPayload, type Configuration, Provider as OidcServer } from "oidc-provider";

/** Somebody at a provider, as the provider knows him. */
export interface PersonThere {
  readonly id: string;
  readonly email?: string;
  readonly isVerified?: boolean;
  readonly name?: string;
}

/** A provider on loopback, with a browser in which somebody is signed in there. */
export interface TestProvider extends AsyncDisposable {
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** Goes to the provider as a browser would, and returns what the provider adds to the hub's address. */
  visit(location: string, person: PersonThere): Promise<string>;
}

const CLIENT = { clientId: "hub", clientSecret: "a client's secret of good length" };

const SIGNING_KEY = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;

/** oidc-provider, certified by the OpenID foundation; it signs in whoever the test says and asks for no consent. */
export async function startOidcServer(redirectUri: string): Promise<TestProvider> {
  const people = new Map<string, PersonThere>();
  let person: PersonThere = { id: "" };
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const oidc = new OidcServer(issuer, configurationOf(redirectUri, people));
  const handle = oidc.callback();
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    if (request.url?.startsWith("/interaction/")) {
      void oidc.interactionFinished(request, response, { login: { accountId: person.id } });
      return;
    }
    void handle(request, response);
  });
  return {
    issuer,
    ...CLIENT,
    visit: (location, who) => {
      people.set(who.id, who);
      person = who;
      return follow(location, redirectUri);
    },
    [Symbol.asyncDispose]: () => closed(server),
  };
}

function configurationOf(redirectUri: string, people: ReadonlyMap<string, PersonThere>): Configuration {
  const kept = new Map<string, AdapterPayload>();
  return {
    clients: [
      {
        client_id: CLIENT.clientId,
        client_secret: CLIENT.clientSecret,
        redirect_uris: [redirectUri],
        token_endpoint_auth_method: "client_secret_post",
      },
    ],
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
    // Some providers put claims into the ID token, some behind the user-info endpoint: this one does the latter.
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_context, { uid }) => `/interaction/${uid}` },
    pkce: { required: () => true },
    cookies: { keys: ["test"] },
    // Without these it warns of its own ones.
    adapter: (kind: string) => memoryAdapter(kind, kept),
    jwks: { keys: [{ ...SIGNING_KEY.export({ format: "jwk" }), use: "sig", alg: "RS256" }] },
    ttl: { Session: 60, Interaction: 60, AuthorizationCode: 60, AccessToken: 60, IdToken: 60, Grant: 60 },
    findAccount: (_context, id) => ({
      accountId: id,
      claims: () => {
        const { email, isVerified, name } = people.get(id) ?? {};
        return { sub: id, ...(email && { email, email_verified: isVerified ?? true }), ...(name && { name }) };
      },
    }),
    loadExistingGrant: async (context) => {
      const { clientId } = context.oidc.client ?? {};
      const { accountId } = context.oidc.session ?? {};
      const grant = new context.oidc.provider.Grant({
        ...(clientId !== undefined && { clientId }),
        ...(accountId !== undefined && { accountId }),
      });
      grant.addOIDCScope("openid email profile");
      await grant.save();
      return grant;
    },
  };
}

/** What of GitHub a sign-in needs, as docs.github.com describes it ("Authorizing OAuth apps", "Emails"). */
export async function startFakeGithub(redirectUri: string): Promise<TestProvider & { readonly asked: string[] }> {
  const asked: string[] = [];
  const codes = new Map<string, { readonly challenge: string; readonly person: PersonThere }>();
  const tokens = new Map<string, PersonThere>();
  let person: PersonThere = { id: "0" };
  const json = (response: ServerResponse, value: unknown, status = 200): void => {
    response.writeHead(status, { "content-type": "application/json; charset=utf-8" }).end(JSON.stringify(value));
  };
  const authorize = (url: URL, response: ServerResponse): void => {
    const code = `code-${codes.size}`;
    codes.set(code, { challenge: url.searchParams.get("code_challenge") ?? "", person });
    const back = new URL(url.searchParams.get("redirect_uri") ?? "");
    back.searchParams.set("code", code);
    back.searchParams.set("state", url.searchParams.get("state") ?? "");
    response.writeHead(302, { location: back.href }).end();
  };
  const exchange = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const form = new URLSearchParams(Buffer.concat(await request.toArray()).toString());
    const kept = codes.get(form.get("code") ?? "");
    codes.delete(form.get("code") ?? "");
    const challenge = await s256(form.get("code_verifier") ?? "");
    if (kept?.challenge !== challenge || form.get("client_secret") !== CLIENT.clientSecret) {
      // GitHub says so with status 200.
      return json(response, { error: "bad_verification_code", error_description: "The code is incorrect or expired." });
    }
    const token = `gho_${tokens.size}`;
    tokens.set(token, kept.person);
    json(response, { access_token: token, token_type: "bearer", scope: "read:user,user:email" });
  };
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "", "http://fake");
    asked.push(url.pathname);
    if (url.pathname === "/login/oauth/authorize") return authorize(url, response);
    if (url.pathname === "/login/oauth/access_token") return void exchange(request, response);
    const known = tokens.get((request.headers.authorization ?? "").replace(/^bearer /i, ""));
    if (known === undefined) return json(response, { message: "Bad credentials" }, 401);
    if (url.pathname === "/api/v3/user") return json(response, { id: Number(known.id), login: "octocat", name: null });
    json(response, [
      { email: "other@example.com", primary: false, verified: true },
      ...(known.email ? [{ email: known.email, primary: true, verified: known.isVerified ?? true }] : []),
    ]);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    issuer: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ...CLIENT,
    asked,
    visit: (location, who) => {
      person = who;
      return follow(location, redirectUri);
    },
    [Symbol.asyncDispose]: () => closed(server),
  };
}

async function s256(verifier: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  return Buffer.from(digest).toString("base64url");
}

/** Follows redirects with cookies until the hub's address comes; returns its query. */
async function follow(location: string, redirectUri: string): Promise<string> {
  const cookies = new Map<string, string>();
  for (let url = new URL(location), hops = 0; hops < 10; hops += 1) {
    if (url.origin + url.pathname === redirectUri) return url.search;
    const cookie = [...cookies].map((pair) => pair.join("=")).join("; ");
    const response = await fetch(url, { redirect: "manual", headers: { cookie } });
    for (const set of response.headers.getSetCookie()) {
      const [name = "", value = ""] = set.split(";", 1)[0]?.split("=") ?? [];
      cookies.set(name, value);
    }
    const next = response.headers.get("location");
    if (next === null) throw new Error(`${url.pathname} answered ${response.status}: ${await response.text()}`);
    url = new URL(next, url);
  }
  throw new Error("too many redirects");
}

function closed(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => {
    server.close(() => resolve());
  });
}

/** What the provider keeps, for as long as it runs. @param kept Of all its adapters. */
function memoryAdapter(kind: string, kept: Map<string, AdapterPayload>): Adapter {
  const find = (id: string): Promise<AdapterPayload | undefined> => Promise.resolve(kept.get(`${kind} ${id}`));
  return {
    upsert: async (id, payload) => void kept.set(`${kind} ${id}`, payload),
    find,
    findByUid: async (uid) => kept.values().find((payload) => payload.uid === uid),
    findByUserCode: async () => undefined,
    consume: async (id) => {
      const payload = await find(id);
      if (payload !== undefined) kept.set(`${kind} ${id}`, { ...payload, consumed: Math.floor(Date.now() / 1000) });
    },
    destroy: async (id) => void kept.delete(`${kind} ${id}`),
    revokeByGrantId: async (grantId) => {
      for (const [key, payload] of kept) if (payload.grantId === grantId) kept.delete(key);
    },
  };
}
