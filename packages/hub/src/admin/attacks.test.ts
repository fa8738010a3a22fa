import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, request as httpRequest } from "node:http";
import { after, before, test } from "node:test";

import { SCOPES } from "../identity/actor.ts";
import { newId } from "../new-id.ts";
import { revokeAccessTokensOf } from "../store/access-token-store.ts";
import { isSlugFree } from "../store/group-store.ts";
import { endSignInsOf } from "../store/sign-in-store.ts";
import { changeUser } from "../store/user-store.ts";
import { startTestAdmin, type TestAdmin } from "../test-admin.ts";
import { addressOf, operationsOf, type Operation } from "./matrix-operations.ts";
import { requestOf } from "./matrix-requests.ts";
import { Scene } from "./matrix-scene.ts";

const SAFE_METHODS: readonly string[] = ["GET"];

let admin: TestAdmin;
let operations: readonly Operation[];
let scenes = 0;
before(async () => {
  const trustedProxies = { networks: ["127.0.0.1"], header: "x-forwarded-for" } as const;
  admin = await startTestAdmin({ trustedProxies }, { keys: "stored" });
  operations = await operationsOf(admin);
});
after(() => admin[Symbol.asyncDispose]());

function openScene(): Promise<Scene> {
  scenes += 1;
  return Scene.open(admin, scenes);
}

/** `code param` of a refusal with its status; the status alone of what was done. */
async function answerOf(response: Response): Promise<string> {
  if (response.ok || response.status < 400) {
    await response.body?.cancel();
    return String(response.status);
  }
  const { error } = (await response.json()) as { error: { code: string; param: string | null } };
  return `${response.status} ${error.code}${error.param === null ? "" : ` ${error.param}`}`;
}

test("a page of another origin changes nothing at any route, signed in or not", { timeout: 120_000 }, async () => {
  const { people } = await openScene();
  const wrong: string[] = [];

  for (const operation of operations.filter(({ method }) => !SAFE_METHODS.includes(method))) {
    for (const site of ["cross-site", "same-site"]) {
      const scene = await openScene();
      const path = addressOf(operation, {});
      const headers = { "sec-fetch-site": site, origin: "https://evil.example" };
      const signedIn = await answerOf(await scene.browse(people.root, operation.method, path, { headers }));
      const nobody = await answerOf(await scene.browse(undefined, operation.method, path, { headers }));
      if (signedIn !== "403 forbidden") wrong.push(`${operation.name} of root: ${signedIn}`);
      const expected = operation.permission === "public" ? "403 forbidden" : "401 unauthenticated";
      if (nobody !== expected) wrong.push(`${operation.name} of nobody: ${nobody}`);
    }
  }

  assert.deepEqual(wrong, []);
});

test(
  "a field that a route does not have is refused by every route, in body and query",
  { timeout: 120_000 },
  async () => {
    const wrong: string[] = [];

    for (const operation of operations) {
      const scene = await openScene();
      const request = await requestOf(operation.name)(scene, "root");
      const owned = ["role", "owner_id", "user_id", "id", "version", "created_at_ms", "is_email_verified", "spent"];
      for (const field of owned.filter((each) => operation.fields?.includes(each) === false)) {
        const body = { ...(request.body as object), [field]: "root" };
        const path = addressOf(operation, request);
        const answer = await answerOf(
          await scene.browse(scene.people.root, operation.method, path, { ...request, body }),
        );
        if (answer !== `400 invalid_request ${field}`) wrong.push(`${operation.name} with ${field}: ${answer}`);
      }
      const path = `${addressOf(operation, { ...request, query: "" })}?owner=root`;
      const answer = await answerOf(await scene.browse(scene.people.root, operation.method, path, request));
      // What a provider adds to the address of its way back is its own.
      const isFree = operation.name === "GET /api/sign-in/providers/{name}/callback";
      const isRefused = /^400 (invalid_request|missing_required_parameter) /.test(answer);
      if (!isRefused && !isFree) wrong.push(`${operation.name}?owner: ${answer}`);
    }

    assert.deepEqual(wrong, []);
  },
);

