import assert from "node:assert/strict";
import { test } from "node:test";

import { answerJson, beginEvents, bodyOf, delta, ROLE, startTestHub, STOP, writeEvent } from "./test-hub.ts";

test("a chat request goes to a worker that has the model, and its answer comes back byte for byte", async () => {
  await using hub = await startTestHub();
  const asked: string[] = [];
  await hub.connect(async (stream) => {
    asked.push(`${stream.opening.method} ${stream.opening.path} ${(await bodyOf(stream)).toString()}`);
    answerJson(stream, {
      choices: [{ message: { content: "hi" } }],
      usage: { prompt_tokens: 3, completion_tokens: 5 },
    });
  });

  const response = await hub.post("/v1/chat/completions", '{"model":"m", "messages":[],"x":1}');

  assert.equal(response.status, 200);
  assert.equal(
    await response.text(),
    '{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":3,"completion_tokens":5}}',
  );
  assert.deepEqual(asked, ['POST /v1/chat/completions {"model":"m", "messages":[],"x":1}']);
  assert.equal(response.headers.get("x-tokilake-worker"), "worker-1");
  assert.match(response.headers.get("x-request-id") ?? "", /^req_/);
  assert.match(response.headers.get("server-timing") ?? "", /^hub;dur=\d/);
  const record = await hub.requests.next();
  assert.equal(record.outcome, "complete");
  assert.equal(record.inputTokens, 3);
  assert.equal(record.outputTokens, 5);
});

for (const size of [100, 20_000]) {
  test(`an answer of ${size} bytes keeps each of them, those that are no UTF-8 too`, async () => {
    await using hub = await startTestHub();
    const every = Buffer.from(Array.from({ length: 128 }, (_, n) => 128 + n));
    const body = Buffer.concat([Buffer.from('{"a":"'), every, Buffer.alloc(size, "x"), Buffer.from('"}')]);
    await hub.connect(async (stream) => {
      await bodyOf(stream);
      stream.respond({ status: 200, headers: [["content-type", "application/json"]] });
      stream.write(body);
      stream.end();
    });

    const response = await hub.post("/v1/chat/completions", '{"model":"m","messages":[]}');

    assert.deepEqual(Buffer.from(await response.arrayBuffer()), body);
    assert.equal((await hub.requests.next()).responseBytes, body.length);
  });
}

test("a streamed answer arrives event by event, and its usage chunk is not shown to a client that did not ask", async () => {
  await using hub = await startTestHub();
  let body = "";
  await hub.connect(async (stream) => {
    body = (await bodyOf(stream)).toString();
    beginEvents(stream);
    writeEvent(stream, ROLE);
    writeEvent(stream, delta("a"));
    writeEvent(stream, delta("b"));
    writeEvent(stream, STOP);
    writeEvent(stream, { choices: [], usage: { prompt_tokens: 1, completion_tokens: 2 } });
    writeEvent(stream, "[DONE]");
    stream.end();
  });

  const response = await hub.post("/v1/chat/completions", '{"model":"m","stream":true,"messages":[]}');
  const text = await response.text();

  assert.equal(body, '{"stream_options":{"include_usage":true},"model":"m","stream":true,"messages":[]}');
  assert.equal(response.headers.get("content-type"), "text/event-stream");
  assert.equal(response.headers.get("x-accel-buffering"), "no");
  const events = [ROLE, delta("a"), delta("b"), STOP].map((event) => `data: ${JSON.stringify(event)}\n\n`);
  assert.equal(text, `${events.join("")}data: [DONE]\n\n`);
  assert.equal((await hub.requests.next()).outputTokens, 2);
});
