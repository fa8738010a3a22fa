import assert from "node:assert/strict";
import { test } from "node:test";

import { eventually } from "./eventually.ts";
import { chatBody, chatText, HttpExchange, simulatedText, sseData } from "./http-exchange.ts";
import { createKey, listKeys, revokeKey } from "./hub.ts";
import { System } from "./system.ts";

/** A stream of two seconds: a revocation by the command line falls into it. */
const RUNNING = chatBody({ tokens: 200, intervalMs: 10 }, { stream: true });
/** One that only the revocation ends. */
const ENDLESS = chatBody({ tokens: 100_000, intervalMs: 10 }, { stream: true });

function errorOf(exchange: HttpExchange): { code: string; message: string } {
  const { error } = JSON.parse(sseData(exchange.text).at(-1) ?? "{}") as { error: { code: string; message: string } };
  return error;
}

test("a key that is revoked while it is used", async (t) => {
  await using system = await System.start(t);
  const { access, engine, dataDir } = system;

  await t.test("an API key: its streams end with a clear error, those of others go on", async () => {
    const secret = await createKey(dataDir, "api", "short-lived");
    const doomed = { ...access, apiKey: secret };
    await eventually("the hub knows the new key", async () => (await system.hub.models(secret)).length > 0);
    const other = await HttpExchange.open(access, { body: RUNNING });
    const ended = await HttpExchange.open(doomed, { body: ENDLESS });
    await Promise.all([other.until("token-3"), ended.until("token-3")]);
    const { cancelled } = engine.counts();

    await revokeKey(dataDir, "short-lived");
    const end = await ended.ended;

    assert.equal(end, "clean");
    assert.equal(errorOf(ended).code, "invalid_api_key");
    assert.match(errorOf(ended).message, /revoked/);
    assert.ok(!ended.text.includes("[DONE]"));
    await engine.waitFor((counts) => counts.cancelled === cancelled + 1);
    const again = await HttpExchange.whole(doomed, { body: chatBody() });
    assert.equal(again.status, 401);
    await other.ended;
    assert.equal(chatText(other.text), simulatedText(200));
    assert.equal(sseData(other.text).at(-1), "[DONE]");
  });

  await t.test("a worker key: its worker is dropped and cannot come back, the other worker goes on", async () => {
    const token = await createKey(dataDir, "worker", "borrowed");
    await system.addWorker("worker-b", { models: { borrowed: engine.url }, token });
    await system.listing("borrowed");
    const other = await HttpExchange.open(access, { body: RUNNING });
    const cut = await HttpExchange.open(access, { body: { ...ENDLESS, model: "borrowed" } });
    await Promise.all([other.until("token-3"), cut.until("token-3")]);
    const { cancelled } = engine.counts();

    await revokeKey(dataDir, "borrowed");
    await cut.ended;

    assert.equal(errorOf(cut).code, "worker_lost");
    assert.ok(!cut.text.includes("[DONE]"));
    await engine.waitFor((counts) => counts.cancelled === cancelled + 1);
    await system.hub.notListing(access.apiKey, ["borrowed"]);
    await eventually("the worker says that its key was refused", () => /revoked/.test(system.program("worker-b").log));
    await other.ended;
    assert.equal(sseData(other.text).at(-1), "[DONE]");
  });

  await t.test("both are listed as revoked", async () => {
    const keys = await listKeys(dataDir);

    const revoked = keys.filter((key) => key.revokedAtMs !== null).map((key) => `${key.kind} ${key.name}`);
    assert.deepEqual(revoked.toSorted(), ["api short-lived", "worker borrowed"]);
  });
});
