import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import type { TunnelStream } from "@tokilake/tunnel";

import type { Metrics, MetricSources } from "./observe/metrics.ts";
import { beginEvents, bodyOf, delta, resetOf, startTestHub, STOP, type TestHub, writeEvent } from "./test-hub.ts";

const CHAT = "/v1/chat/completions";
const KB = 1_024;

/** A hub, and what its gauge of request bodies says. */
async function startMeasuredHub(): Promise<{ readonly hub: TestHub; readonly heldBytes: () => number }> {
  const sources: MetricSources[] = [];
  const metrics: Metrics = {
    requestFinished() {},
    attemptFailed() {},
    tunnelConnect() {},
    tunnelDisconnect() {},
    read: (more) => void sources.push(more),
    render: () => Promise.resolve({ contentType: "text/plain", text: "" }),
  };
  const hub = await startTestHub({}, { metrics });
  const heldBytes = (): number =>
    sources.map((each) => each["tokilake_request_body_bytes"]?.() ?? 0).reduce((a, b) => a + b, 0);
  return { hub, heldBytes };
}

function prompt(bytes: number): object {
  return { model: "m", stream: true, messages: [{ role: "user", content: "x".repeat(bytes) }] };
}

/** With a client that lets go what it sent, as `fetch` does not. Resolves with the answer's head. */
async function ask(hub: TestHub, body: object): Promise<IncomingMessage> {
  const headers = { authorization: "Bearer sk-test" };
  const client = request(hub.url + CHAT, { method: "POST", headers, agent: false });
  client.end(JSON.stringify(body));
  const [answer] = (await once(client, "response")) as [IncomingMessage];
  return answer;
}

async function beginAnswer(stream: TunnelStream): Promise<void> {
  for await (const _chunk of stream.body);
  beginEvents(stream);
  writeEvent(stream, delta("a"));
}

function endAnswer(stream: TunnelStream): void {
  writeEvent(stream, STOP);
  stream.end();
}

test("a stream that goes on holds nothing of its request: neither of the budget for bodies nor in memory", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const { hub, heldBytes } = await startMeasuredHub();
  await using _ = hub;
  const streams: TunnelStream[] = [];
  await hub.connect(async (stream) => {
    streams.push(stream);
    await beginAnswer(stream);
  });
  const inMemory = async (): Promise<number> => {
    // What one collection lets go may hold what only the next one finds.
    for (let turn = 0; turn < 3; turn += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      collect();
    }
    return process.memoryUsage().arrayBuffers;
  };
  const count = 30;

  const before = await inMemory();
  const answers: IncomingMessage[] = [];
  for (let index = 0; index < count; index += 1) answers.push(await ask(hub, prompt(900 * KB)));
  const grown = (await inMemory()) - before;

  assert.equal(heldBytes(), 0);
  assert.ok(grown < (count * 900 * KB) / 3, `${count} streams hold ${Math.round(grown / KB)} KiB`);
  streams.forEach(endAnswer);
  for (const answer of answers) await answer.toArray();
});

test("an engine that answers before it has all of a request leaves the rest in the budget until that is sent", async () => {
  const { hub, heldBytes } = await startMeasuredHub();
  await using _ = hub;
  const asked = Promise.withResolvers<TunnelStream>();
  await hub.connect((stream) => {
    beginEvents(stream);
    writeEvent(stream, delta("a"));
    asked.resolve(stream);
  });

  const response = await hub.post(CHAT, prompt(900 * KB));
  const whileUnsent = heldBytes();
  const stream = await asked.promise;
  const body = await bodyOf(stream);
  const whenSent = heldBytes();
  endAnswer(stream);
  await response.text();

  assert.ok(whileUnsent > 900 * KB);
  assert.ok(body.length > 900 * KB);
  assert.equal(whenSent, 0);
});

test("a worker that answers in full and never takes the rest of a request is reset, and its memory let go", async () => {
  const { hub, heldBytes } = await startMeasuredHub();
  await using _ = hub;
  const asked = Promise.withResolvers<TunnelStream>();
  await hub.connect((stream) => {
    beginEvents(stream);
    writeEvent(stream, delta("a"));
    endAnswer(stream);
    asked.resolve(stream);
  });

  const response = await hub.post(CHAT, prompt(900 * KB));
  await response.text();
  const end = await resetOf(await asked.promise);

  assert.equal((end as { code: string }).code, "cancelled");
  assert.equal(heldBytes(), 0);
});

test("until the commit the request stays, and another worker gets all of it", async () => {
  const { hub, heldBytes } = await startMeasuredHub();
  await using _ = hub;
  const held: number[] = [];
  await hub.connect(
    async (stream) => {
      await bodyOf(stream);
      held.push(heldBytes());
      stream.reset("target-reset");
      await once(stream.signal, "abort").catch(() => undefined);
    },
    { name: "bad" },
  );
  await hub.connect(
    async (stream) => {
      const body = await bodyOf(stream);
      held.push(body.length);
      beginEvents(stream);
      writeEvent(stream, delta("a"));
      endAnswer(stream);
    },
    { name: "good" },
  );

  const response = await hub.post(CHAT, prompt(300 * KB));
  await response.text();

  assert.equal(response.headers.get("x-tokilake-worker"), "good");
  assert.ok(held.length === 2 && held.every((bytes) => bytes > 300 * KB), String(held));
  assert.equal(heldBytes(), 0);
});
