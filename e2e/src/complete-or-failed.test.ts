import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";

import type { Behaviour } from "@tokilake/tiny-engine";
import OpenAI from "openai";

import { startEngineProcess } from "./engine.ts";
import { chatBody, chatText, HttpExchange, simulatedText, sseData } from "./http-exchange.ts";
import { type Access, System } from "./system.ts";

/** Tokens of a good simulated answer. */
const TOKENS = 20;

/** Short waits, so that an engine that falls silent is given up within the test. */
const SHORT_WAITS = {
  TOKILAKE_FIRST_TOKEN_TIMEOUT_MS: "1000",
  TOKILAKE_IDLE_TIMEOUT_MS: "1000",
  TOKILAKE_TOTAL_TIMEOUT_MS: "2000",
};

/** `honest`: either of the two. The engine sent everything and then broke HTTP, so nothing of the answer is missing. */
type Outcome = "complete" | "failed" | "honest";

type Case = readonly [what: string, behaviour: Behaviour, streamed: Outcome, whole: Outcome];

/** What the engine does, and how the answer must look then: streamed, and not streamed. */
const CASES: readonly Case[] = [
  ["answers well", {}, "complete", "complete"],
  ["sends each byte alone", { byteAtATime: true, tokens: TOKENS }, "complete", "complete"],
  ["uses every oddity of event streams", { oddSse: true }, "complete", "complete"],
  ["never reports usage", { usage: false }, "complete", "complete"],
  ["always reports usage", { usage: true }, "complete", "complete"],
  ["closes before its head", { cutAfter: -1 }, "failed", "failed"],
  ["closes after its head", { cutAfter: 0 }, "failed", "failed"],
  ["closes in the middle", { cutAfter: 5 }, "failed", "failed"],
  ["closes after its last token", { cutAfter: TOKENS }, "failed", "failed"],
  ["resets before its head", { resetAfter: -1 }, "failed", "failed"],
  ["resets after its head", { resetAfter: 0 }, "failed", "failed"],
  ["resets in the middle", { resetAfter: 5 }, "failed", "failed"],
  ["resets after its last token", { resetAfter: TOKENS }, "failed", "failed"],
  // At a pace the beginning is with the client when the failure comes; without, the hub sees both at once.
  ["closes in the middle of a slow answer", { cutAfter: 5, intervalMs: 10 }, "failed", "failed"],
  ["resets in the middle of a slow answer", { resetAfter: 5, intervalMs: 10 }, "failed", "failed"],
  ["tells an error in the middle of a slow answer", { errorMidStream: 5, intervalMs: 10 }, "failed", "complete"],
  ["tells an error at once", { errorMidStream: 0 }, "failed", "complete"],
  ["tells an error in the middle", { errorMidStream: 5 }, "failed", "complete"],
  ["tells an error after its last token", { errorMidStream: TOKENS }, "failed", "complete"],
  ["announces more bytes than it sends", { contentLengthLie: 10 }, "honest", "failed"],
  ["announces fewer bytes than it sends", { contentLengthLie: -10 }, "honest", "failed"],
  ["answers an error under status 200", { errorIn200: true }, "failed", "failed"],
  ["answers 400", { status: 400 }, "failed", "failed"],
  ["answers 429", { status: 429 }, "failed", "failed"],
  ["answers 500", { status: 500 }, "failed", "failed"],
  ["answers 503", { status: 503 }, "failed", "failed"],
];

/** The same for engines that fall silent. Each takes as long as the hub waits. */
const SILENT_CASES: readonly Case[] = [
  ["falls silent before its head", { stallAfter: -1 }, "failed", "failed"],
  ["falls silent after its head", { stallAfter: 0 }, "failed", "failed"],
  ["falls silent in the middle", { stallAfter: 5 }, "failed", "failed"],
  ["falls silent after its last token", { stallAfter: TOKENS }, "failed", "failed"],
];

/** A client may take an answer for complete only if it is: whatever says so, the whole text must be there. */
function assertHonest(exchange: HttpExchange, end: "clean" | "cut", outcome: Outcome): void {
  const hasDone = sseData(exchange.text).includes("[DONE]");
  const looksComplete = hasDone || (exchange.status === 200 && end === "clean" && !exchange.text.includes('"error"'));
  if (outcome === "failed") assert.ok(!looksComplete, `nothing says that this failed: ${exchange.text.slice(-500)}`);
  if (looksComplete) assertWhole(exchange);
  else assertVisiblyFailed(exchange, end);
  if (outcome !== "complete") return;
  assert.ok(looksComplete && end === "clean", exchange.text.slice(-500));
  if (isStream(exchange)) assert.equal(sseData(exchange.text).at(-1), "[DONE]");
}

function assertWhole(exchange: HttpExchange): void {
  assert.equal(isStream(exchange) ? chatText(exchange.text) : wholeText(exchange), simulatedText(TOKENS));
}

/** By its status, by an error event at its end, or by a connection that breaks. */
function assertVisiblyFailed(exchange: HttpExchange, end: "clean" | "cut"): void {
  if (exchange.status !== 200) assertErrorBody(exchange.text);
  else if (isStream(exchange) && end === "clean") assertErrorBody(sseData(exchange.text).at(-1) ?? "");
  else assert.equal(end, "cut");
}

function isStream(exchange: HttpExchange): boolean {
  return exchange.headers["content-type"]?.startsWith("text/event-stream") === true;
}

function wholeText(exchange: HttpExchange): string | undefined {
  const { choices } = exchange.json as { choices: { message: { content: string } }[] };
  return choices[0]?.message.content;
}

