import assert from "node:assert/strict";
import { test } from "node:test";

import { eventually } from "../eventually.ts";
import { chatBody, HttpExchange } from "../http-exchange.ts";
import { createKey } from "../hub.ts";
import { System } from "../system.ts";
import { assertWholeStream, openStreams } from "./endings.ts";
import { takes } from "./long.ts";

const STREAM = { stream: true };

test("a second worker takes a name that is in use", async (t) => {
  await using system = await System.start(t);
  const { access, engine } = system;

  await t.test("F11: with another owner's key: it is refused and ends, the first one is not touched", async () => {
    const [running] = await openStreams(access, 1, () => chatBody({ tokens: 100, intervalMs: 20 }, STREAM));
    const token = await createKey(system.dataDir, "worker", "somebody-else");

    const other = await system.addWorker("worker-a", { token, models: { stolen: engine.url } });
    const { code } = await other.exited;

    assert.equal(code, 6, other.log);
    assert.match(other.log, /name/);
    assert.ok(running !== undefined);
    await assertWholeStream(running, 100);
    assert.deepEqual(await system.hub.models(access.apiKey), ["simulated"]);
  });

  await t.test("F11: with the same key: the newest serves, the first one's streams end within its 5 s", async () => {
    const first = system.program("worker-a");
    const [running] = await openStreams(access, 1, () => chatBody({ tokens: 150, intervalMs: 20 }, STREAM));

    await system.addWorker("worker-a", { models: { simulated: engine.url, newest: engine.url } });
    await system.listing("newest");
    const answer = await HttpExchange.whole(access, { body: chatBody({}, { model: "newest" }) });
    // It would take the name back after its pause.
    await eventually("the first one knows", () => /another|newer|superseded/i.test(first.log));

    assert.equal(answer.status, 200);
    assert.ok(running !== undefined);
    await assertWholeStream(running, 150);
    first.kill("SIGKILL");
  });
});

test("F11: two processes fight for a name", takes(30), async (t) => {
  // One connection each: every take-over is then one line of the hub's log.
  const env = { TOKIAME_CONNECTIONS: "1" };
  await using system = await System.start(t, { workerEnv: env });
  const { hub } = system;
  const first = system.program("worker-a");
  const second = await system.addWorker("worker-a", { env });

  await t.test(
    "F11: after three changes the hub takes no fourth, and goes on serving with the one it has",
    async () => {
      await eventually("one of the two is refused", () => hub.process.log.includes("two processes use"), 60_000);

      assert.equal(hub.process.log.split("session superseded").length - 1, 3);
      assert.equal((await HttpExchange.whole(system.access, { body: chatBody() })).status, 200);
    },
  );

  await t.test("F11: who lost the name waits for at least 5 s before it takes it back", () => {
    const changes = hub.process.log.split("\n").filter((line) => line.includes("session superseded"));
    const times = changes.map((line) => (JSON.parse(line) as { time: number }).time);

    for (const [index, time] of times.slice(1).entries()) assert.ok(time - (times[index] ?? NaN) > 4500, times.join());
  });

  await t.test("F11: the one that is sent away says why, and for how long", async () => {
    await eventually("it says so", () => /two processes.*next attempt in 3\d\d s/.test(first.log + second.log), 2000);
  });
});
