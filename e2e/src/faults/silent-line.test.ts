import assert from "node:assert/strict";
import { test } from "node:test";

import { eventually } from "../eventually.ts";
import { chatBody, HttpExchange } from "../http-exchange.ts";
import { startBehindProxy } from "./behind-proxy.ts";
import { assertCutStream, openStreams } from "./endings.ts";
import { takes } from "./long.ts";

/** What is promised, and a little for a busy machine. */
const NOTICED_MS = 36_500;
const SOONEST_MS = 15_000;

const ENDLESS = () => chatBody({ tokens: 100_000, intervalMs: 50 }, { stream: true });

// At the same time: what takes long here is waiting.
test("a line that takes bytes and delivers none", { concurrency: true }, async (t) => {
  await Promise.all([
    t.test(
      "F8: in both directions: both ends notice within 35 s, streams fail visibly, the worker dials anew",
      takes(40),
      async (t) => {
        await using behind = await startBehindProxy(t);
        const { proxy, system } = behind;
        const exchanges = await openStreams(system.access, 5, ENDLESS);

        const start = performance.now();
        proxy.abandon({ up: { stop: "swallow" }, down: { stop: "swallow" } });
        const hubNotices = Promise.all(exchanges.map((exchange) => assertCutStream(exchange, "worker_lost"))).then(
          () => performance.now() - start,
        );
        const workerNotices = system.engine
          .waitFor((counts) => counts.active === 0, { timeoutMs: 60_000 })
          .then(() => performance.now() - start);
        const noticedMs = await Promise.all([hubNotices, workerNotices]);

        t.diagnostic(
          `the hub noticed after ${noticedMs[0].toFixed(0)} ms, the worker after ${noticedMs[1].toFixed(0)} ms`,
        );
        for (const ms of noticedMs) assert.ok(ms > SOONEST_MS && ms < NOTICED_MS, `${ms} ms`);
        await eventually("a new connection serves", async () => {
          const answer = await HttpExchange.whole(system.access, { body: chatBody() });
          return answer.status === 200;
        });
        assert.ok(proxy.acceptedCount >= 2);
      },
    ),

    t.test(
      "F6: from hub to worker only: the worker notices within 35 s, the hub by its end, streams fail visibly",
      takes(40),
      async (t) => {
        await using behind = await startBehindProxy(t);
        const { proxy, system } = behind;
        const exchanges = await openStreams(system.access, 5, ENDLESS);

        const start = performance.now();
        proxy.abandon({ down: { stop: "swallow" } });
        for (const exchange of exchanges) await assertCutStream(exchange, "worker_lost");
        const noticedMs = performance.now() - start;

        t.diagnostic(`noticed after ${noticedMs.toFixed(0)} ms`);
        assert.ok(noticedMs > SOONEST_MS && noticedMs < 40_000, `${noticedMs} ms`);
        await system.engine.waitFor((counts) => counts.active === 0);
        await system.listing("simulated");
      },
    ),

    t.test(
      "F8: under a new worker that comes from elsewhere: the hub takes it at once, whatever the old connection does",
      async (t) => {
        await using behind = await startBehindProxy(t);
        const { proxy, system } = behind;
        proxy.abandon({ up: { stop: "swallow" }, down: { stop: "swallow" } });
        system.program("worker-a").kill("SIGKILL");

        const start = performance.now();
        await system.addWorker("worker-a", { models: { anew: system.engine.url } });
        await system.listing("anew");
        const answer = await HttpExchange.whole(system.access, { body: chatBody({}, { model: "anew" }) });

        assert.equal(answer.status, 200);
        assert.ok(performance.now() - start < 15_000);
      },
    ),
  ]);
});
