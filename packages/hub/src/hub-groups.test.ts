import assert from "node:assert/strict";
import { test } from "node:test";

import { startTestAdmin, type TestAdmin, type TestUser } from "./test-admin.ts";

type Json = Readonly<Record<string, unknown>>;

interface Answer {
  readonly status: number;
  readonly etag: string;
  readonly body: Json;
  /** `status code` of a refusal. */
  readonly refusal: string;
}

test("Ada makes a group, invites Bob, and he is in it; nobody else sees it", async () => {
  await using admin = await startTestAdmin();
  const [ada, bob, cyd] = [await admin.user("ada"), await admin.user("bob"), await admin.user("cyd")];

  const group = await made(admin, ada, "friends");
  const invite = await ask(admin, ada, "POST /api/invites", { body: { group_id: group["id"], max_uses: 2 } });
  const code = String(invite.body["secret"]);
  const offer = await ask(admin, undefined, "POST /api/invites/preview", { body: { code } });
  const redeemed = await ask(admin, bob, "POST /api/invites/redeem", { body: { code } });
  const again = await ask(admin, bob, "POST /api/invites/redeem", { body: { code } });

  assert.equal(invite.status, 201);
  assert.equal(invite.body["link"], `http://localhost:${admin.hub.port}/join#${code}`);
  assert.deepEqual(
    [offer.body["role"], offer.body["invited_by"], (offer.body["group"] as Json)["slug"]],
    ["member", "ada", "friends"],
  );
  assert.deepEqual(
    [redeemed.body["outcome"], redeemed.body["role"], again.body["outcome"]],
    ["redeemed", "member", "already-member"],
  );
  const path = `/api/groups/${String(group["id"])}`;
  const [forBob, forCyd] = [await ask(admin, bob, `GET ${path}`), await ask(admin, cyd, `GET ${path}`)];
  assert.deepEqual([forBob.body["my_role"], forBob.body["may_manage"]], ["member", false]);
  assert.equal(forCyd.refusal, "404 not_found");
  const uses = await ask(admin, ada, `GET /api/invites/${String(invite.body["id"])}/uses`);
  assert.deepEqual(
    (uses.body["data"] as Json[]).map(({ user_id: id }) => id),
    ["user_bob"],
  );
  const mine = await ask(admin, bob, "GET /api/groups?limit=1");
  assert.deepEqual(
    (mine.body["data"] as Json[]).map(({ slug }) => slug),
    ["friends"],
  );
});

test("a group is changed and deleted by the version that was seen", async () => {
  await using admin = await startTestAdmin();
  const ada = await admin.user("ada");
  const path = `/api/groups/${String((await made(admin, ada, "friends"))["id"])}`;
  const patch = (ifMatch: string | undefined): Promise<Answer> =>
    ask(admin, ada, `PATCH ${path}`, { body: { slug: "pals", member_limits: { concurrency: 2 } }, ifMatch });

  const without = await patch(undefined);
  const changed = await patch('"1"');
  const stale = await patch('"1"');
  const preview = await ask(admin, ada, `GET ${path}/deletion-preview`);
  const tooEarly = await ask(admin, ada, `DELETE ${path}`, { ifMatch: '"1"' });
  const deleted = await ask(admin, ada, `DELETE ${path}`, { ifMatch: preview.etag });

  assert.deepEqual(
    [without.refusal, stale.refusal, tooEarly.refusal],
    ["428 precondition_required", "412 precondition_failed", "412 precondition_failed"],
  );
  assert.deepEqual([changed.body["slug"], changed.etag], ["pals", '"2"']);
  assert.deepEqual(changed.body["member_limits"], {
    requests_per_minute: null,
    tokens_per_minute: null,
    concurrency: 2,
  });
  assert.deepEqual([preview.etag, preview.body["members"], preview.body["keys"]], ['"2"', 1, 0]);
  assert.equal(deleted.status, 204);
  assert.equal((await ask(admin, ada, `GET ${path}`)).refusal, "404 not_found");
});