test("ids that are none, or somebody else's kind, lead nowhere at any route", { timeout: 240_000 }, async () => {
  const wrong: string[] = [];
  const ids = [
    newId("group", Date.now()),
    "x",
    "' or 1=1 --",
    "../../users",
    "%00",
    "\u202e\u{1f600}",
    "a".repeat(64),
    "a".repeat(5_000),
    "__proto__",
    "null",
    "0",
  ];

  const withIds = operations.filter(({ path }) => /\{(\w*id|code)\}/.test(path));
  for (const operation of withIds) {
    const scene = await openScene();
    const request = await requestOf(operation.name)(scene, "root");
    for (const id of ids) {
      const params = Object.fromEntries(Object.keys(request.params ?? {}).map((name) => [name, id]));
      const path = addressOf(operation, { ...request, params });
      const answer = await answerOf(await scene.browse(scene.people.root, operation.method, path, request));
      if (!/^(404 not_found|400 invalid_request|429 rate_limit_exceeded)/.test(answer))
        wrong.push(`${operation.method} ${path}: ${answer}`);
    }
  }

  assert.deepEqual(wrong, []);
});

test("a token without a scope of a route is refused there, with all other scopes", { timeout: 240_000 }, async () => {
  const wrong: string[] = [];

  for (const operation of operations.filter(({ permission }) => permission !== "public")) {
    const scene = await openScene();
    const { root } = scene.people;
    const request = await requestOf(operation.name)(scene, "root");
    const path = addressOf(operation, request);
    const needed = operation.scope.split(" ");
    for (const lacking of needed) {
      const others = SCOPES.filter((scope) => scope !== lacking);
      const withOthers = await admin.call(await admin.tokenOf(root, others), operation.method, path, request);
      const refusal = await withOthers.text();
      if (withOthers.status !== 403 || !/token/i.test(refusal)) wrong.push(`${operation.name}: ${withOthers.status}`);
    }
    const own = SCOPES.filter((scope) => needed.includes(scope));
    if (own.length === 0) continue;
    const withOwn = await admin.call(await admin.tokenOf(root, own), operation.method, path, request);
    if (withOwn.status === 401) wrong.push(`${operation.name} with its scope: 401`);
    if (withOwn.status !== 403) {
      await withOwn.body?.cancel();
      continue;
    }
    if (/lacks the scope/.test(await withOwn.text())) wrong.push(`${operation.name} with its scope: lacks it`);
  }

  assert.deepEqual(wrong, []);
});

test("keys of the API and of workers are nobody at every route", { timeout: 120_000 }, async () => {
  const scene = await openScene();
  const worker = await scene.made("user", "/api/keys", { kind: "worker", name: "pc" });
  const client = await scene.made("member", "/api/keys", { kind: "api", name: "laptop", group_id: scene.groupId });
  const wrong: string[] = [];

  for (const operation of operations.filter(({ permission }) => permission !== "public")) {
    for (const key of [worker, client]) {
      const path = addressOf(operation, {});
      const response = await admin.call(String(key["secret"]), operation.method, path, {
        headers: { "x-forwarded-for": `10.200.0.${operations.indexOf(operation)}` },
      });
      const answer = await answerOf(response);
      if (answer !== "401 unauthenticated") wrong.push(`${operation.name}: ${answer}`);
    }
  }

  assert.deepEqual(wrong, []);
});

