import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";

import { answerJson, startTestHub, type TestHub } from "./test-hub.ts";

const CHAT = "/v1/chat/completions";

function post(body: string, announced = body.length): string {
  return (
    `POST ${CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-test\r\ncontent-type: application/json\r\n` +
    `content-length: ${announced}\r\n\r\n${body}`
  );
}

const REQUEST = post(JSON.stringify({ model: "m" }));

async function dial(hub: TestHub): Promise<Socket> {
  const socket = connect(hub.port, "127.0.0.1");
  await once(socket, "connect");
  return socket;
}

/** Sends a request and resolves with the answer, once so much of it is there. */
async function say(socket: Socket, request: string, until: string): Promise<string> {
  socket.write(request);
  let text = "";
  while (!text.includes(until)) {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    text += chunk.toString();
  }
  return text;
}

test("a draining hub serves what comes on a connection that is open, and the connection ends with it", async () => {
  await using hub = await startTestHub();
  await hub.connect((stream) => answerJson(stream, { ok: true }));
  const socket = await dial(hub);
  const before = await say(socket, REQUEST, "}");

  const drained = hub.hub.drain();
  const answer = await say(socket, REQUEST, "}");
  await once(socket, "close");
  await drained;

  assert.match(before, /^HTTP\/1\.1 200 [^]*connection: keep-alive/i);
  assert.match(answer, /^HTTP\/1\.1 200 [^]*connection: close/i);
});

test("an answer that has not begun when the drain does ends its connection", async () => {
  await using hub = await startTestHub();
  const asked = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  await hub.connect(async (stream) => {
    asked.resolve();
    await released.promise;
    answerJson(stream, { ok: true });
  });
  const socket = await dial(hub);
  const answered = say(socket, REQUEST, "}");
  await asked.promise;

  const drained = hub.hub.drain();
  released.resolve();

  assert.match(await answered, /^HTTP\/1\.1 200 [^]*connection: close/i);
  await drained;
});

test("a drain keeps idle connections for two seconds: a request may be on its way on them", async () => {
  await using hub = await startTestHub();
  await hub.connect((stream) => answerJson(stream, { ok: true }));
  const [quiet, late] = [await dial(hub), await dial(hub)];
  for (const socket of [quiet, late]) await say(socket, REQUEST, "}");

  const start = performance.now();
  const drained = hub.hub.drain();
  await once(quiet.resume(), "close");
  const keptMs = performance.now() - start;
  await drained;

  assert.ok(keptMs > 1_900 && keptMs < 4_000, `${keptMs} ms`);
});

test("what has not begun when the grace ends is told 503 and when to come back, wherever it waits", async () => {
  await using hub = await startTestHub({ drainGraceMs: 100 });
  const asked = Promise.withResolvers<void>();
  await hub.connect(() => asked.resolve(), { slots: 1 });
  const sockets = { asked: await dial(hub), queued: await dial(hub), uploading: await dial(hub) };
  const answers = [say(sockets.asked, REQUEST, "}}")];
  await asked.promise;
  answers.push(say(sockets.queued, REQUEST, "}}"), say(sockets.uploading, post('{"model":', 1000), "}}"));

  await hub.hub.drain();

  for (const answer of await Promise.all(answers)) {
    assert.match(answer, /^HTTP\/1\.1 503 /);
    assert.match(answer, /retry-after: 5/i);
    assert.match(answer, /connection: close/i);
    assert.match(answer, /"code":"shutting_down"/);
  }
});