test("nobody gives themselves a role, an owner or a kind by a field of a body", async () => {
  await using admin = await startTestAdmin();
  const [ada, bob] = [await admin.user("ada"), await admin.user("bob")];
  const group = await made(admin, ada, "friends");
  const path = `/api/groups/${String(group["id"])}`;
  await join(admin, ada, bob, group);
  const asBob = async (method: string, at: string, body: object): Promise<string> =>
    (await ask(admin, bob, `${method} ${at}`, { body, ifMatch: '"1"' })).refusal;

  assert.equal(
    await asBob("POST", "/api/groups", { slug: "mine", name: "x", owner_id: "user_ada" }),
    "400 invalid_request",
  );
  assert.equal(
    await asBob("POST", "/api/groups", { slug: "mine", name: "x", kind: "operator" }),
    "400 invalid_request",
  );
  assert.equal(await asBob("POST", "/api/groups", { slug: "mine", name: "x", kind: "public" }), "403 forbidden");
  assert.equal(await asBob("PATCH", path, { owner_id: "user_bob" }), "400 invalid_request");
  assert.equal(await asBob("PATCH", `${path}/members/user_bob`, { role: "owner" }), "400 invalid_request");
  assert.equal(await asBob("PATCH", `${path}/members/user_bob`, { role: "provider" }), "403 forbidden");
  assert.equal(await asBob("PUT", `${path}/members/user_bob`, { role: "provider" }), "403 forbidden");
  assert.equal(await asBob("POST", `${path}/transfer`, { user_id: "user_bob" }), "403 forbidden");
  assert.equal(
    await asBob("POST", "/api/invites/redeem", { code: "0000-0000-0000-0000", role: "owner" }),
    "400 invalid_request",
  );
  assert.equal(await asBob("POST", "/api/invites", { group_id: group["id"], role: "owner" }), "400 invalid_request");
  assert.equal(await asBob("POST", "/api/invites", { group_id: group["id"], uses: -5 }), "400 invalid_request");
});

test("the owner limits, removes, bans and lets back in", async () => {
  await using admin = await startTestAdmin();
  const [ada, bob] = [await admin.user("ada"), await admin.user("bob")];
  const group = await made(admin, ada, "friends");
  const member = `/api/groups/${String(group["id"])}/members/user_bob`;
  await join(admin, ada, bob, group);

  const limited = await ask(admin, ada, `PATCH ${member}`, {
    body: { limits: { requests_per_minute: 5 }, expires_at_ms: 4_000_000_000_000 },
    ifMatch: '"1"',
  });
  const removed = await ask(admin, ada, `DELETE ${member}`);
  const gone = await ask(admin, bob, `GET /api/groups/${String(group["id"])}`);
  const banned = await ask(admin, ada, `POST ${member}/ban`);
  const listed = await ask(admin, ada, `GET /api/groups/${String(group["id"])}/members`);
  const unbanned = await ask(admin, ada, `DELETE ${member}/ban`);

  assert.deepEqual(
    [limited.body["expires_at_ms"], (limited.body["limits"] as Json)["requests_per_minute"]],
    [4_000_000_000_000, 5],
  );
  assert.deepEqual([removed.status, gone.refusal, banned.body["status"]], [204, "404 not_found", "banned"]);
  assert.deepEqual(
    (listed.body["data"] as Json[]).map(({ email, status }) => [email, status]),
    [
      ["ada@example.com", "active"],
      ["bob@example.com", "banned"],
    ],
  );
  assert.equal(unbanned.body["status"], "removed");
});

test("a machine joins with a link: its person says yes, and it has a worker key", async () => {
  await using admin = await startTestAdmin();
  const [ada, bob] = [await admin.user("ada"), await admin.user("bob")];
  const group = await made(admin, ada, "friends");
  const body = { group_id: group["id"], role: "provider" };
  const code = String((await ask(admin, ada, "POST /api/invites", { body })).body["secret"]);
  const machine = { code, machine: "gaming-pc" };

  const started = await ask(admin, undefined, "POST /api/invites/join-worker", { body: machine });
  const poll = { body: { secret: started.body["secret"] } };
  const waiting = await ask(admin, undefined, "POST /api/device-joins/poll", poll);
  const tooEarly = await ask(admin, undefined, "POST /api/device-joins/poll", poll);
  const at = `/api/device-joins/${String(started.body["user_code"])}`;
  const seen = await ask(admin, bob, `GET ${at}`);
  const confirmed = await ask(admin, bob, `POST ${at}/confirm`);

  assert.deepEqual(
    [started.status, waiting.body["state"], tooEarly.refusal],
    [201, "waiting", "429 rate_limit_exceeded"],
  );
  assert.deepEqual(
    [seen.body["machine"], seen.body["state"], confirmed.body["state"]],
    ["gaming-pc", "waiting", "confirmed"],
  );
  assert.equal((await ask(admin, undefined, `GET ${at}`)).refusal, "401 unauthenticated");
  assert.equal((await ask(admin, bob, `POST ${at}/refuse`)).refusal, "409 conflict");
});

