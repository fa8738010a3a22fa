import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { eventually } from "../eventually.ts";
import { chatBody, HttpExchange, sseData } from "../http-exchange.ts";
import { readMetric } from "../hub-metrics.ts";
import { RawConnection } from "../raw-connection.ts";
import { System } from "../system.ts";
import { CONNECTIONS } from "../worker.ts";
import { assertCutStream, assertRefused, assertWholeStream, openStreams } from "./endings.ts";
import { takes } from "./long.ts";
import { requestRowsOnceThere } from "./request-rows.ts";

test("a worker that nobody can stand in for dies", async (t) => {
  await using system = await System.start(t);
  const { access, engine, hub } = system;
  const comeBack = async () => {
    await system.addWorker("worker-a");
    await system.listing("simulated");
  };

  await t.test("F1: before its head: the client gets 502 worker_lost within a second, the hub forgets it", async () => {
    const opening = HttpExchange.whole(access, { body: chatBody({ headMs: 60_000 }, { stream: true }) });
    await engine.waitFor((counts) => counts.active === 1);

    const start = performance.now();
    system.program("worker-a").kill("SIGKILL");
    const exchange = await opening;
    const tookMs = performance.now() - start;

    assertRefused(exchange, 502, "worker_lost");
    assert.ok(tookMs < 1000, `${tookMs} ms`);
    assert.deepEqual(await hub.models(access.apiKey), []);
    assert.equal(await readMetric(hub.url, "tunnel_streams_active"), 0);
    const [row] = await requestRowsOnceThere(system.dataDir, 1);
    assert.deepEqual(row, { outcome: "failed", errorCode: "worker_lost" });
  });

  await t.test("F2: in the middle of a chat stream: one error event, no [DONE], one row in the log", async () => {
    await comeBack();
    const [exchange] = await openStreams(access, 1, () => chatBody({ tokens: 10_000, intervalMs: 10 }, STREAM));
    assert.ok(exchange !== undefined);

    system.program("worker-a").kill("SIGKILL");

    await assertCutStream(exchange, "worker_lost");
    const rows = await requestRowsOnceThere(system.dataDir, 2);
    assert.deepEqual(rows.slice(1), [{ outcome: "cut", errorCode: "worker_lost" }]);
  });

  await t.test("F2: in the middle of a stream of the Responses API: its own error event, not completed", async () => {
    await comeBack();
    const body = {
      model: "simulated",
      input: "Tell me.",
      stream: true,
      simulate: { tokens: 10_000, intervalMs: 10 },
    };
    const exchange = await HttpExchange.open(access, { path: "/responses", body });
    await exchange.until("token-3");

    system.program("worker-a").kill("SIGKILL");
    await exchange.ended;

    const types = sseData(exchange.text).map((data) => (JSON.parse(data) as { type: string }).type);
    assert.ok(types.at(-1) === "error" || types.at(-1) === "response.failed", types.at(-1));
    assert.ok(!types.includes("response.completed"));
  });

  await t.test("F3: in the middle of a body that is no stream: the connection breaks, the body is short", async () => {
    await comeBack();
    const body = { model: "simulated", input: "x", voice: "v", simulate: { tokens: 1000, stallAfter: 500 } };
    const exchange = await HttpExchange.open(access, { path: "/audio/speech", body });
    await exchange.until("\u0001");

    system.program("worker-a").kill("SIGKILL");

    assert.equal(exchange.status, 200);
    assert.equal(await exchange.ended, "cut");
    assert.ok(exchange.bytes.length < 100_000, `${exchange.bytes.length}`);
  });
});

const STREAM = { stream: true };

test("a worker that is stopped and goes on", { concurrency: true }, async (t) => {
  /** Stops the worker for so long under five streams; resolves with them. */
  const stopFor = async (system: System, ms: number) => {
    const body = () => chatBody({ tokens: 200, intervalMs: 20 }, STREAM);
    const exchanges = await openStreams(system.access, 5, body);
    const worker = system.program("worker-a");
    worker.kill("SIGSTOP");
    await sleep(ms);
    worker.kill("SIGCONT");
    return exchanges;
  };

  const pauses = [
    [2, takes(5)],
    [20, takes(25)],
  ] as const;
  const goesOn = pauses.map(([seconds, options]) =>
    t.test(`F7: for ${seconds} s: its streams go on and are whole, no session is lost`, options, async (t) => {
      await using system = await System.start(t);

      const exchanges = await stopFor(system, seconds * 1000);

      for (const exchange of exchanges) await assertWholeStream(exchange, 200);
      assert.equal(await readMetric(system.hub.url, 'tunnel_connects_total{result="accepted"}'), CONNECTIONS);
    }),
  );

  const isLost = t.test(
    "F7: for 60 s: its streams fail after 35 s, then it frees the engine and registers again",
    takes(75),
    async (t) => {
      await using system = await System.start(t);
      const body = () => chatBody({ tokens: 100_000, intervalMs: 20 }, STREAM);
      const exchanges = await openStreams(system.access, 5, body);
      const worker = system.program("worker-a");

      const start = performance.now();
      worker.kill("SIGSTOP");
      for (const exchange of exchanges) await assertCutStream(exchange, "worker_lost");
      const noticedMs = performance.now() - start;
      assert.deepEqual(await system.hub.models(system.apiKey), []);
      await sleep(60_000 - noticedMs);
      worker.kill("SIGCONT");

      assert.ok(noticedMs > 20_000 && noticedMs < 37_500, `${noticedMs} ms`);
      await system.engine.waitFor((counts) => counts.cancelled === 5 && counts.active === 0);
      await system.listing("simulated");
    },
  );
  await Promise.all([...goesOn, isLost]);
});

