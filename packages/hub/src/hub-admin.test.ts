import assert from "node:assert/strict";
import { test } from "node:test";

import { audit } from "./store/audit-store.ts";
import { endSignInsOf } from "./store/sign-in-store.ts";
import { startTestAdmin } from "./test-admin.ts";

type Json = Readonly<Record<string, unknown>>;

async function json(response: Response): Promise<Json> {
  return (await response.json()) as Json;
}

test("a token and a browser's sign-in say who asks", async () => {
  await using admin = await startTestAdmin();
  const ada = await admin.user("ada");

  const byToken = await json(await admin.call(ada, "GET", "/api/me"));
  const byCookie = await json(await admin.browse(ada, "GET", "/api/me"));

  assert.deepEqual([byToken["id"], byToken["role"], (byToken["via"] as Json)["kind"]], ["user_ada", "user", "token"]);
  assert.deepEqual([byCookie["email"], (byCookie["via"] as Json)["kind"]], ["ada@example.com", "sign-in"]);
});

test("keys of the API and of workers open nothing of the admin API, and a token nothing of the API", async () => {
  await using admin = await startTestAdmin();
  const ada = await admin.user("ada");

  assert.equal((await admin.call("sk-good", "GET", "/api/me")).status, 401);
  assert.equal((await admin.call("wk-good", "GET", "/api/me")).status, 401);
  assert.equal((await admin.call("sk-good", "GET", "/v1/models")).status, 200);
  assert.equal((await admin.call(ada, "GET", "/v1/models")).status, 401);
});

test("the cookie opens nothing of the API", async () => {
  await using admin = await startTestAdmin();
  const ada = await admin.user("ada");

  assert.equal((await admin.browse(ada, "GET", "/v1/models")).status, 401);
});

test("the audit log is for those who audit", async () => {
  await using admin = await startTestAdmin();
  const [ada, ann] = [await admin.user("ada"), await admin.user("ann", "auditor")];
  const made = { action: "group.create", objectType: "group", objectId: "group_1", groupId: "group_1" };
  const operator = { kind: "operator", via: { kind: "command" }, address: "" } as const;
  await audit(admin.database.db, operator, { ...made, after: { name: "a" } }, 1);
  await audit(admin.database.db, operator, { action: "user.create", objectType: "user", objectId: "user_1" }, 2);
  const all = await json(await admin.call(ann, "GET", "/api/audit?limit=1"));
  const next = await json(await admin.call(ann, "GET", `/api/audit?limit=1&cursor=${String(all["next_cursor"])}`));

  assert.deepEqual(
    [all, next].flatMap(({ data }) => (data as Json[]).map(({ action }) => action)),
    ["user.create", "group.create"],
  );
  const [entry] = next["data"] as Json[];
  assert.deepEqual(next["data"], [
    {
      object: "audit_entry",
      id: entry?.["id"],
      at_ms: 1,
      actor: { kind: "operator", id: null, name: "operator" },
      via: "command",
      action: "group.create",
      object_type: "group",
      object_id: "group_1",
      group_id: "group_1",
      address: "",
      request_id: null,
      before: null,
      after: { name: "a" },
    },
  ]);
  for (const path of ["/api/audit", "/api/audit/export.csv", "/api/audit/export.ndjson"]) {
    assert.equal((await admin.call(ada, "GET", path)).status, 403);
  }
});

test("an export has every entry, is noted itself, and a name is no formula in it", async () => {
  await using admin = await startTestAdmin();
  const ann = await admin.user("ann", "auditor");
  const eve = {
    kind: "user",
    user: { id: "user_eve", email: "=HYPERLINK(1)@example.com" },
    via: { kind: "token", id: "token_1" },
    address: "192.0.2.1",
  } as const;
  await admin.database.write(async ({ db }) => {
    for (let n = 1; n <= 1_201; n += 1) {
      await audit(db, eve, { action: "a.b", objectType: "a", objectId: `o${n}` }, n);
    }
  });

  const lines = (await (await admin.call(ann, "GET", "/api/audit/export.ndjson")).text()).trimEnd().split("\n");
  const csv = await admin.call(ann, "GET", "/api/audit/export.csv?object_id=o7");
  const table = (await csv.text()).split("\r\n");
  const exports = await json(await admin.call(ann, "GET", "/api/audit?action=audit.export"));

  assert.equal(lines.length, 1_201);
  assert.equal((JSON.parse(lines.at(-1) ?? "") as Json)["object_id"], "o1");
  assert.equal(csv.headers.get("content-disposition"), 'attachment; filename="audit.csv"');
  assert.match(table[0] ?? "", /^id,at,actor_kind,/);
  assert.match(table[1] ?? "", /,user,user_eve,'=HYPERLINK\(1\)@example\.com,token token_1,a\.b,a,o7,/);
  assert.equal(table.length, 3);
  assert.deepEqual(
    (exports["data"] as Json[]).map(({ actor }) => (actor as Json)["id"]),
    ["user_ann", "user_ann"],
  );
});

test("events come as they happen, until the sign-in ends", { timeout: 20_000 }, async () => {
  await using admin = await startTestAdmin();
  const ada = await admin.user("ada");
  const response = await admin.browse(ada, "GET", "/api/events");
  const events = eventsOf(response);

  assert.equal(response.headers.get("content-type"), "text/event-stream");
  assert.equal((await events.next()).value, "ready {}");
  await admin.database.write(({ db, revision }) =>
    db
      .insertInto("keys")
      .values({
        id: "key_1",
        kind: "api",
        name: "laptop",
        prefix: "sk-a",
        hash: "h",
        created_at_ms: 1,
        revision,
        owner_id: ada.id,
      })
      .execute(),
  );
  assert.equal(
    (await events.next()).value,
    'key.changed {"id":"key_1","kind":"api","name":"laptop","status":"active"}',
  );

  await admin.database.write(({ db }) => endSignInsOf(db, ada.id, Date.now()));
  assert.equal((await events.next()).value, 'end {"reason":"signed-out"}');
  assert.equal((await events.next()).done, true);
});

test("a hub that stops ends its streams of events at once", { timeout: 20_000 }, async () => {
  await using admin = await startTestAdmin();
  const ada = await admin.user("ada");
  const again = await admin.browse(ada, "GET", "/api/events", { headers: { "last-event-id": "hub-1-7" } });
  const events = eventsOf(again);
  assert.equal((await events.next()).value, "reset {}");

  const drained = admin.hub.hub.drain();

  assert.equal((await events.next()).value, 'end {"reason":"shutting-down"}');
  await drained;
});

/** Type and data of each event. */
async function* eventsOf(response: Response): AsyncGenerator<string, undefined> {
  assert.ok(response.body !== null);
  let text = "";
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    text += piece;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const [, type, data] = /event: (.*)\ndata: (.*)$/.exec(text.slice(0, end)) ?? [];
      text = text.slice(end + 2);
      if (type !== undefined) yield `${type} ${data}`;
    }
  }
  return undefined;
}
