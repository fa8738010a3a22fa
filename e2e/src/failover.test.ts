import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";

import { type Behaviour, type SimulatedEngine, startSimulatedEngine } from "@tokilake/tiny-engine";

import { eventually } from "./eventually.ts";
import { chatBody, chatText, HttpExchange, simulatedText, sseData } from "./http-exchange.ts";
import type { RunningProcess } from "./running-process.ts";
import { System } from "./system.ts";

/** One worker with an engine of its own, whose behaviour for the shared model can be changed at any time. */
interface Side {
  readonly name: string;
  readonly engine: SimulatedEngine;
  readonly behaviours: Record<string, Behaviour>;
  worker: RunningProcess;
}

/** Two workers that serve the same model. */
class Pair implements AsyncDisposable {
  readonly system: System;
  readonly sides: readonly Side[];
  readonly #closing: AsyncDisposableStack;

  private constructor(system: System, sides: readonly Side[], closing: AsyncDisposableStack) {
    this.system = system;
    this.sides = sides;
    this.#closing = closing;
  }

  static async start(t: TestContext): Promise<Pair> {
    await using closing = new AsyncDisposableStack();
    const system = closing.use(await System.start(t, { worker: false }));
    const sides: Side[] = [];
    for (const name of ["worker-a", "worker-b"]) {
      const behaviours: Record<string, Behaviour> = {};
      const engine = closing.use(await startSimulatedEngine({ behaviours }));
      sides.push({ name, engine, behaviours, worker: await startSide(system, name, engine) });
    }
    return new Pair(system, sides, closing.move());
  }

  /** Both engines answer the shared model so, from now on; a side whose worker was killed comes back. */
  async behave(behaviour: Behaviour): Promise<void> {
    for (const side of this.sides) {
      if (side.worker.isGone) side.worker = await startSide(this.system, side.name, side.engine);
      side.behaviours["shared"] = behaviour;
      side.engine.reset();
    }
    await this.system.listing("only-worker-a", "only-worker-b");
  }