/** OpenAI's error object, as its SDKs parse it. */
function assertErrorBody(json: string): void {
  const { error } = JSON.parse(json) as { error: Record<string, unknown> };
  assert.deepEqual(Object.keys(error).toSorted(), ["code", "message", "param", "type"]);
}

/** Three subtests for each case: the bytes of a streamed answer, of one that is not, and what an SDK makes of it. */
function testCases(t: TestContext, access: Access, cases: readonly Case[]): Promise<void>[] {
  return cases.flatMap(([what, simulate, streamed, whole]) => [
    t.test(`streamed, when the engine ${what}: ${streamed}`, async () => {
      const exchange = await HttpExchange.open(access, { body: chatBody(simulate, { stream: true }) });

      assertHonest(exchange, await exchange.ended, streamed);
    }),

    t.test(`not streamed, when the engine ${what}: ${whole}`, async () => {
      const exchange = await HttpExchange.open(access, { body: chatBody(simulate) });

      assertHonest(exchange, await exchange.ended, whole);
    }),

    t.test(`the SDK is told the same, when the engine ${what}: ${streamed}`, async () => {
      const text = await readBySdk(access, simulate).catch((thrown: unknown) => {
        assert.ok(thrown instanceof Error && streamed !== "complete", String(thrown));
      });

      if (text === undefined) return;
      assert.notEqual(streamed, "failed", "the SDK did not raise");
      assert.equal(text, simulatedText(TOKENS));
    }),
  ]);
}

/** The text of a stream as the SDK gives it. Rejects as the SDK does. */
async function readBySdk(access: Access, simulate: Behaviour): Promise<string> {
  const client = new OpenAI({ ...access, maxRetries: 0, timeout: 20_000 });
  // The SDK sends fields that its types do not know.
  const unknownFields: object = { simulate };
  const stream = await client.chat.completions.create({
    model: "simulated",
    messages: [{ role: "user", content: "Tell me." }],
    stream: true,
    ...unknownFields,
  });
  const chunks = await Array.fromAsync(stream);
  return chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
}

// At the same time: what takes long here is waiting.
test("an engine that falls silent is given up, visibly", { concurrency: true }, async (t) => {
  await using system = await System.start(t, { hubEnv: SHORT_WAITS });

  await Promise.all(testCases(t, system.access, SILENT_CASES));

  await system.engine.waitFor((counts) => counts.active === 0);
});

test("an answer is complete or visibly failed", async (t) => {
  await using system = await System.start(t);
  const { access } = system;

  for (const each of CASES) await Promise.all(testCases(t, access, [each]));

  await t.test("a stream that the engine ends without [DONE] gets none from the hub", async () => {
    const exchange = await HttpExchange.whole(access, { body: chatBody({ noDone: true }, { stream: true }) });

    assert.equal(chatText(exchange.text), simulatedText(TOKENS));
    assert.ok(!exchange.text.includes("[DONE]"));
  });

  await t.test("an empty answer is given when there is no other worker, with its own end", async () => {
    const exchange = await HttpExchange.open(access, { body: chatBody({ emptyAnswer: true }, { stream: true }) });

    assert.equal(exchange.status, 200);
    assert.equal(await exchange.ended, "clean");
    assert.equal(chatText(exchange.text), "");
    assert.match(exchange.text, /"finish_reason":"stop"/);
    assert.equal(sseData(exchange.text).at(-1), "[DONE]");
  });
});

test("the Responses API tells a failure in its own way", async (t) => {
  await using system = await System.start(t, { hubEnv: SHORT_WAITS });
  const client = new OpenAI({ ...system.access, maxRetries: 0, timeout: 20_000 });

  for (const fault of [{ cutAfter: 5 }, { resetAfter: 5 }, { stallAfter: 5 }, { errorMidStream: 5 }]) {
    // At a pace, so that the beginning is with the client when the failure comes.
    const simulate = { ...fault, intervalMs: 10 };

    await t.test(`an error event, after ${JSON.stringify(fault)}`, async () => {
      const body = { model: "simulated", input: "Tell me.", stream: true, simulate };

      const exchange = await HttpExchange.whole(system.access, { path: "/responses", body });

      const types = sseData(exchange.text).map((data) => (JSON.parse(data) as { type: string }).type);
      assert.ok(types.includes("response.output_text.delta"));
      assert.ok(types.at(-1) === "error" || types.at(-1) === "response.failed", types.at(-1));
      assert.ok(!types.includes("response.completed"));
    });

    await t.test(`the SDK sees no completed response, after ${JSON.stringify(fault)}`, async () => {
      const unknownFields: object = { simulate };

      const stream = client.responses.stream({ model: "simulated", input: "Tell me.", ...unknownFields });

      await assert.rejects(stream.finalResponse());
    });
  }
});

test("an engine process that is killed in the middle of its answer", async (t) => {
  await using engine = await startEngineProcess({ simulated: true });
  await using system = await System.start(t, { moreModels: { killable: engine.url } });
  const body = chatBody({ tokens: 10_000, intervalMs: 5 }, { model: "killable", stream: true });
  const exchange = await HttpExchange.open(system.access, { body });
  await exchange.until("token-3");

  engine.process.kill("SIGKILL");

  assertHonest(exchange, await exchange.ended, "failed");
  const after = await HttpExchange.whole(system.access, { body });
  assert.equal(after.status, 502, "its connection is refused now");
  assertErrorBody(after.text);
});