test("a hub that is stopped and goes on", { concurrency: true }, async (t) => {
  /** Stops the hub for so long under five streams; resolves with them. */
  const stopFor = async (system: System, ms: number, tokens: number) => {
    const exchanges = await openStreams(system.access, 5, () => chatBody({ tokens, intervalMs: 20 }, STREAM));
    const { process: program } = system.hub;
    program.kill("SIGSTOP");
    await sleep(ms);
    program.kill("SIGCONT");
    return exchanges;
  };

  const goesOn = t.test(
    "F7: the hub, for 15 s: its streams are whole, no session is lost, also of an idle worker, no upload is too slow",
    takes(25),
    async (t) => {
      await using system = await System.start(t);
      await system.addWorker("idle", { models: { idle: system.engine.url } });
      await system.listing("idle");
      using upload = await RawConnection.open(system.hub.port);
      const body = JSON.stringify(chatBody({ tokens: 1 }));
      upload.write(
        `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${system.apiKey}\r\n` +
          `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body.slice(0, 10)}`,
      );

      const stopped = stopFor(system, 15_000, 200);
      await sleep(12_000);
      upload.write(body.slice(10));

      for (const exchange of await stopped) await assertWholeStream(exchange, 200);
      assert.equal((await upload.answer()).status, 200);
      assert.equal(await readMetric(system.hub.url, 'tunnel_connects_total{result="accepted"}'), 2 * CONNECTIONS);
    },
  );

  const isLost = t.test(
    "F7: the hub, for 60 s: its workers leave after 35 s and free their engines, and are back at once when it goes on",
    takes(75),
    async (t) => {
      await using system = await System.start(t);
      const start = performance.now();
      const stopped = stopFor(system, 60_000, 100_000);
      await system.engine.waitFor((counts) => counts.active === 5);

      await system.engine.waitFor((counts) => counts.active === 0, { timeoutMs: 60_000 });
      const noticedMs = performance.now() - start;
      const exchanges = await stopped;
      const wentOn = performance.now();
      // The first one may still meet a connection that is dead.
      await eventually("a request is served", async () => {
        const { status } = await HttpExchange.whole(system.access, { body: chatBody() });
        return status === 200;
      });
      const backMs = performance.now() - wentOn;

      t.diagnostic(`left after ${noticedMs.toFixed(0)} ms, served again after ${backMs.toFixed(0)} ms`);
      for (const exchange of exchanges) await assertCutStream(exchange, "worker_lost");
      assert.ok(noticedMs > 20_000 && noticedMs < 40_000, `${noticedMs} ms`);
      assert.ok(backMs < 3_000, `${backMs} ms`);
    },
  );
  await Promise.all([goesOn, isLost]);
});

test(
  "F14: a hub that is asked to stop ends 200 streams whole, takes nothing new, and is gone within the grace",
  takes(6),
  async (t) => {
    await using system = await System.start(t, { workerEnv: { TOKIAME_MAX_CONCURRENT: "200" } });
    const exchanges = await openStreams(system.access, 200, () => chatBody({ tokens: 100, intervalMs: 20 }, STREAM));

    const start = performance.now();
    system.hub.process.kill("SIGTERM");
    await system.hub.process.findLine((line) => line.includes('"stopping') || undefined);
    const refused = await HttpExchange.whole(system.access, { body: chatBody() }).then(
      (exchange) => exchange.status,
      () => "no connection" as const,
    );
    for (const exchange of exchanges) await assertWholeStream(exchange, 100);
    const exit = await system.hub.process.exited;
    const tookMs = performance.now() - start;

    assert.ok(refused === 503 || refused === "no connection", `${refused}`);
    assert.deepEqual(exit, { code: 0, signal: null });
    assert.ok(tookMs < 10_000, `${tookMs} ms`);
  },
);
