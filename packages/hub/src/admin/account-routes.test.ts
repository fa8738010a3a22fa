import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";

import type {
  PublicKeyCredentialCreationOptionsJSON,
  PublicKeyCredentialRequestOptionsJSON,
} from "@simplewebauthn/server";
import { generate } from "otplib/functional";

import type { AccountsSettings } from "../accounts/accounts.ts";
import { openProvider } from "../accounts/provider.ts";
import { resolveActor } from "../accounts/resolve-actor.ts";
import { firstRun } from "../accounts/set-up.ts";
import { SoftwareAuthenticator } from "../accounts/software-authenticator.ts";
import { PASSWORD, type TestAccounts, secretIn, testAccounts } from "../accounts/test-accounts.ts";
import { startOidcServer } from "../accounts/test-providers.ts";
import { ACCESS_TOKENS_ROUTES } from "./access-tokens-routes.ts";
import { ACCOUNT_ROUTES } from "./account-routes.ts";
import { createAdminApi } from "./admin-api.ts";
import { RateLimit } from "./rate-limit.ts";
import { SETUP_ROUTES } from "./setup-routes.ts";
import { SIGN_IN_ROUTES } from "./sign-in-routes.ts";
import { SIGN_INS_ROUTES } from "./sign-ins-routes.ts";
import { USERS_ROUTES } from "./users-routes.ts";

const ROUTES = [
  ...SETUP_ROUTES,
  ...SIGN_IN_ROUTES,
  ...ACCOUNT_ROUTES,
  ...SIGN_INS_ROUTES,
  ...ACCESS_TOKENS_ROUTES,
  ...USERS_ROUTES,
];
const ANN = { email: "ann@example.com", password: PASSWORD };

type Json = Readonly<Record<string, unknown>>;

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly json: Json;
  readonly headers: Headers;
}

test("somebody opens the link of a new hub, is root, and signs out again", async () => {
  await using hub = await startHub();
  const browser = hub.browser();
  const run = await firstRun(hub.accounts.deps, undefined);
  const token = run.is === "link" ? run.link.split("#")[1] : "";
  assert.equal((await browser.ask("GET", "/api/sign-in")).json["is_set_up"], false);

  const made = await browser.ask("POST", "/api/set-up", { token, email: "root@hub.example", password: PASSWORD });
  const account = await browser.ask("GET", "/api/account");
  const again = await browser.ask("POST", "/api/set-up", { token, email: "eve@hub.example", password: PASSWORD });

  assert.equal(made.status, 201);
  assert.match(
    made.headers.getSetCookie()[0] ?? "",
    /^__Host-tokilake=[\w-]{43}; Max-Age=7776000; Path=\/; HttpOnly; SameSite=Lax; Secure$/,
  );
  assert.doesNotMatch(made.text, new RegExp(browser.cookies.get("__Host-tokilake") ?? "none"));
  assert.deepEqual([account.json["role"], account.headers.get("etag")], ["root", '"1"']);
  assert.deepEqual([again.status, again.json["error"]], [400, { ...(again.json["error"] as Json), param: "token" }]);
  const cookie = browser.cookies.get("__Host-tokilake") ?? "";
  assert.equal((await browser.ask("POST", "/api/sign-out")).status, 204);
  assert.equal(browser.cookies.get("__Host-tokilake"), "");
  browser.cookies.set("__Host-tokilake", cookie);
  assert.equal((await browser.ask("GET", "/api/account")).status, 401);
});

test("a name that others see holds nothing that controls a terminal or turns the writing around", async () => {
  await using hub = await startHub();
  await hub.accounts.root();

  for (const name of ["\u001b[31mAnn", "Ann\nroot", "\u202etoor", "\u0000"]) {
    const refused = await hub.browser().ask("POST", "/api/register", { ...ANN, name });
    assert.deepEqual([refused.status, (refused.json["error"] as Json)["param"]], [400, "name"]);
  }
});

