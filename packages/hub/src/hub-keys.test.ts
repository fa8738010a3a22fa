import assert from "node:assert/strict";
import { test } from "node:test";

import type { TunnelStream } from "@tokilake/tunnel";

import { KEYS_ROUTES } from "./admin/keys-routes.ts";
import { startTestAdmin, type TestAdmin, type TestUser } from "./test-admin.ts";
import { answerJson, beginEvents, delta, writeEvent } from "./test-hub.ts";

const CHAT = "/v1/chat/completions";

type Json = Readonly<Record<string, unknown>>;

interface Answer {
  readonly status: number;
  readonly etag: string;
  readonly body: Json;
  /** `status code param` of a refusal. */
  readonly refusal: string;
}

async function ask(
  admin: TestAdmin,
  who: TestUser | string | undefined,
  /** `GET /api/keys` */
  request: string,
  init: { readonly body?: object; readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<Answer> {
  const [method = "", path = ""] = request.split(" ");
  const response = await admin.call(who, method, path, init);
  const body = (await response.json()) as Json;
  const error = body["error"] as { readonly code: string; readonly param: string | null } | undefined;
  const { status } = response;
  return {
    status,
    etag: response.headers.get("etag") ?? "",
    body,
    refusal: error === undefined ? "none" : [status, error.code, error.param].join(" ").trim(),
  };
}

/** Ada with her group `home`, where a worker of hers answers `m` for ever, and Bob. */
async function startWorld() {
  const admin = await startTestAdmin({}, { keys: "stored" });
  const [ada, bob] = [await admin.user("ada"), await admin.user("bob")];
  const group = await ask(admin, ada, "POST /api/groups", { body: { slug: "home", name: "Home" } });
  const groupId = String(group.body["id"]);
  const worker = await ask(admin, ada, "POST /api/keys", { body: { kind: "worker", name: "pc" } });
  const begun = Promise.withResolvers<TunnelStream>();
  await admin.hub.connect(
    (stream) => {
      if (stream.opening.model === "quick") return answerJson(stream, { by: "ada" });
      beginEvents(stream);
      writeEvent(stream, delta("a"));
      begun.resolve(stream);
    },
    { token: String(worker.body["secret"]), models: ["m", "quick"] },
  );
  const key = (more: object = {}, who: TestUser | string = ada): Promise<Answer> =>
    ask(admin, who, "POST /api/keys", { body: { kind: "api", name: "laptop", group_id: groupId, ...more } });
  const chat = (secret: unknown, model = "quick"): Promise<Response> =>
    admin.hub.post(CHAT, { model, stream: model === "m" }, { headers: { authorization: `Bearer ${String(secret)}` } });
  return { admin, ada, bob, groupId, key, chat, begun: begun.promise };
}

test("a key is made, used, changed and revoked over the API, and the hub follows at once", async () => {
  const { admin, ada, groupId, key, chat, begun } = await startWorld();
  await using _closing = admin;

  const made = await key({ models: ["m", "q*"], limits: { concurrency: 5 }, spending_limit: "1.5" });
  const { id, secret } = made.body;
  const used = await chat(secret);
  const changed = await ask(admin, ada, `PATCH /api/keys/${String(id)}`, {
    body: { name: "desktop", models: ["m"], limits: null, spending_limit: null },
    headers: { "if-match": made.etag },
  });
  const refused = await chat(secret);
  const running = await chat(secret, "m");
  await begun;
  const revoked = await ask(admin, ada, `DELETE /api/keys/${String(id)}`);
  const text = await running.text();

  assert.equal(made.status, 201);
  assert.match(String(secret), /^sk-\w{43}$/);
  assert.deepEqual(
    { ...made.body, id: "", created_at_ms: 0, secret: "", begins: "" },
    {
      object: "key",
      id: "",
      kind: "api",
      name: "laptop",
      begins: "",
      status: "active",
      owner_id: "user_ada",
      group_id: groupId,
      fallback_group_id: null,
      created_at_ms: 0,
      last_used_at_ms: null,
      expires_at_ms: null,
      disabled_at_ms: null,
      revoked_at_ms: null,
      old_secret_until_ms: null,
      spending_limit: "1.5",
      spent: "0",
      models: ["m", "q*"],
      addresses: null,
      limits: { requests_per_minute: null, tokens_per_minute: null, concurrency: 5 },
      workers: null,
      owners: null,
      exclude_workers: null,
      exclude_owners: null,
      serve_groups: null,
      serve_models: null,
      secret: "",
    },
  );
  assert.equal(used.status, 200);
  assert.deepEqual([changed.body["name"], changed.body["models"], changed.etag], ["desktop", ["m"], '"2"']);
  assert.deepEqual([changed.body["spending_limit"], refused.status], [null, 404]);
  assert.deepEqual([revoked.status, revoked.body["status"]], [200, "revoked"]);
  assert.match(text, /"code":"invalid_api_key"/);
});

test("the secret is in the answer that made it, and in no other", async () => {
  const { admin, ada, key } = await startWorld();
  await using _closing = admin;
  const made = await key();
  const id = String(made.body["id"]);

  const others = await Promise.all([
    ask(admin, ada, `GET /api/keys/${id}`),
    ask(admin, ada, "GET /api/keys"),
    ask(admin, ada, `PATCH /api/keys/${id}`, { body: { name: "n" }, headers: { "if-match": made.etag } }),
  ]);

  for (const { body, status } of others) {
    assert.equal(status, 200);
    const text = JSON.stringify(body);
    assert.ok(!text.includes(String(made.body["secret"]).slice(10)));
    assert.doesNotMatch(text, /"secret"|hash/);
  }
});

test("a rotated key has two secrets for a while", async () => {
  const { admin, ada, key, chat } = await startWorld();
  await using _closing = admin;
  const made = await key();
  const path = `/api/keys/${String(made.body["id"])}/rotate`;

  const rotated = await ask(admin, ada, `POST ${path}`, { body: { overlap_ms: 60_000 } });
  const during = await Promise.all([chat(made.body["secret"]), chat(rotated.body["secret"])]);
  const again = await ask(admin, ada, `POST ${path}`, { body: { overlap_ms: 0 } });
  const after = await Promise.all([
    chat(made.body["secret"]),
    chat(rotated.body["secret"]),
    chat(again.body["secret"]),
  ]);

  assert.notEqual(rotated.body["old_secret_until_ms"], null);
  assert.deepEqual(
    during.map(({ status }) => status),
    [200, 200],
  );
  assert.deepEqual(
    after.map(({ status }) => status),
    [401, 401, 200],
  );
});

test("a key whose group is gone can still be renamed, and moved elsewhere", async () => {
  const { admin, ada, groupId } = await startWorld();
  await using _closing = admin;
  const body = { kind: "worker", name: "pc", serve_groups: [groupId] };
  const made = await ask(admin, ada, "POST /api/keys", { body });
  const path = `/api/keys/${String(made.body["id"])}`;
  const preview = await admin.call(ada, "GET", `/api/groups/${groupId}/deletion-preview`);
  const ifMatch = preview.headers.get("etag") ?? "";
  await admin.call(ada, "DELETE", `/api/groups/${groupId}`, { headers: { "if-match": ifMatch } });

  const renamed = await ask(admin, ada, `PATCH ${path}`, { body: { name: "n" }, headers: { "if-match": made.etag } });
  const again = { body: { serve_groups: [groupId] }, headers: { "if-match": renamed.etag } };
  const refused = await ask(admin, ada, `PATCH ${path}`, again);
  const freed = { body: { serve_groups: null }, headers: { "if-match": renamed.etag } };
  const moved = await ask(admin, ada, `PATCH ${path}`, freed);

  assert.deepEqual([renamed.body["name"], renamed.body["serve_groups"]], ["n", [groupId]]);
  assert.equal(refused.refusal, "400 invalid_request serve_groups");
  assert.deepEqual([moved.status, moved.body["serve_groups"]], [200, null]);
});

test("what others may do with a key is nothing, and they do not learn that it is there", async () => {
  const { admin, bob, key } = await startWorld();
  await using _closing = admin;
  const made = await key();
  const path = `/api/keys/${String(made.body["id"])}`;
  const headers = { "if-match": made.etag };
  const requests: [string, { body?: object; headers?: Record<string, string> }?][] = [
    [`GET ${path}`],
    [`PATCH ${path}`, { body: { name: "mine" }, headers }],
    [`POST ${path}/rotate`, { body: {} }],
    [`DELETE ${path}`],
  ];

  for (const [request, init] of requests) {
    const theirs = await ask(admin, bob, request, init);
    const nobodys = await ask(admin, bob, request.replace(/key_\w+/, "key_0"), init);
    assert.equal(theirs.refusal, "404 not_found", request);
    assert.deepEqual(theirs.body, nobodys.body);
  }
  assert.deepEqual((await ask(admin, bob, "GET /api/keys")).body["data"], []);
  assert.equal((await ask(admin, bob, "GET /api/keys?all=true")).refusal, "403 forbidden");
  assert.equal((await key({}, bob)).refusal, "400 invalid_request group_id");
});

test("fields that are not one's own to say are refused by name", async () => {
  const { admin, ada, key } = await startWorld();
  await using _closing = admin;
  const made = await key();
  const path = `/api/keys/${String(made.body["id"])}`;

  for (const field of ["owner_id", "ownerId", "hash", "spent", "revoked_at_ms", "version", "secret", "rules"]) {
    assert.match((await key({ [field]: "user_bob" })).refusal, /^400 invalid_request/, field);
    const patch = { body: { [field]: null }, headers: { "if-match": made.etag } };
    assert.match((await ask(admin, ada, `PATCH ${path}`, patch)).refusal, /^400 invalid_request/, field);
  }
  assert.equal((await key({ spending_limit: "lots" })).refusal, "400 invalid_request spending_limit");
  assert.equal((await key({ addresses: ["10.0.0.0/99"] })).refusal, "400 invalid_request addresses.0");
  assert.equal((await key({ exclude_owners: [""] })).refusal, "400 invalid_request exclude_owners.0");
  assert.equal((await ask(admin, ada, `PATCH ${path}`, { body: {} })).refusal, "428 precondition_required");
});

test("a token needs the scope to write keys, and nobody is told anything without one", async () => {
  const { admin, ada, key } = await startWorld();
  await using _closing = admin;
  const reader = await admin.tokenOf(ada, ["keys:read"]);

  assert.equal((await ask(admin, reader, "GET /api/keys")).status, 200);
  assert.equal((await key({}, reader)).refusal, "403 forbidden");
  for (const { method, path } of KEYS_ROUTES) {
    assert.equal((await ask(admin, undefined, `${method} ${path.replace("{id}", "key_0")}`)).status, 401, path);
  }
});

test("the same create, sent twice with one Idempotency-Key, makes one key", async () => {
  const { admin, ada, groupId } = await startWorld();
  await using _closing = admin;
  const init = {
    body: { kind: "api", name: "once", group_id: groupId },
    headers: { "idempotency-key": "a-key-of-the-client-0001" },
  };

  const first = await ask(admin, ada, "POST /api/keys", init);
  const second = await ask(admin, ada, "POST /api/keys", init);
  const list = await ask(admin, ada, "GET /api/keys?kind=api");

  assert.deepEqual(second.body, first.body);
  assert.equal((list.body["data"] as unknown[]).length, 1);
});

test("lists go on page by page, and are filtered", async () => {
  const { admin, ada, groupId, key } = await startWorld();
  await using _closing = admin;
  for (const name of ["a", "b", "c"]) await key({ name });

  const first = await ask(admin, ada, `GET /api/keys?limit=2&group_id=${groupId}`);
  const cursor = String(first.body["next_cursor"]);
  const second = await ask(admin, ada, `GET /api/keys?limit=2&group_id=${groupId}&cursor=${cursor}`);
  const names = (answer: Answer): unknown[] => (answer.body["data"] as Json[]).map(({ name }) => name);

  assert.equal(new Set([...names(first), ...names(second)]).size, 3);
  assert.deepEqual([first.body["has_more"], second.body["has_more"]], [true, false]);
  assert.deepEqual(names(await ask(admin, ada, "GET /api/keys?kind=worker")), ["pc"]);
  assert.deepEqual(names(await ask(admin, ada, "GET /api/keys?revoked=true")), []);
});
