import assert from "node:assert/strict";
import { type IncomingMessage, request } from "node:http";
import { test } from "node:test";

import { connectTunnel, type TunnelStream } from "@tokilake/tunnel";

import {
  announcementOf,
  answerJson,
  beginEvents,
  delta,
  resetOf,
  startTestHub,
  STOP,
  type TestHub,
  writeEvent,
} from "./test-hub.ts";

const CHAT = "/v1/chat/completions";

test("the models of all workers are listed by name, each once, and found one by one, also with a slash", async () => {
  await using hub = await startTestHub();
  await hub.connect(() => {}, { name: "a", models: ["z", "org/model:8b"] });
  await hub.connect(() => {}, { name: "b", models: ["z", "a"] });
  const headers = { authorization: "Bearer sk-test" };

  const list = (await (await fetch(`${hub.url}/v1/models`, { headers })).json()) as {
    data: { id: string; created: number }[];
  };
  const plain = await fetch(`${hub.url}/v1/models/org/model:8b`, { headers });
  const encoded = await fetch(`${hub.url}/v1/models/org%2Fmodel%3A8b`, { headers });
  const missing = await fetch(`${hub.url}/v1/models/nope`, { headers });

  assert.deepEqual(
    list.data.map((model) => model.id),
    ["a", "org/model:8b", "z"],
  );
  assert.deepEqual(await plain.json(), {
    id: "org/model:8b",
    object: "model",
    created: list.data[1]?.created,
    owned_by: "tokilake",
  });
  assert.equal(encoded.status, 200);
  assert.equal(missing.status, 404);
});

test("a worker that left is gone from the models", async () => {
  await using hub = await startTestHub();
  const worker = await hub.connect(() => {});
  const list = async (): Promise<string> =>
    (await fetch(`${hub.url}/v1/models`, { headers: { authorization: "Bearer sk-test" } })).text();

  await worker.drain({ graceMs: 1_000 });
  let text = await list();
  // The worker knows that it left before the hub does.
  for (let tries = 0; text.includes('"m"') && tries < 100; tries += 1) text = await list();

  assert.equal(text, '{"object":"list","data":[]}');
});

test("a name that another key's worker holds is refused for good, the same key takes it over", async () => {
  await using hub = await startTestHub();
  await hub.connect((stream) => answerJson(stream, { by: "first" }), { token: "wk-one" });

  await assert.rejects(
    hub.connect(() => {}, { token: "wk-two" }),
    /name-taken/,
  );
  await hub.connect((stream) => answerJson(stream, { by: "second" }), { token: "wk-one" });

  assert.deepEqual(await (await hub.post(CHAT, { model: "m" })).json(), { by: "second" });
});

test("an API key cannot open a tunnel, and the worker is told which key it needs", async () => {
  await using hub = await startTestHub();

  await assert.rejects(
    hub.connect(() => {}, { token: "sk-test" }),
    /auth/,
  );
  const upgrade = { connection: "upgrade", upgrade: "websocket", authorization: "Bearer sk-test" };
  const response = await fetch(`${hub.url}/api/tokilake/connect`, {
    headers: { authorization: upgrade.authorization },
  });

  assert.equal(response.status, 404);
});

test("an announcement that is not valid is refused with what is wrong", async () => {
  await using hub = await startTestHub();
  const stopped = Promise.withResolvers<string>();
  const client = connectTunnel({
    url: hub.url,
    token: "wk-a",
    workerId: "a",
    software: "test/0",
    details: () => ({ kind: "models", targets: [], models: [{ id: "m", target: "missing" }] }),
    serve: () => {},
    onState: (state) => {
      if (state.is === "stopped") stopped.resolve(state.message);
    },
  });

  assert.match(await stopped.promise, /model "m" names a target that is not announced/);
  client.close();
});

test("a revoked worker key closes its tunnel: running streams fail visibly, nothing new goes there", async () => {
  await using hub = await startTestHub();
  const started = Promise.withResolvers<TunnelStream>();
  await hub.connect((stream) => {
    beginEvents(stream);
    writeEvent(stream, delta("a"));
    started.resolve(stream);
  });
  const response = await hub.post(CHAT, { model: "m", stream: true });
  const stream = await started.promise;

  hub.keys.revoke("wk-worker");
  const text = await response.text();

  assert.match(text, /"code":"worker_lost"/);
  await resetOf(stream);
  assert.equal((await hub.post(CHAT, { model: "m" })).status, 503);
});

test("requests go to the worker with the least work per slot", async () => {
  await using hub = await startTestHub();
  const asked: string[] = [];
  const serve =
    (name: string) =>
    (stream: TunnelStream): void => {
      asked.push(name);
      beginEvents(stream);
      writeEvent(stream, delta(name));
    };
  await hub.connect(serve("small"), { name: "small", slots: 1 });
  await hub.connect(serve("large"), { name: "large", slots: 3 });

  const running: Response[] = [];
  for (let n = 0; n < 4; n += 1) running.push(await hub.post(CHAT, { model: "m", stream: true }));

  assert.deepEqual(asked.toSorted(), ["large", "large", "large", "small"]);
  for (const response of running) await response.body?.cancel();
});

