import assert from "node:assert/strict";
import { test } from "node:test";

import type { SimulatedEngine } from "@tokilake/tiny-engine";

import { startEngineProcess } from "./engine.ts";
import { eventually } from "./eventually.ts";
import { chatBody, HttpExchange } from "./http-exchange.ts";
import { type Access, System } from "./system.ts";

/** What the product promises: from the client's hang-up to the engine's own record. */
const PROMISED_MS = 250;
/** One slow run of a busy machine must not fail the promise; the median of so many does. */
const RUNS = 9;

/** Left alone the four stories take 6 s. */
const STOPPED_MS = 2_000;

interface Asking {
  readonly access: Access;
  readonly engine: SimulatedEngine;
}

/** Median of the times from a hang-up to the engine's record of it. `begin` resolves with what hangs up. */
async function medianCancelMs(
  { access, engine }: Asking,
  begin: (access: Access) => Promise<() => void>,
): Promise<number> {
  const times: number[] = [];
  for (let run = 0; run < RUNS; run += 1) {
    const { cancelled } = engine.counts();
    const hangUp = await begin(access);
    const start = performance.now();
    hangUp();
    await engine.waitFor((counts) => counts.cancelled === cancelled + 1);
    times.push(performance.now() - start);
  }
  return times.toSorted((one, other) => one - other)[(RUNS - 1) / 2] ?? NaN;
}

test("a client that goes away frees the engine", async (t) => {
  await using system = await System.start(t);
  const { access, engine } = system;

  await t.test("in the middle of a stream, within 250 ms", async () => {
    const median = await medianCancelMs(system, async () => {
      const body = chatBody({ tokens: 100_000, intervalMs: 10 }, { stream: true });
      const exchange = await HttpExchange.open(access, { body });
      await exchange.until("token-3");
      return () => exchange.hangUp();
    });

    t.diagnostic(`median ${median.toFixed(1)} ms`);
    assert.ok(median <= PROMISED_MS, `${median} ms`);
  });

  await t.test("between two tokens that are a minute apart, within 250 ms", async () => {
    const median = await medianCancelMs(system, async () => {
      const body = chatBody({ stallAfter: 2 }, { stream: true });
      const exchange = await HttpExchange.open(access, { body });
      await exchange.until("token-1");
      return () => exchange.hangUp();
    });

    t.diagnostic(`median ${median.toFixed(1)} ms`);
    assert.ok(median <= PROMISED_MS, `${median} ms`);
  });

  for (const [what, simulate, fields] of [
    ["before the first token of a stream", { firstTokenMs: 60_000 }, { stream: true }],
    ["before the head of an answer that is not streamed", { headMs: 60_000 }, {}],
  ] as const) {
    await t.test(`${what}, within 250 ms`, async () => {
      const median = await medianCancelMs(system, async () => {
        const controller = new AbortController();
        const { asked } = engine.counts();
        const opened = HttpExchange.open(access, { body: chatBody(simulate, fields), signal: controller.signal });
        // It is aborted before or after its head; either is fine.
        void opened.catch(() => {});
        await engine.waitFor((counts) => counts.asked === asked + 1);
        return () => controller.abort();
      });

      t.diagnostic(`median ${median.toFixed(1)} ms`);
      assert.ok(median <= PROMISED_MS, `${median} ms`);
    });
  }

  await t.test("and fifty that go away at once leave nothing running", async () => {
    const { cancelled } = engine.counts();
    const body = chatBody({ tokens: 100_000, intervalMs: 10 }, { stream: true });
    const exchanges = await Promise.all(Array.from({ length: 50 }, () => HttpExchange.open(access, { body })));
    await Promise.all(exchanges.map((exchange) => exchange.until("token-1")));

    for (const exchange of exchanges) exchange.hangUp();
    await engine.waitFor((counts) => counts.cancelled === cancelled + 50);

    assert.equal(engine.counts().active, 0);
    const after = await HttpExchange.whole(access, { body: chatBody() });
    assert.equal(after.status, 200);
  });

  await t.test("in the middle of an upload", async () => {
    const { cancelled } = engine.counts();
    const controller = new AbortController();
    const opened = fetch(`${access.baseURL}/audio/transcriptions`, {
      method: "POST",
      headers: { authorization: `Bearer ${access.apiKey}`, "content-type": "multipart/form-data; boundary=edge" },
      body: endlessForm(),
      duplex: "half",
      signal: controller.signal,
    });
    void opened.catch(() => {});
    await engine.waitFor((counts) => counts.active === 1);

    controller.abort();

    await engine.waitFor((counts) => counts.cancelled === cancelled + 1 && counts.active === 0);
  });
});

test("a client that goes away stops llama.cpp", async (t) => {
  await using engine = await startEngineProcess();
  await using system = await System.start(t, { moreModels: { tiny: engine.url } });
  const processing = async (): Promise<number> => {
    const metrics = await (await fetch(`${engine.url}/metrics`)).text();
    return Number(/requests_processing (\d+)/.exec(metrics)?.[1]);
  };
  const messages = [{ role: "user", content: "Tell me a story." }];
  // Four at once fill its slots and take longer than the promise.
  const body = { model: "tiny", messages, stream: true, ignore_eos: true, max_tokens: 1500 };
  const exchanges = await Promise.all(Array.from({ length: 4 }, () => HttpExchange.open(system.access, { body })));
  await Promise.all(exchanges.map((exchange) => exchange.until("content")));
  assert.equal(await processing(), 4);

  const start = performance.now();
  for (const exchange of exchanges) exchange.hangUp();
  await eventually("the engine does nothing", async () => (await processing()) === 0, STOPPED_MS);

  t.diagnostic(`${(performance.now() - start).toFixed(1)} ms, with the asking`);
  assert.ok(exchanges.every((exchange) => !exchange.text.includes("[DONE]")));
});

/** A form that falls silent in the middle of its file, after more than the hub holds back to find the model in. */
function endlessForm(): ReadableStream<Uint8Array> {
  const head =
    '--edge\r\ncontent-disposition: form-data; name="model"\r\n\r\nsimulated\r\n' +
    '--edge\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n';
  let left = 48;
  return new ReadableStream({
    start: (controller) => controller.enqueue(Buffer.from(head)),
    pull(controller) {
      // Not enqueuing is falling silent: nothing is pulled again.
      if (left > 0) controller.enqueue(Buffer.alloc(64 * 1024, "x"));
      left -= 1;
    },
  });
}