test("a person registers, verifies the address, signs in with both factors, and forgets the password", async () => {
  await using hub = await startHub();
  await hub.accounts.root();
  const browser = hub.browser();
  const registered = await browser.ask("POST", "/api/register", { ...ANN, name: "Ann" });
  assert.deepEqual([registered.status, registered.json["next"]], [202, "verify-email"]);
  const [mail] = await hub.accounts.mails();
  assert.equal(
    (await browser.ask("POST", "/api/verify-email", { token: secretIn(mail), password: PASSWORD })).status,
    204,
  );
  const signedIn = await browser.ask("POST", "/api/sign-in", { ...ANN, return_to: "/chat" });
  assert.deepEqual([signedIn.json["outcome"], signedIn.json["return_to"]], ["signed-in", "/chat"]);

  const { secret } = (await browser.ask("POST", "/api/account/second-factor")).json;
  const code = await codeOf(hub, secret);
  const confirmed = await browser.ask("POST", "/api/account/second-factor/confirm", { code });
  assert.equal((confirmed.json["secret"] as string[]).length, 10);
  assert.equal((await browser.ask("GET", "/api/account/second-factor")).json["is_on"], true);

  const other = hub.browser();
  assert.equal((await other.ask("POST", "/api/sign-in", ANN)).json["outcome"], "second-factor");
  assert.equal((await other.ask("GET", "/api/account")).status, 401);
  assert.equal((await other.ask("POST", "/api/sign-in/second-factor", { code })).status, 400);
  hub.accounts.pass(30_000);
  const next = await codeOf(hub, secret);
  assert.equal((await other.ask("POST", "/api/sign-in/second-factor", { code: next })).status, 200);
  assert.equal((await other.ask("GET", "/api/account")).status, 200);

  assert.equal((await other.ask("POST", "/api/reset-password/send", { email: ANN.email })).status, 202);
  const [reset] = await hub.accounts.mails();
  const password = "another good password";
  const set = await hub.browser().ask("POST", "/api/reset-password", { token: secretIn(reset), password });
  assert.equal(set.status, 204);
  for (const each of [browser, other]) assert.equal((await each.ask("GET", "/api/account")).status, 401);
  assert.equal((await browser.ask("POST", "/api/sign-in", ANN)).status, 401);
  assert.equal((await browser.ask("POST", "/api/sign-in", { ...ANN, password })).json["outcome"], "second-factor");
});

test("no answer tells whether an address is known", async () => {
  await using hub = await startHub();
  await hub.accounts.root();
  await hub.accounts.user("known@example.com");
  await hub.accounts.user("new@example.com", { isVerified: false });
  const asked = [
    ["/api/register", { password: PASSWORD, name: "X" }],
    ["/api/sign-in", { password: "a wrong password" }],
    ["/api/verify-email/send", {}],
    ["/api/reset-password/send", {}],
  ] as const;

  for (const [path, body] of asked) {
    const answers: string[] = [];
    for (const email of ["known@example.com", "new@example.com", "nobody@example.com"]) {
      const { status, text, headers } = await hub.browser().ask("POST", path, { ...body, email });
      const seen = [...headers].filter(([name]) => !["date", "x-request-id"].includes(name));
      answers.push(JSON.stringify([status, text, seen]));
    }
    assert.equal(new Set(answers).size, 1, `${path}: ${answers.join("\n")}`);
  }
});

test("a role, an id or a verified address cannot be slipped in (mass assignment)", async () => {
  await using hub = await startHub();
  await hub.accounts.root();
  const extras = [
    { role: "root" },
    { is_email_verified: true },
    { emailVerifiedAtMs: 1 },
    { id: "user_1" },
    { disabled_at_ms: null },
    { version: 9 },
  ];
  for (const extra of extras) {
    const registered = await hub.browser().ask("POST", "/api/register", { ...ANN, ...extra });
    assert.equal(registered.status, 400, JSON.stringify(extra));
  }
  await hub.accounts.user(ANN.email);
  const browser = await signedIn(hub, ANN);
  for (const extra of extras) {
    const changed = await browser.ask("PATCH", "/api/account", { name: "Ann", ...extra }, { "if-match": '"1"' });
    assert.equal(changed.status, 400, JSON.stringify(extra));
  }
  const proto = await browser.ask("PATCH", "/api/account", '{"name":"A","__proto__":{"role":"root"}}', {
    "if-match": '"1"',
  });
  assert.equal(proto.status, 400);
  const account = await browser.ask("GET", "/api/account");
  assert.deepEqual([account.json["role"], account.json["name"]], ["user", ""]);
});

