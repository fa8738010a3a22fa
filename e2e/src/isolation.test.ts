import assert from "node:assert/strict";
import { test } from "node:test";

import { chatBody, chatText, HttpExchange, simulatedText, sseData } from "./http-exchange.ts";
import { RawConnection } from "./raw-connection.ts";
import { System } from "./system.ts";

const MiB = 1024 * 1024;
/** Bytes of one event of the stalled stream. */
const EVENT_BYTES = 16 * 1024;
/**
 * The most that may be under way to a client that reads nothing: the tunnel's window and send queue, and the kernel's
 * buffers of three loopback connections, which grow to about 6 MiB each.
 */
const MAX_UNDER_WAY_BYTES = 32 * MiB;
const MAX_GROWTH_BYTES = 64 * MiB;

test("a client that stops reading", async (t) => {
  await using system = await System.start(t);
  const { engine, hub, access } = system;
  const worker = system.program("worker-a");

  await t.test("holds up none of fifty other streams, and little memory", async () => {
    const before = { hub: hub.process.rssBytes(), worker: worker.rssBytes() };
    using stalled = await RawConnection.open(hub.port);
    const body = JSON.stringify(
      chatBody({ tokens: 100_000, chunkBytes: EVENT_BYTES }, { stream: true, user: "stalled" }),
    );
    stalled.write(
      `POST /v1/chat/completions HTTP/1.1\r\nhost: hub\r\nauthorization: Bearer ${access.apiKey}\r\n` +
        `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    await stalled.until("token-0");
    stalled.stopReading();

    const busy = chatBody({ tokens: 200, intervalMs: 10 }, { stream: true });
    const started = performance.now();
    const exchanges = await Promise.all(Array.from({ length: 50 }, () => HttpExchange.whole(access, { body: busy })));
    const tookMs = performance.now() - started;

    for (const exchange of exchanges) {
      assert.equal(chatText(exchange.text), simulatedText(200));
      assert.equal(sseData(exchange.text).at(-1), "[DONE]");
    }
    // At their pace they take 2 s. A stream that waited for the stalled one would never have ended.
    assert.ok(tookMs < 10_000, `${tookMs} ms`);
    const record = engine.requests.find((each) => each.bodyText?.includes("stalled"));
    const underWay = (record?.tokensSent ?? Infinity) * EVENT_BYTES;
    const growth = { hub: hub.process.rssBytes() - before.hub, worker: worker.rssBytes() - before.worker };
    t.diagnostic(
      `busy streams took ${Math.round(tookMs)} ms; under way ${(underWay / MiB).toFixed(1)} MiB; ` +
        `growth of the hub ${(growth.hub / MiB).toFixed(1)} MiB, of the worker ${(growth.worker / MiB).toFixed(1)} MiB`,
    );
    assert.equal(record?.outcome, "active");
    assert.ok(underWay < MAX_UNDER_WAY_BYTES, `${underWay} bytes`);
    assert.ok(growth.hub < MAX_GROWTH_BYTES && growth.worker < MAX_GROWTH_BYTES);
  });

  await t.test("frees the engine when it goes away at last", async () => {
    await engine.waitFor((counts) => counts.active === 0);

    assert.equal(engine.counts().cancelled, 1);
  });

  await t.test("does not hold up an upload on the same tunnel, nor the list of models", async () => {
    using stalled = await RawConnection.open(hub.port);
    const body = JSON.stringify(chatBody({ tokens: 100_000, chunkBytes: EVENT_BYTES }, { stream: true }));
    stalled.write(
      `POST /v1/chat/completions HTTP/1.1\r\nhost: hub\r\nauthorization: Bearer ${access.apiKey}\r\n` +
        `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    await stalled.until("token-0");
    stalled.stopReading();

    const input = "word ".repeat(1_000_000);
    const embedding = await HttpExchange.whole(access, { path: "/embeddings", body: { model: "simulated", input } });

    assert.equal(embedding.status, 200);
    assert.deepEqual(await hub.models(access.apiKey), ["simulated"]);
  });
});