test("when all slots are taken a request waits for the next free one", async () => {
  await using hub = await startTestHub();
  const streams: TunnelStream[] = [];
  let arrived = Promise.withResolvers<void>();
  await hub.connect(
    (stream) => {
      streams.push(stream);
      arrived.resolve();
    },
    { slots: 1 },
  );

  const first = hub.post(CHAT, { model: "m", n: 1 });
  await arrived.promise;
  arrived = Promise.withResolvers();
  const second = hub.post(CHAT, { model: "m", n: 2 });
  const whileFull = streams.length;
  answerJson(streams[0] ?? assert.fail(), { n: 1 });
  await arrived.promise;
  answerJson(streams[1] ?? assert.fail(), { n: 2 });

  assert.equal(whileFull, 1);
  assert.deepEqual([await (await first).json(), await (await second).json()], [{ n: 1 }, { n: 2 }]);
});

test("a request that waits for a slot takes one that a new worker brings", async () => {
  await using hub = await startTestHub();
  const taken = Promise.withResolvers<void>();
  await hub.connect(() => taken.resolve(), { name: "full", slots: 1 });
  const client = new AbortController();
  const stuck = hub.post(CHAT, { model: "m" }, { signal: client.signal });
  stuck.catch(() => {});
  await taken.promise;

  const waiting = hub.post(CHAT, { model: "m" });
  await hub.connect((stream) => answerJson(stream, { by: "new" }), { name: "new", slots: 1 });

  assert.deepEqual(await (await waiting).json(), { by: "new" });
  client.abort();
});

test("a worker's later announcement replaces its models, and its load counts in the choice", async () => {
  await using hub = await startTestHub();
  const worker = await hub.connect((stream) => answerJson(stream, { model: stream.opening.model }), {
    models: ["old"],
  });

  worker.update(announcementOf({ models: ["new"] }));
  let response = await hub.post(CHAT, { model: "new" });
  // The announcement and the request take different connections, so the request may be first.
  for (let tries = 0; response.status !== 200 && tries < 100; tries += 1)
    response = await hub.post(CHAT, { model: "new" });

  assert.deepEqual(await response.json(), { model: "new" });
  assert.equal((await hub.post(CHAT, { model: "old" })).status, 503);
});

test("draining: what runs ends well, new requests are refused, then the hub is closed", async () => {
  await using hub = await startTestHub();
  const started = Promise.withResolvers<TunnelStream>();
  await hub.connect((stream) => {
    beginEvents(stream);
    writeEvent(stream, delta("a"));
    started.resolve(stream);
  });
  const running = await hub.post(CHAT, { model: "m", stream: true });
  const stream = await started.promise;
  const ready = await fetch(`${hub.url}/readyz`);
  await ready.text();

  const drained = hub.hub.drain();
  for (const event of [delta("b"), STOP, "[DONE]"]) writeEvent(stream, event);
  stream.end();
  const text = await running.text();
  await drained;

  assert.equal(ready.status, 200);
  assert.match(text, /\[DONE\]\n\n$/);
  await assert.rejects(fetch(`${hub.url}/healthz`));
});

test("a drain that takes longer than its grace cuts the rest visibly", async () => {
  await using hub = await startTestHub({ drainGraceMs: 50 });
  await hub.connect((stream) => {
    beginEvents(stream);
    writeEvent(stream, delta("a"));
  });
  const running = await hub.post(CHAT, { model: "m", stream: true });

  await hub.hub.drain();
  const text = await running.text();

  assert.match(text, /"code":"shutting_down"/);
  assert.doesNotMatch(text, /\[DONE\]/);
});

test("a worker that names no version is refused, unless the hub is told to take it for version 1", async () => {
  await using strict = await startTestHub();
  await using lenient = await startTestHub({ assumesTunnelV1: true });
  const dial = async (hub: TestHub): Promise<number | undefined> => {
    const headers = {
      authorization: "Bearer wk-worker",
      connection: "upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
    };
    const asking = request(`${hub.url}/api/tokilake/connect`, { headers }).end();
    const response = await new Promise<IncomingMessage>((resolve) => {
      asking.once("response", resolve);
      asking.once("upgrade", resolve);
    });
    response.destroy();
    return response.statusCode;
  };

  assert.deepEqual([await dial(strict), await dial(lenient)], [400, 101]);
});

test("metrics with a token answer only those who have it", async () => {
  await using hub = await startTestHub({ metricsToken: "a-token-for-scrapers" });
  const ask = async (authorization: string): Promise<number> =>
    (await fetch(`${hub.url}/metrics`, { headers: { authorization } })).status;

  const statuses = await Promise.all(
    ["", "Bearer sk-test", "Bearer a-token-for-scraper", "Bearer a-token-for-scrapers"].map(ask),
  );

  assert.deepEqual(statuses, [401, 401, 401, 200]);
});

test("health, readiness and metrics answer without a key, HEAD without a body", async () => {
  await using hub = await startTestHub();

  const health = await fetch(`${hub.url}/healthz`);
  const head = await fetch(`${hub.url}/healthz`, { method: "HEAD" });
  const metrics = await fetch(`${hub.url}/metrics`);

  assert.deepEqual(await health.json(), { status: "ok" });
  assert.equal(head.headers.get("content-length"), "15");
  assert.equal(await head.text(), "");
  assert.equal(await metrics.text(), "tokilake_up 1\n");
});
