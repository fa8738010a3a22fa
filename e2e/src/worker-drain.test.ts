import assert from "node:assert/strict";
import { test } from "node:test";

import { chatBody, chatText, HttpExchange, simulatedText, sseData } from "./http-exchange.ts";
import { System } from "./system.ts";

/** A stream of a second and a half. */
const RUNNING = chatBody({ tokens: 150, intervalMs: 10 }, { stream: true });

test("a worker that is asked to stop", async (t) => {
  await using system = await System.start(t, { worker: false });
  const { access, engine } = system;
  const start = async (name: string, env?: Record<string, string>) => {
    const models = { simulated: engine.url, [`only-${name}`]: engine.url };
    const worker = await system.addWorker(name, { models, ...(env && { env }) });
    await system.listing(...Object.keys(models));
    return worker;
  };

  await t.test("lets its streams end while new ones go to another worker", async () => {
    const leaving = await start("worker-a");
    const streams = await Promise.all(Array.from({ length: 5 }, () => HttpExchange.open(access, { body: RUNNING })));
    await Promise.all(streams.map((stream) => stream.until("token-3")));
    await start("worker-b");

    leaving.kill("SIGTERM");
    await system.hub.notListing(access.apiKey, ["only-worker-a"]);
    const later = await Promise.all(
      Array.from({ length: 10 }, () => HttpExchange.whole(access, { body: chatBody({}, { stream: true }) })),
    );
    await Promise.all(streams.map((stream) => stream.ended));

    for (const stream of streams) {
      assert.equal(stream.headers["x-tokilake-worker"], "worker-a");
      assert.equal(chatText(stream.text), simulatedText(150));
      assert.equal(sseData(stream.text).at(-1), "[DONE]");
    }
    for (const exchange of later) {
      assert.equal(exchange.status, 200);
      assert.equal(exchange.headers["x-tokilake-worker"], "worker-b");
      assert.equal(chatText(exchange.text), simulatedText(20));
    }
    assert.deepEqual(await leaving.exited, { code: 0, signal: null });
  });

  await t.test("loses no request of a crowd that keeps asking", async () => {
    const leaving = await start("worker-c");
    const asking = new AbortController();
    const statuses: number[] = [];
    const ask = async () => {
      while (!asking.signal.aborted) statuses.push((await HttpExchange.whole(access, { body: chatBody() })).status);
    };
    const crowd = Promise.all(Array.from({ length: 8 }, ask));
    await engine.waitFor((counts) => counts.completed > 100);

    leaving.kill("SIGTERM");
    await leaving.exited;
    asking.abort();
    await crowd;

    assert.deepEqual(
      statuses.filter((status) => status !== 200),
      [],
    );
  });

  await t.test("breaks visibly what does not end within its time", async () => {
    const leaving = await start("worker-d", { TOKIAME_DRAIN_SECONDS: "0.5" });
    const body = chatBody({ tokens: 100_000, intervalMs: 10 }, { stream: true, model: "only-worker-d" });
    const stream = await HttpExchange.open(access, { body });
    await stream.until("token-3");
    const { cancelled } = engine.counts();

    leaving.kill("SIGTERM");
    await stream.ended;

    assert.match(sseData(stream.text).at(-1) ?? "", /"error"/);
    assert.ok(!stream.text.includes("[DONE]"));
    await engine.waitFor((counts) => counts.cancelled === cancelled + 1);
    await leaving.exited;
    const after = await HttpExchange.whole(access, { body });
    assert.equal(after.status, 503);
    assert.match(after.headers["retry-after"] ?? "", /^\d+$/);
  });
});