test("pages of other sites cannot sign in, out or change anything for a browser (CSRF)", async () => {
  await using hub = await startHub();
  await hub.accounts.root();
  await hub.accounts.user(ANN.email);
  const browser = await signedIn(hub, ANN);
  const elsewhere = { "sec-fetch-site": "cross-site", origin: "https://evil.example" };

  for (const [method, path, body] of [
    ["POST", "/api/sign-in", ANN],
    ["POST", "/api/sign-out", undefined],
    ["POST", "/api/sign-ins/end-others", undefined],
    ["PUT", "/api/account/password", { password: "another good password" }],
    ["POST", "/api/register", ANN],
  ] as const) {
    assert.equal((await browser.ask(method, path, body, elsewhere)).status, 403, path);
    assert.equal((await browser.ask(method, path, body, { ...elsewhere, "sec-fetch-site": "same-site" })).status, 403);
  }
  assert.equal((await browser.ask("GET", "/api/account")).status, 200);
});

test("a secret that was put into the browser before is not the one it is signed in with (session fixation)", async () => {
  await using hub = await startHub();
  await hub.accounts.root();
  await hub.accounts.user(ANN.email);
  const browser = hub.browser();
  const planted = "A".repeat(43);
  browser.cookies.set("__Host-tokilake", planted);

  await browser.ask("POST", "/api/sign-in", ANN);

  assert.notEqual(browser.cookies.get("__Host-tokilake"), planted);
  const attacker = hub.browser();
  attacker.cookies.set("__Host-tokilake", planted);
  assert.equal((await attacker.ask("GET", "/api/account")).status, 401);
  // Without the prefix a neighbour of the same domain could set it.
  attacker.cookies.clear();
  attacker.cookies.set("tokilake", browser.cookies.get("__Host-tokilake") ?? "");
  assert.equal((await attacker.ask("GET", "/api/account")).status, 401);
});