test("a request that was begun before its sign-in ended, its token was revoked, or its role was taken, does nothing", async () => {
  const ended = await admin.user("slow-cookie");
  const revoked = await admin.user("slow-token");
  const demoted = await admin.user("slow-admin", "admin");
  const nowMs = Date.now();
  const cases = [
    [
      { cookie: ended.cookie, "sec-fetch-site": "same-origin" },
      "/api/groups",
      { slug: "slow-group", name: "Slow" },
      () => endSignInsOf(admin.database.db, ended.id, nowMs),
      401,
    ],
    [
      { authorization: `Bearer ${revoked.token}` },
      "/api/groups",
      { slug: "slow-group", name: "Slow" },
      () => revokeAccessTokensOf(admin.database.db, revoked.id, nowMs),
      401,
    ],
    [
      { authorization: `Bearer ${demoted.token}` },
      "/api/users",
      { email: "slow@example.com" },
      () => admin.database.write((transaction) => changeUser(transaction, demoted.id, { role: "user" })),
      403,
    ],
  ] as const;
  const got: number[] = [];

  for (const [headers, path, body, takeAway] of cases) {
    const request = httpRequest(`${admin.url}${path}`, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json", expect: "100-continue" },
    });
    request.flushHeaders();
    // The hub asks for the body once it knows who asks, and that he may.
    await once(request, "continue");
    await takeAway();
    request.end(JSON.stringify(body));
    const [response] = (await once(request, "response")) as [IncomingMessage];
    response.resume();
    got.push(response.statusCode ?? 0);
  }

  assert.deepEqual(
    got,
    cases.map(([, , , , expected]) => expected),
  );
  assert.equal(await isSlugFree(admin.database.db, "slow-group"), true);
});

test("bodies that never end hold little memory, and keep nobody else from signing in", async () => {
  const slow = Array.from({ length: 70 }, () => {
    const headers = { "content-type": "application/json", "content-length": 65_536, "x-forwarded-for": "10.9.9.9" };
    const request = httpRequest(`${admin.url}/api/sign-in`, { method: "POST", headers });
    request.on("error", () => {});
    request.write(Buffer.alloc(65_535, " "));
    return request;
  });
  // 64 of them fill what one network may send at a time.
  const refused = await new Promise<number[]>((resolve) => {
    const statuses: number[] = [];
    for (const request of slow) {
      request.on("response", ({ statusCode = 0 }) => {
        if (statuses.push(statusCode) === 6) resolve(statuses);
      });
    }
  });
  const body = { email: "nobody@example.com", password: "correct horse battery" };
  const signIn = (network: string): Promise<Response> =>
    admin.call(undefined, "POST", "/api/sign-in", { body, headers: { "x-forwarded-for": network } });

  const elsewhere = await signIn("10.9.9.10");
  const large = await admin.call(undefined, "POST", "/api/sign-in", {
    body: { ...body, password: "x".repeat(65_536) },
  });
  for (const request of slow) request.destroy();

  assert.deepEqual(refused, Array(6).fill(429));
  assert.equal(elsewhere.status, 401);
  assert.equal(large.status, 413);
});

test("a request's Host is in no link, and opens no door to pages elsewhere", async () => {
  await using hub = await startTestAdmin({ publicUrl: "https://hub.example" });
  const scene = await Scene.open(hub, 1);
  const body = JSON.stringify({ group_id: scene.groupId, role: "member" });
  const asked = async (headers: Readonly<Record<string, string>>): Promise<{ status: number; text: string }> => {
    const sent = httpRequest(`${hub.url}/api/invites`, {
      method: "POST",
      headers: {
        cookie: scene.people.owner.cookie.replace("tokilake=", "__Host-tokilake="),
        "content-type": "application/json",
        ...headers,
      },
    }).end(body);
    const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
    sent.on("error", reject).on("response", (response) => {
      let text = "";
      response.on("data", (chunk: Buffer) => (text += chunk.toString()));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    return promise;
  };

  const answer = await asked({
    host: "evil.example",
    "x-forwarded-host": "evil.example",
    "sec-fetch-site": "same-origin",
  });
  const elsewhere = await asked({ origin: "https://evil.example" });
  const ours = await asked({ host: "127.0.0.1", origin: "https://hub.example" });

  assert.equal(answer.status, 201);
  assert.match(answer.text, /https:\/\/hub\.example\/join/);
  assert.doesNotMatch(answer.text, /evil/);
  assert.deepEqual([elsewhere.status, ours.status], [403, 201]);
});