  /** The side whose engine was asked, and the other one. */
  async asked(): Promise<{ asked: Side; other: Side }> {
    return eventually("one of the engines is asked", () => {
      const asked = this.sides.find((side) => side.engine.counts().asked > 0);
      const other = this.sides.find((side) => side !== asked);
      return asked !== undefined && other !== undefined && { asked, other };
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#closing[Symbol.asyncDispose]();
  }
}

function startSide(system: System, name: string, engine: SimulatedEngine): Promise<RunningProcess> {
  // The model of its own tells when this very worker is listed.
  return system.addWorker(name, { models: { shared: engine.url, [`only-${name}`]: engine.url } });
}

/** `simulate` is left out: each engine answers as its side says. */
function sharedBody(fields: object = {}): object {
  return { model: "shared", messages: [{ role: "user", content: "Tell me." }], ...fields };
}

test("two workers serve one model", async (t) => {
  await using pair = await Pair.start(t);
  const { access } = pair.system;

  for (const [when, behaviour] of [
    ["before the head", { headMs: 60_000 }],
    ["after the head, before the first content", { firstTokenMs: 60_000 }],
  ] as const) {
    await t.test(`the client does not notice that a worker is killed ${when} of its stream`, async () => {
      await pair.behave(behaviour);
      const opening = HttpExchange.open(access, { body: sharedBody({ stream: true }) });
      const { asked, other } = await pair.asked();
      other.behaviours["shared"] = {};

      asked.worker.kill("SIGKILL");
      await asked.worker.exited;
      using exchange = await opening;

      assert.equal(exchange.status, 200);
      assert.equal(await exchange.ended, "clean");
      assert.equal(exchange.headers["x-tokilake-worker"], other.name);
      assert.equal(chatText(exchange.text), simulatedText(20));
      assert.equal(sseData(exchange.text).at(-1), "[DONE]");
    });
  }

  await t.test("the client does not notice that a worker is killed under an answer that is not streamed", async () => {
    await pair.behave({ headMs: 60_000 });
    const opening = HttpExchange.whole(access, { body: sharedBody() });
    const { asked, other } = await pair.asked();
    other.behaviours["shared"] = {};

    asked.worker.kill("SIGKILL");
    await asked.worker.exited;
    const exchange = await opening;

    assert.equal(exchange.status, 200);
    const { choices } = exchange.json as { choices: { message: { content: string } }[] };
    assert.equal(choices[0]?.message.content, simulatedText(20));
  });

  for (const [what, bad] of [
    ["refuses the connection after the head", { resetAfter: 0 }],
    ["answers 500", { status: 500 }],
    ["answers 429", { status: 429 }],
    ["answers an error under status 200", { errorIn200: true }],
    ["answers nothing", { emptyAnswer: true }],
    ["breaks off before the first token", { cutAfter: 0 }],
  ] as const) {
    await t.test(`the client does not notice that one engine ${what}`, async () => {
      await pair.behave({});
      const [first, second] = pair.sides;
      assert.ok(first !== undefined && second !== undefined);
      first.behaviours["shared"] = bad;

      // Whichever is asked first, four requests meet the bad one: idle workers are picked by lot.
      for (let run = 0; run < 20 && first.engine.counts().asked < 4; run += 1) {
        const exchange = await HttpExchange.whole(access, { body: sharedBody({ stream: true }) });
        assert.equal(exchange.status, 200);
        assert.equal(chatText(exchange.text), simulatedText(20));
        assert.equal(sseData(exchange.text).at(-1), "[DONE]");
      }

      assert.ok(first.engine.counts().asked > 0, "the bad engine was never asked");
    });
  }

  await t.test("when both engines fail, the client is told in one error", async () => {
    await pair.behave({ resetAfter: -1 });

    const exchange = await HttpExchange.whole(access, { body: sharedBody({ stream: true }) });

    assert.equal(exchange.status, 502);
    // Once more where the connection was an idle one, which an engine may close in the moment in which a request leaves.
    assert.ok(pair.sides.every((side) => [1, 2].includes(side.engine.counts().asked)));
    const { error } = exchange.json as { error: { type: string; code: string } };
    assert.equal(error.type, "server_error");
  });

  await t.test("a worker killed in the middle fails its streams visibly and touches no other", async () => {
    await pair.behave({ tokens: 150, intervalMs: 10 });
    const tags = Array.from({ length: 12 }, (_, index) => `tag-${index}`);
    const exchanges = await Promise.all(
      tags.map((user) => HttpExchange.open(access, { body: sharedBody({ stream: true, user }) })),
    );
    await Promise.all(exchanges.map((exchange) => exchange.until("token-5")));
    const [killed, living] = pair.sides;
    assert.ok(killed !== undefined && living !== undefined);

    killed.worker.kill("SIGKILL");
    await killed.worker.exited;
    await Promise.all(exchanges.map((exchange) => exchange.ended));

    const served = exchanges.map((exchange) => exchange.headers["x-tokilake-worker"]);
    assert.deepEqual(new Set(served), new Set(["worker-a", "worker-b"]));
    for (const [index, exchange] of exchanges.entries()) {
      if (served[index] === living.name) assertComplete(exchange, 150);
      else assertCut(exchange, 150, "worker_lost");
    }
  });

  await t.test("a killed worker's model stays listed while another serves it, and its own model goes", async () => {
    await pair.behave({});
    const [killed] = pair.sides;
    assert.ok(killed !== undefined);

    killed.worker.kill("SIGKILL");
    await killed.worker.exited;
    await pair.system.hub.notListing(access.apiKey, [`only-${killed.name}`]);

    assert.deepEqual((await pair.system.hub.models(access.apiKey)).includes("shared"), true);
    const gone = await HttpExchange.whole(access, { body: chatBody({}, { model: `only-${killed.name}` }) });
    assert.equal(gone.status, 503);
    assert.match(gone.headers["retry-after"] ?? "", /^\d+$/);
  });
});

function assertComplete(exchange: HttpExchange, tokens: number): void {
  assert.equal(chatText(exchange.text), simulatedText(tokens));
  assert.equal(sseData(exchange.text).at(-1), "[DONE]");
}

/** A failure after the first content: what came is a beginning, one error event ends it, `[DONE]` does not come. */
function assertCut(exchange: HttpExchange, tokens: number, code: string): void {
  const data = sseData(exchange.text);
  const last = JSON.parse(data.at(-1) ?? "") as { error?: { type: string; code: string; message: string } };
  assert.equal(last.error?.code, code);
  assert.equal(last.error.type, "server_error");
  assert.ok(last.error.message.length > 0);
  assert.ok(!data.includes("[DONE]"));
  assert.ok(simulatedText(tokens).startsWith(chatText(exchange.text)));
}
