import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { Agent } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { chatBody, chatText, HttpExchange, simulatedText, sseData } from "./http-exchange.ts";
import { type Access, System } from "./system.ts";

/** How a client connects: anew for each request, or on the connection it has. It never sends a request twice. */
const CLIENTS = {
  fresh: () => new Agent({ keepAlive: false }),
  kept: () => new Agent({ keepAlive: true, maxSockets: 1 }),
};

/** A plain client that asks one request after the other, streamed in turn with whole ones, and notes all that goes wrong. */
class Asker {
  readonly #access: Access;
  readonly #agent: Agent;
  readonly problems: string[] = [];
  answered = 0;
  slowestMs = 0;

  constructor(access: Access, agent: Agent) {
    this.#access = access;
    this.#agent = agent;
  }

  async ask(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const start = performance.now();
      await this.#once().catch((thrown: unknown) => this.problems.push(String(thrown)));
      this.slowestMs = Math.max(this.slowestMs, performance.now() - start);
      this.answered += 1;
    }
    this.#agent.destroy();
  }

  async #once(): Promise<void> {
    const isStreamed = this.answered % 2 === 0;
    const body = chatBody({ tokens: 20, intervalMs: isStreamed ? 5 : 0 }, { stream: isStreamed });
    const exchange = await HttpExchange.whole(this.#access, { body, agent: this.#agent });
    const isWhole = isStreamed
      ? chatText(exchange.text) === simulatedText(20) && sseData(exchange.text).at(-1) === "[DONE]"
      : exchange.text.includes(simulatedText(20));
    if (exchange.status !== 200 || !isWhole) this.problems.push(`${exchange.status} ${exchange.text.slice(0, 300)}`);
  }
}

/** Fewer than there are clients, so that requests wait, and both hubs share them while one replaces the other. */
const FEW_SLOTS = { TOKIAME_MAX_CONCURRENT: "4" };

test("a hub that is reloaded under load", async (t) => {
  await using system = await System.start(t, { hubFlags: ["--reloadable"], workerEnv: FEW_SLOTS });
  const { access, hub } = system;
  const models = { simulated: system.engine.url, "only-b": system.engine.url };
  await system.addWorker("worker-b", { models, env: FEW_SLOTS });
  await system.listing("simulated", "only-b");
  const reload = async () => {
    const stopped = hub.process.findLine((line) => line.includes('"stopped"') || undefined);
    hub.process.kill("SIGHUP");
    await stopped;
  };

  await t.test("loses no request of clients that do not retry, and ends what runs", { timeout: 60_000 }, async () => {
    const long = await HttpExchange.open(access, { body: chatBody({ tokens: 800, intervalMs: 10 }, { stream: true }) });
    await long.until("token-3");
    let isOver = false;
    const askers = Object.values(CLIENTS).flatMap((agent) =>
      Array.from({ length: 8 }, () => new Asker(access, agent())),
    );
    const asking = Promise.all(askers.map((asker) => asker.ask(() => isOver)));

    for (let n = 0; n < 3; n += 1) await reload();
    isOver = true;
    await asking;
    await long.ended;

    const answered = askers.reduce((sum, asker) => sum + asker.answered, 0);
    const slowestMs = Math.max(...askers.map((asker) => asker.slowestMs));
    t.diagnostic(`${answered} requests over 3 reloads, the slowest took ${slowestMs.toFixed(0)} ms`);
    assert.deepEqual(
      askers.flatMap((asker) => asker.problems),
      [],
    );
    assert.ok(answered > 300, `${answered}`);
    assert.ok(slowestMs < 4_000, "requests waited for the first hub to end");
    assert.equal(chatText(long.text), simulatedText(800));
    assert.equal(sseData(long.text).at(-1), "[DONE]");
  });

  await t.test("stays as it is when the new one does not come up", { timeout: 60_000 }, async () => {
    const file = join(system.dataDir, "tokilake.json");
    await writeFile(file, '{"timeouts":{"idleMs":"long"}}');
    const told = hub.process.findLine((line) => line.includes("did not come up") || undefined);

    hub.process.kill("SIGHUP");
    await told;
    await rm(file);
    const answer = await HttpExchange.whole(access, { body: chatBody() });

    assert.equal(answer.status, 200);
    assert.match(hub.process.log, /tokilake\.json: timeouts\.idleMs/);
  });

  await t.test(
    "ends what runs after one SIGTERM to it and to its supervisor, with 0",
    { timeout: 60_000 },
    async () => {
      const stream = await HttpExchange.open(access, {
        body: chatBody({ tokens: 150, intervalMs: 10 }, { stream: true }),
      });
      await stream.until("token-3");

      hub.process.kill("SIGTERM");
      for (const pid of childrenOf(hub.process.pid)) process.kill(pid, "SIGTERM");
      await stream.ended;

      assert.equal(chatText(stream.text), simulatedText(150));
      assert.deepEqual(await hub.process.exited, { code: 0, signal: null });
    },
  );
});

test("a hub that dies beside another one", { timeout: 60_000 }, async (t) => {
  const endless = { body: chatBody({ tokens: 100_000, intervalMs: 10 }, { stream: true }) };

  await t.test("is replaced by the one that starts, and that one ends with 0", async (t) => {
    await using system = await System.start(t, { hubFlags: ["--reloadable"] });
    const { hub } = system;
    const [current] = childrenOf(hub.process.pid);
    assert.ok(current);
    // On another port, as the one before had any that was free.
    const listens = hub.process.findLine((line) => /"url":"([^"]+)".*"listening"/.exec(line)?.[1]);

    hub.process.kill("SIGHUP");
    await hub.process.findLine((line) => line.includes("another hub starts") || undefined);
    process.kill(current, "SIGKILL");
    const answer = await fetch(`${await listens}/readyz`);
    hub.process.kill("SIGTERM");

    assert.equal(answer.status, 200);
    assert.deepEqual(await hub.process.exited, { code: 0, signal: null });
  });

  await t.test("ends all at once when it is the new one, so that the supervisor starts anew", async (t) => {
    await using system = await System.start(t, { hubFlags: ["--reloadable"] });
    const { hub, access } = system;
    const [before] = childrenOf(hub.process.pid);
    const stream = await HttpExchange.open(access, endless);
    await stream.until("token-3");

    hub.process.kill("SIGHUP");
    await hub.process.findLine((line) => line.includes('"listening"') || undefined);
    for (const pid of childrenOf(hub.process.pid)) if (pid !== before) process.kill(pid, "SIGKILL");

    // Not after the grace of the one that drains: nobody would take connections until then.
    const graceMs = 15_000;
    assert.ok(await Promise.race([hub.process.exited, sleep(graceMs, undefined, { ref: false })]));
    assert.equal((await hub.process.exited).code, 1);
    assert.equal(await stream.ended, "cut");
  });
});

/** proc(5): a process's own. */
function childrenOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return children.split(" ").filter(Boolean).map(Number);
}
