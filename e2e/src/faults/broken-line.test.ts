import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { FaultProxy } from "../fault-proxy.ts";
import { chatBody, HttpExchange } from "../http-exchange.ts";
import { readMetric } from "../hub-metrics.ts";
import { System } from "../system.ts";
import { CONNECTIONS } from "../worker.ts";
import { startBehindProxy } from "./behind-proxy.ts";
import { assertCutStream, assertWholeStream, openStreams } from "./endings.ts";
import { takes } from "./long.ts";

const STREAM = { stream: true };
const FLAP_MS = 3000;

test("the line between worker and hub", async (t) => {
  await using behind = await startBehindProxy(t);
  const { proxy, system } = behind;
  const { access, engine, hub } = system;

  await t.test("F9: stands still for 3 s under 20 streams: all go on and are whole", takes(4), async () => {
    const exchanges = await openStreams(access, 20, () => chatBody({ tokens: 100, intervalMs: 20 }, STREAM));

    proxy.set({ up: { stop: "pause" }, down: { stop: "pause" } });
    await sleep(FLAP_MS);
    proxy.set({ up: {}, down: {} });

    for (const exchange of exchanges) await assertWholeStream(exchange, 100);
    assert.equal(await readMetric(hub.url, 'tunnel_connects_total{result="accepted"}'), CONNECTIONS);
  });

  await t.test(
    "F9: breaks for 3 s under 20 streams: 20 error events within a second, then the worker is back",
    takes(5),
    async () => {
      const { cancelled } = engine.counts();
      const exchanges = await openStreams(access, 20, () => chatBody({ tokens: 10_000, intervalMs: 20 }, STREAM));

      const start = performance.now();
      proxy.setDown(true);
      proxy.reset();
      for (const exchange of exchanges) await assertCutStream(exchange, "worker_lost");
      const tookMs = performance.now() - start;
      await engine.waitFor((counts) => counts.cancelled === cancelled + 20 && counts.active === 0);
      await sleep(FLAP_MS - tookMs);
      proxy.setDown(false);

      assert.ok(tookMs < 1000, `${tookMs} ms`);
      await system.listing("simulated");
      assert.equal((await HttpExchange.whole(access, { body: chatBody() })).status, 200);
    },
  );

  await t.test(
    "F9: breaks in the middle of a frame: the streams fail visibly and the worker is back at once",
    async () => {
      const body = () => chatBody({ tokens: 10_000, intervalMs: 1, chunkBytes: 5000 }, STREAM);
      const exchanges = await openStreams(access, 5, body);

      proxy.set({ up: { cut: { afterBytes: 77_777, how: "end" } } });
      for (const exchange of exchanges) await assertCutStream(exchange, "worker_lost");
      proxy.set({ up: {} });

      await system.listing("simulated");
      await engine.waitFor((counts) => counts.active === 0);
    },
  );

  await t.test(
    "F16: is so slow that OPEN and GOAWAY cross: the refused requests succeed at another worker",
    async () => {
      await system.addWorker("worker-b", { models: { simulated: engine.url, "only-b": engine.url } });
      await system.listing("only-b");
      const running = (model: string) => chatBody({ tokens: 100, intervalMs: 20 }, { ...STREAM, model });
      // One stream keeps the leaving worker's session open; two make the other one the busier, so that requests go here.
      const [kept] = await openStreams(access, 1, () => running("only-a"));
      await openStreams(access, 2, () => running("only-b"));
      const before = await readMetric(hub.url, REFUSED);
      proxy.set({ up: { delayMs: 500 } });

      system.program("worker-a").kill("SIGTERM");
      await sleep(100);
      const answers = await Promise.all(
        Array.from({ length: 4 }, () => HttpExchange.open(access, { body: chatBody({}, STREAM) })),
      );

      for (const answer of answers) {
        await assertWholeStream(answer, 20);
        assert.equal(answer.headers["x-tokilake-worker"], "worker-b");
      }
      assert.ok(kept !== undefined);
      await assertWholeStream(kept, 100);
      assert.ok((await readMetric(hub.url, REFUSED)) > before, "no OPEN crossed the GOAWAY");
    },
  );
});

const REFUSED = 'tokilake_attempts_failed_total{code="refused"}';

test(
  "F26: a line that delivers every byte alone changes nothing: handshake, requests and answers are whole",
  takes(6),
  async (t) => {
    await using system = await System.start(t, { worker: false });
    await using proxy = await FaultProxy.start({ port: system.hub.port });
    const slicing = { pieceBytes: 1, jitterMs: 0.2 };
    proxy.set({ up: slicing, down: slicing });
    await system.addWorker("worker-a", { hubUrl: proxy.url });
    await system.listing("simulated");

    const exchanges = await openStreams(system.access, 3, () => chatBody({ tokens: 50, intervalMs: 20 }, STREAM));
    const input = "é".repeat(3000);
    const embedding = await HttpExchange.whole(system.access, {
      path: "/embeddings",
      body: { model: "simulated", input },
    });

    for (const exchange of exchanges) await assertWholeStream(exchange, 50);
    assert.equal(embedding.status, 200);
    assert.equal(
      system.engine.requests.at(-1)?.bodyBytes,
      Buffer.byteLength(JSON.stringify({ model: "simulated", input })),
    );
  },
);