test("a link in a mail is made of the public address, whatever Host says", async () => {
  await using hub = await startHub();
  await hub.accounts.root();
  await hub.accounts.user(ANN.email);

  const body = JSON.stringify({ email: ANN.email });
  const headers = { host: "evil.example", "x-forwarded-host": "evil.example", "content-type": "application/json" };
  const request = httpRequest(`${hub.url}/api/reset-password/send`, { method: "POST", headers });
  request.end(body);
  const [response] = await once(request, "response");
  response.resume();

  const [mail] = await hub.accounts.mails();
  assert.match(mail?.text ?? "", /https:\/\/hub\.example\/reset-password#/);
  assert.doesNotMatch(mail?.text ?? "", /evil/);
});

test("a passkey is made, signs in, confirms, and is removed", async () => {
  await using hub = await startHub();
  await hub.accounts.root();
  await hub.accounts.user(ANN.email);
  const browser = await signedIn(hub, ANN);
  const device = new SoftwareAuthenticator("https://hub.example");
  const creation = (await browser.ask("POST", "/api/account/passkeys/options")).json["options"];
  const response = {
    ...device.create(creation as PublicKeyCredentialCreationOptionsJSON),
    // Browsers say more than is asked for.
    authenticatorAttachment: "platform",
    clientExtensionResults: { credProps: { rk: true } },
  };
  const kept = await browser.ask("POST", "/api/account/passkeys", { response, name: "phone" });
  assert.equal(kept.status, 201);

  const other = hub.browser();
  const request = async (): Promise<unknown> => {
    const { options } = (await other.ask("POST", "/api/sign-in/passkey/options")).json;
    return device.get(options as PublicKeyCredentialRequestOptionsJSON);
  };
  assert.equal((await other.ask("POST", "/api/sign-in/passkey", { response: await request() })).status, 200);
  hub.accounts.pass(16 * 60_000);
  const remove = (): Promise<Answer> => other.ask("DELETE", `/api/account/passkeys/${String(kept.json["id"])}`);
  assert.equal(((await remove()).json["error"] as Json)["code"], "confirmation_required");
  assert.equal((await other.ask("POST", "/api/sign-in/confirm/passkey", { response: await request() })).status, 204);
  assert.equal((await remove()).status, 204);
});

test("coming back from a provider leads to a page of this hub, also when it failed", async () => {
  await using server = await startOidcServer("https://hub.example/api/sign-in/providers/corp/callback");
  const { issuer, clientId, clientSecret } = server;
  await using hub = await startHub({}, [openProvider({ name: "corp", label: "Corp", issuer, clientId, clientSecret })]);
  await hub.accounts.root();
  const browser = hub.browser();
  const path = "/api/sign-in/providers/corp";
  const goThere = async (returnTo: string): Promise<string> => {
    const { location } = (await browser.ask("POST", path, { return_to: returnTo })).json;
    return server.visit(String(location), { id: "1", email: "ann@example.com" });
  };

  const query = await goThere("/groups");
  const back = await browser.ask("GET", `${path}/callback${query}`);
  assert.deepEqual([back.status, back.headers.get("location")], [303, "https://hub.example/groups"]);
  assert.equal((await browser.ask("GET", "/api/account")).json["email"], "ann@example.com");
  const replayed = await browser.ask("GET", `${path}/callback${query}`);
  assert.equal(replayed.headers.get("location"), "https://hub.example/sign-in?error=unauthenticated");
  const open = await browser.ask("GET", `${path}/callback${await goThere("//evil.example/")}`);
  assert.equal(open.headers.get("location"), "https://hub.example/");
  const wild = await browser.ask("GET", `${path}/callback?state=a&state=b&next=https://evil.example`);
  assert.equal(wild.headers.get("location"), "https://hub.example/sign-in?error=unauthenticated");
  const ways = await browser.ask("GET", "/api/sign-in");
  assert.deepEqual(ways.json["providers"], [{ name: "corp", label: "Corp" }]);
  assert.ok(!ways.text.includes(clientSecret));
});

test("a token does what its scopes say and nothing about who one is", async () => {
  await using hub = await startHub();
  await hub.accounts.root();
  await hub.accounts.user(ANN.email);
  const browser = await signedIn(hub, ANN);
  const wanted = { name: "script", scopes: ["account"], expires_at_ms: null };
  const made = await browser.ask("POST", "/api/access-tokens", wanted, { "idempotency-key": "0123456789abcdef" });
  const again = await browser.ask("POST", "/api/access-tokens", wanted, { "idempotency-key": "0123456789abcdef" });
  const authorization = `Bearer ${String(made.json["secret"])}`;
  const script = (method: string, path: string, body?: unknown, more: Record<string, string> = {}): Promise<Answer> =>
    hub.browser().ask(method, path, body, { authorization, ...more });

  assert.equal(made.status, 201);
  assert.equal(again.text, made.text);
  assert.equal((await script("GET", "/api/account")).status, 200);
  assert.equal((await script("PATCH", "/api/account", { name: "Robot" }, { "if-match": '"1"' })).status, 200);
  assert.ok(!(await script("GET", "/api/access-tokens")).text.includes(String(made.json["secret"])));
  for (const [method, path, body] of [
    ["POST", "/api/access-tokens", wanted],
    ["PUT", "/api/account/password", { password: "another good password" }],
    ["POST", "/api/account/email", { email: "eve@example.com" }],
    ["POST", "/api/account/second-factor", undefined],
    ["POST", "/api/account/passkeys/options", undefined],
    ["POST", "/api/account/linked-accounts", { provider: "corp" }],
    ["POST", "/api/sign-in/confirm", { password: PASSWORD }],
    ["POST", "/api/sign-ins/end-others", undefined],
    ["POST", "/api/sign-out", undefined],
    ["GET", "/api/users", undefined],
  ] as const) {
    assert.equal((await script(method, path, body)).status, 403, `${method} ${path}`);
  }
  assert.equal(
    (await hub.browser().ask("GET", `/api/account?access_token=${String(made.json["secret"])}`)).status,
    401,
  );
  const revoked = await browser.ask("DELETE", `/api/access-tokens/${String(made.json["id"])}`);
  assert.equal(revoked.status, 204);
  assert.equal((await script("GET", "/api/account")).status, 401);
});

test("an administrator keeps somebody out and in, and cannot touch root", async () => {
  await using hub = await startHub();
  const root = await hub.accounts.root();
  const ann = await hub.accounts.user(ANN.email);
  await hub.accounts.user("admin@example.com", { role: "admin" });
  const browser = await signedIn(hub, { email: "admin@example.com", password: PASSWORD });
  const anns = await signedIn(hub, ANN);
  const list = await browser.ask("GET", "/api/users?search=example&role=user&is_disabled=false");
  assert.deepEqual(
    (list.json["data"] as Json[]).map(({ email }) => email),
    ["ann@example.com"],
  );
  assert.doesNotMatch((await browser.ask("GET", "/api/users")).text, /hash|argon|totp|pat-/);

  const change = (id: string, body: object, version = 1): Promise<Answer> =>
    browser.ask("PATCH", `/api/users/${id}`, body, { "if-match": `"${version}"` });
  const out = await change(ann.id, { is_disabled: true });
  assert.deepEqual([out.status, out.headers.get("etag")], [200, '"2"']);
  assert.equal((await anns.ask("GET", "/api/account")).status, 401);
  assert.equal((await change(ann.id, { is_disabled: false })).status, 412);
  assert.equal((await change(ann.id, { is_disabled: false }, 2)).status, 200);
  assert.equal((await anns.ask("POST", "/api/sign-in", ANN)).status, 200);
  assert.equal((await anns.ask("GET", "/api/users")).status, 403);
  assert.equal((await anns.ask("GET", `/api/users/${root.user.id}`)).status, 404);

  const rootPath = `/api/users/${root.user.id}`;
  assert.equal((await change(root.user.id, { is_disabled: true })).status, 403);
  assert.equal((await browser.ask("PUT", `${rootPath}/role`, { role: "user" }, { "if-match": '"1"' })).status, 403);
  assert.equal((await browser.ask("POST", `${rootPath}/reset-link`)).status, 403);
  assert.equal((await browser.ask("DELETE", `${rootPath}/second-factor`)).status, 403);
  assert.equal((await browser.ask("POST", "/api/users", { email: "b@example.com", role: "root" })).status, 403);
  const sent = await browser.ask("POST", `/api/users/${ann.id}/reset-link`);
  assert.deepEqual([sent.status, sent.text], [202, '{"object":"accepted"}']);
});

interface TestHub extends AsyncDisposable {
  readonly accounts: TestAccounts;
  readonly url: string;
  browser(): Browser;
}

/** A page of the hub in a browser that keeps cookies. */
class Browser {
  readonly cookies = new Map<string, string>();
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  /** @param body Sent as JSON; text as it is. */
  async ask(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    const cookie = [...this.cookies].map((pair) => pair.join("=")).join("; ");
    const response = await fetch(this.#url + path, {
      method,
      redirect: "manual",
      headers: {
        ...(cookie !== "" && { cookie }),
        ...(body !== undefined && { "content-type": "application/json" }),
        "sec-fetch-site": "same-origin",
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    for (const set of response.headers.getSetCookie()) {
      const [name = "", value = ""] = set.split(";", 1)[0]?.split("=") ?? [];
      this.cookies.set(name, value);
    }
    const text = await response.text();
    const json = text === "" ? {} : (JSON.parse(text) as Json);
    return { status: response.status, text, json, headers: response.headers };
  }
}

async function startHub(
  settings: Partial<AccountsSettings> = {},
  providers: Parameters<typeof testAccounts>[1] = [],
): Promise<TestHub> {
  const accounts = await testAccounts(settings, providers);
  const { deps, cookies } = accounts;
  const api = createAdminApi({
    routes: ROUTES,
    services: { accounts: deps },
    actorOf: (headers, address) => resolveActor({ ...deps, cookies }, headers, address),
    addresses: { of: () => ({ ip: "127.0.0.1", network: "127.0.0.1" }) },
    onKnown: () => {},
    limits: new RateLimit(() => performance.now()),
    changes: new RateLimit(() => performance.now()),
    publicOrigin: deps.publicUrl.origin,
    caughtUp: async () => {},
    db: deps.database.db,
    log: deps.log,
    now: deps.now,
  });
  await api.ready();
  const server = createServer((request, response) => api.handle(request, response, { waits: false }));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    accounts,
    url,
    browser: () => new Browser(url),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await accounts[Symbol.asyncDispose]();
    },
  };
}

async function signedIn(hub: TestHub, who: { readonly email: string; readonly password: string }): Promise<Browser> {
  const browser = hub.browser();
  assert.equal((await browser.ask("POST", "/api/sign-in", who)).json["outcome"], "signed-in");
  return browser;
}

function codeOf(hub: TestHub, secret: unknown): Promise<string> {
  return generate({ secret: String(secret), epoch: Math.floor(hub.accounts.deps.now() / 1000) });
}