test("with a token a machine joins in one step, and the same request again makes no second key", async () => {
  await using admin = await startTestAdmin();
  const [ada, bob] = [await admin.user("ada"), await admin.user("bob")];
  const group = await made(admin, ada, "friends");
  const invite = { group_id: group["id"], role: "provider" };
  const code = String((await ask(admin, ada, "POST /api/invites", { body: invite })).body["secret"]);
  const body = { code, machine: "rack" };
  const headers = { "idempotency-key": "join-rack-0001-abcdef" };

  const joined = await ask(admin, bob, "POST /api/invites/redeem-worker", { body, headers });
  const again = await ask(admin, bob, "POST /api/invites/redeem-worker", { body, headers });
  const refusals: (string | undefined)[] = [];
  // It joins a group and makes a key: a token that may do one of the two may not do both.
  for (const scopes of [["keys:write"], ["groups:write"], ["groups:read", "keys:read"]] as const) {
    const token = await admin.tokenOf(bob, scopes);
    refusals.push((await ask(admin, token, "POST /api/invites/redeem-worker", { body })).refusal);
  }

  assert.equal(joined.status, 201);
  assert.match(String(joined.body["secret"]), /^wk-/);
  assert.deepEqual(again.body, joined.body);
  assert.deepEqual(refusals, Array(3).fill("403 forbidden"));
  const keys = await admin.database.db
    .selectFrom("keys")
    .select(["owner_id", "rules"])
    .where("name", "=", "rack")
    .execute();
  assert.deepEqual(
    keys.map(({ owner_id: owner, rules }) => [owner, rules]),
    [["user_bob", JSON.stringify({ serveGroups: [group["id"]] })]],
  );
});

test("serving in a public group: asked for, approved, and who serves what is seen", async () => {
  await using admin = await startTestAdmin();
  const [bob, root] = [await admin.user("bob"), await admin.user("root", "root")];
  const open = await made(admin, root, "all-of-us", "public");
  const path = `/api/groups/${String(open["id"])}`;

  const asked = await ask(admin, bob, `POST ${path}/provider-requests`, { body: { note: "two 4090s" } });
  const waiting = await ask(admin, root, `GET ${path}/provider-requests`);
  const decision = `${path}/provider-requests/${String(asked.body["id"])}/decision`;
  const own = await ask(admin, bob, `POST ${decision}`, { body: { decision: "approved" } });
  const approved = await ask(admin, root, `POST ${decision}`, { body: { decision: "approved" } });
  const seen = await ask(admin, bob, `GET ${path}`);

  assert.deepEqual(
    (waiting.body["data"] as Json[]).map(({ note }) => note),
    ["two 4090s"],
  );
  assert.equal(own.refusal, "403 forbidden");
  assert.deepEqual([approved.body["decision"], seen.body["my_role"]], ["approved", "provider"]);
  const lists = [await ask(admin, bob, `GET ${path}/workers`), await ask(admin, bob, `GET ${path}/model-names`)];
  assert.deepEqual(
    lists.map(({ body }) => body["data"]),
    [[], []],
  );
  const names = { body: { model: "llama", also: ["*"] } };
  assert.equal((await ask(admin, root, `PUT ${path}/model-names`, names)).refusal, "404 not_found");
  assert.equal((await ask(admin, bob, `DELETE ${path}/model-names?model=llama`)).refusal, "404 not_found");
});

test("a code that is wrong costs a try, and its answer says nothing of other codes", async () => {
  await using admin = await startTestAdmin();
  const bob = await admin.user("bob");
  const guess = (): Promise<Answer> =>
    ask(admin, bob, "POST /api/invites/redeem", { body: { code: "0000-0000-0000-0000" } });

  const tries: string[] = [];
  for (let i = 0; i < 11; i += 1) tries.push((await guess()).refusal);

  assert.deepEqual(tries, [...Array(10).fill("404 not_found"), "429 rate_limit_exceeded"]);
});

async function ask(
  admin: TestAdmin,
  who: TestUser | string | undefined,
  /** `GET /api/groups` */
  request: string,
  init: {
    readonly body?: object;
    readonly ifMatch?: string | undefined;
    readonly headers?: Readonly<Record<string, string>>;
  } = {},
): Promise<Answer> {
  const [method = "", path = ""] = request.split(" ");
  const { body, ifMatch, headers } = init;
  const response = await admin.call(who, method, path, {
    ...(body !== undefined && { body }),
    headers: { ...(ifMatch !== undefined && { "if-match": ifMatch }), ...headers },
  });
  const text = await response.text();
  const parsed = (text === "" ? {} : JSON.parse(text)) as Json;
  const error = parsed["error"] as { readonly code: string } | undefined;
  const { status } = response;
  return {
    status,
    etag: response.headers.get("etag") ?? "",
    body: parsed,
    refusal: error === undefined ? "none" : `${status} ${error.code}`,
  };
}

async function made(admin: TestAdmin, owner: TestUser, slug: string, kind = "private"): Promise<Json> {
  const { status, body } = await ask(admin, owner, "POST /api/groups", { body: { slug, name: slug, kind } });
  assert.equal(status, 201);
  return body;
}

async function join(admin: TestAdmin, owner: TestUser, guest: TestUser, group: Json): Promise<void> {
  const { body } = await ask(admin, owner, "POST /api/invites", { body: { group_id: group["id"] } });
  const redeemed = await ask(admin, guest, "POST /api/invites/redeem", { body: { code: body["secret"] } });
  assert.equal(redeemed.status, 200);
}
