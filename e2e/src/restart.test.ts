import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";

import { eventually } from "./eventually.ts";
import { chatBody, chatText, HttpExchange, simulatedText, sseData } from "./http-exchange.ts";
import { listKeys } from "./hub.ts";
import { System } from "./system.ts";

/** What the request log on disk says of a request. The file is read as an operator's own tool would. */
function outcomesInLog(dataDir: string): string[] {
  const database = new DatabaseSync(join(dataDir, "tokilake.db"), { readOnly: true });
  try {
    const rows = database.prepare("SELECT outcome FROM request_log ORDER BY id").all();
    return rows.map((row) => String(row["outcome"]));
  } finally {
    database.close();
  }
}

function errorCode(exchange: HttpExchange): string {
  return (exchange.json as { error: { code: string } }).error.code;
}

test("a hub that is killed", async (t) => {
  await using system = await System.start(t);
  const { engine, dataDir } = system;

  await t.test("breaks its streams visibly and frees the engine", async () => {
    await HttpExchange.whole(system.access, { body: chatBody() });
    await eventually("the request is in the log", () => outcomesInLog(dataDir).length === 1);
    const stream = await HttpExchange.open(system.access, {
      body: chatBody({ tokens: 100_000, intervalMs: 10 }, { stream: true }),
    });
    await stream.until("token-3");

    system.hub.process.kill("SIGKILL");

    assert.equal(await stream.ended, "cut");
    assert.ok(!stream.text.includes("[DONE]"));
    await engine.waitFor((counts) => counts.active === 0);
    assert.equal(engine.counts().cancelled, 1);
  });

  await t.test("knows after the next start only workers that came back, and says when to ask again", async () => {
    const away = system.program("worker-a");
    away.kill("SIGSTOP");
    await system.startHubAgain();

    const without = await HttpExchange.whole(system.access, { body: chatBody() });
    const listedWithout = await system.hub.models(system.apiKey);
    await system.addWorker("worker-b", { models: { another: engine.url } });
    await system.listing("another");
    const stillWithout = await HttpExchange.whole(system.access, { body: chatBody() });
    const listed = await system.hub.models(system.apiKey);
    const unknown = await HttpExchange.whole(system.access, { body: chatBody({}, { model: "unknown" }) });

    for (const refused of [without, stillWithout]) {
      assert.deepEqual([refused.status, errorCode(refused)], [503, "no_worker"]);
      assert.match(refused.headers["retry-after"] ?? "", /^\d+$/);
    }
    assert.deepEqual([listedWithout, listed], [[], ["another"]]);
    assert.deepEqual([unknown.status, errorCode(unknown)], [404, "model_not_found"]);
    away.kill("SIGCONT");
  });

  await t.test("finds its keys, its log and, by itself, its worker after the next start", async () => {
    await system.listing("simulated");

    const answer = await HttpExchange.whole(system.access, { body: chatBody() });

    assert.equal(answer.status, 200);
    assert.deepEqual((await listKeys(dataDir)).map((key) => key.name).toSorted(), ["client", "workers"]);
    await eventually("the new request is in the log, behind the old one", () => {
      const outcomes = outcomesInLog(dataDir);
      return outcomes[0] === "complete" && outcomes.at(-1) === "complete";
    });
  });
});

test("a hub that is asked to stop", async (t) => {
  await using system = await System.start(t);

  await t.test("lets its streams end, takes no new requests, and ends with 0", async () => {
    const stream = await HttpExchange.open(system.access, {
      body: chatBody({ tokens: 150, intervalMs: 10 }, { stream: true }),
    });
    await stream.until("token-3");

    system.hub.process.kill("SIGTERM");
    await system.hub.process.findLine((line) => line.includes('"stopping') || undefined);
    const refused = await HttpExchange.whole(system.access, { body: chatBody() }).then(
      (exchange) => exchange.status,
      () => "no connection" as const,
    );

    assert.ok(refused === 503 || refused === "no connection", `${refused}`);
    assert.equal(await stream.ended, "clean");
    assert.equal(chatText(stream.text), simulatedText(150));
    assert.equal(sseData(stream.text).at(-1), "[DONE]");
    assert.deepEqual(await system.hub.process.exited, { code: 0, signal: null });
    assert.deepEqual(outcomesInLog(system.dataDir), ["complete"]);
  });

  await t.test("is served by the same worker after the next start", async () => {
    await system.startHubAgain({ env: { TOKILAKE_DRAIN_GRACE_MS: "500" } });
    await system.listing("simulated");

    const answer = await HttpExchange.whole(system.access, { body: chatBody() });

    assert.equal(answer.status, 200);
  });

  await t.test("breaks visibly what does not end within the grace", async () => {
    const stream = await HttpExchange.open(system.access, {
      body: chatBody({ tokens: 100_000, intervalMs: 10 }, { stream: true }),
    });
    await stream.until("token-3");

    system.hub.process.kill("SIGTERM");
    const end = await stream.ended;

    assert.ok(!stream.text.includes("[DONE]"));
    if (end === "clean") assert.match(sseData(stream.text).at(-1) ?? "", /"error"/);
    await system.hub.process.exited;
    await system.engine.waitFor((counts) => counts.active === 0);
  });

  await t.test("ends at once when it is asked twice", async () => {
    await system.startHubAgain({ env: { TOKILAKE_DRAIN_GRACE_MS: "60000" } });
    await system.listing("simulated");
    const stream = await HttpExchange.open(system.access, {
      body: chatBody({ tokens: 100_000, intervalMs: 10 }, { stream: true }),
    });
    await stream.until("token-3");

    system.hub.process.kill("SIGTERM");
    await system.hub.process.findLine((line) => line.includes('"stopping') || undefined);
    system.hub.process.kill("SIGTERM");
    await system.hub.process.exited;

    assert.equal(await stream.ended, "cut");
    assert.ok(!stream.text.includes("[DONE]"));
  });
});
