import assert from "node:assert/strict";
import { test } from "node:test";

import { EventHub, type Subscriber, type Viewer } from "./admin/event-hub.ts";
import { FleetWorker } from "./fleet/fleet-worker.ts";
import { workerEvent } from "./hub-workers.ts";
import { testPrincipal } from "./identity/test-principal.ts";
import { startTestAdmin } from "./test-admin.ts";

type Json = Readonly<Record<string, unknown>>;

function subscriber(viewer: Viewer): Subscriber {
  return { viewer, refresh: async () => viewer, lastEventId: undefined };
}

async function json(response: Response): Promise<Json> {
  return (await response.json()) as Json;
}

test("whoever runs the hub sees the workers that are connected, and disconnects one", { timeout: 20_000 }, async () => {
  await using admin = await startTestAdmin();
  const [ada, root] = [await admin.user("ada"), await admin.user("root", "root")];
  const worker = await admin.hub.connect(() => {}, { name: "gaming/pc", models: ["llama"], slots: 2 });

  const list = await json(await admin.call(root, "GET", "/api/workers"));
  const [shown] = list["data"] as Json[];
  const id = String(shown?.["id"]);

  assert.match(id, /^worker_[\w-]{22}$/);
  assert.deepEqual(
    [shown?.["name"], shown?.["owner_id"], shown?.["sessions"], shown?.["group_ids"]],
    ["gaming/pc", null, 1, ["group_operator"]],
  );
  assert.deepEqual(shown?.["targets"], [
    { name: "engine", slots: 2, in_flight: 0, running: null, waiting: null, models: ["llama"] },
  ]);
  assert.equal((await admin.call(root, "GET", `/api/workers/${id}`)).status, 200);
  assert.deepEqual((await json(await admin.call(ada, "GET", "/api/workers")))["data"], []);
  assert.equal((await admin.call(ada, "GET", `/api/workers/${id}`)).status, 404);
  assert.equal((await admin.browse(ada, "DELETE", `/api/workers/${id}`)).status, 404);
  assert.equal((await admin.call(root, "DELETE", `/api/workers/${id}`)).status, 403);

  worker.close();
  const other = await admin.hub.connect(() => {}, { name: "other" });
  const others = await json(await admin.call(root, "GET", "/api/workers"));
  const otherId = String((others["data"] as Json[]).find(({ name }) => name === "other")?.["id"]);
  assert.equal((await admin.browse(root, "DELETE", `/api/workers/${otherId}`)).status, 204);
  assert.notEqual(other.state.is, "connected");
});

test("workers that come and go are told", { timeout: 20_000 }, async () => {
  await using admin = await startTestAdmin();
  const root = await admin.user("root", "root");
  const events = eventsOf(await admin.call(root, "GET", "/api/events"));
  assert.deepEqual((await events.next()).value, ["ready", {}]);

  const worker = await admin.hub.connect(() => {}, { name: "pc" });
  const [came, { id, ...data }] = (await events.next()).value ?? ["", {} as Json];
  worker.close();
  const [went, gone] = (await events.next()).value ?? ["", {} as Json];

  assert.deepEqual([came, data], ["worker.connected", { name: "pc", owner_id: null, group_ids: ["group_operator"] }]);
  assert.deepEqual([went, gone["id"]], ["worker.disconnected", id]);
});

test("a member of one group hears of a worker, and nothing of the other groups where it serves", async () => {
  const worker = new FleetWorker("pc", testPrincipal("wk-bob", { kind: "worker", userId: "user_bob" }));
  worker.groupIds = ["group_club", "group_secret"];
  const member = {
    seesAll: false,
    groupIds: new Set(["group_club"]),
    ownedGroupIds: new Set(["group_club"]),
    rights: "",
  };
  const seenBy = new Map<string, string[]>();
  using events = new EventHub("run", () => assert.fail());
  const viewers: readonly Viewer[] = [
    { ...member, userId: "user_ada" },
    { ...member, userId: "user_bob" },
    { ...member, userId: "user_root", seesAll: true, groupIds: new Set() },
  ];
  const streams = viewers.map((viewer) => ({ viewer, stream: events.subscribe(subscriber(viewer)) }));

  events.publish(workerEvent(worker, "connected"));

  for (const { viewer, stream } of streams) {
    await stream.next();
    const { value = "" } = await stream.next();
    const [, data = ""] = /^data: (.*)$/m.exec(value) ?? [];
    seenBy.set(viewer.userId, (JSON.parse(data) as { group_ids: string[] }).group_ids);
  }
  assert.deepEqual(
    [...seenBy],
    [
      ["user_ada", ["group_club"]],
      ["user_bob", ["group_club", "group_secret"]],
      ["user_root", ["group_club", "group_secret"]],
    ],
  );
});

test("usage is added up and told to whoever may see it", { timeout: 20_000 }, async () => {
  await using admin = await startTestAdmin();
  const root = await admin.user("root", "root");
  const events = eventsOf(await admin.call(root, "GET", "/api/events"));
  await events.next();

  await admin.hub.post("/v1/chat/completions", { model: "none", messages: [] });
  await admin.hub.post("/v1/chat/completions", { model: "none", messages: [] });

  assert.deepEqual((await events.next()).value, [
    "usage",
    {
      key_id: "sk-test",
      group_id: "group_operator",
      model: "none",
      requests: 2,
      failed: 2,
      input_tokens: 0,
      output_tokens: 0,
    },
  ]);
});

async function* eventsOf(response: Response): AsyncGenerator<[type: string, data: Json], undefined> {
  assert.ok(response.body !== null);
  let text = "";
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    text += piece;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const [, type, data] = /event: (.*)\ndata: (.*)$/.exec(text.slice(0, end)) ?? [];
      text = text.slice(end + 2);
      if (type !== undefined) yield [type, JSON.parse(data ?? "") as Json];
    }
  }
  return undefined;
}
