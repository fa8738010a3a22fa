import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";

import type { HeaderPairs, TunnelStream } from "@tokilake/tunnel";

import { beginEvents, bodyOf, delta, resetOf, startTestHub, STOP, writeEvent } from "./test-hub.ts";

const CHAT = "/v1/chat/completions";
const STREAMED = { model: "m", stream: true, messages: [] };

function errorEventOf(text: string): { code: string; type: string } | undefined {
  const last = text.trimEnd().split("\n\n").at(-1) ?? "";
  if (!last.startsWith("data: ")) return undefined;
  return (JSON.parse(last.slice("data: ".length)) as { error?: { code: string; type: string } }).error;
}

const CUTS: Readonly<Record<string, readonly [(stream: TunnelStream) => void, string]>> = {
  "whose engine breaks": [(stream) => stream.reset("target-reset"), "upstream_reset"],
  "whose engine goes silent, as the worker saw": [(stream) => stream.reset("target-timeout-idle"), "upstream_timeout"],
  "that ends without a finish reason and without [DONE]": [(stream) => stream.end(), "upstream_incomplete"],
  "that ends in the middle of an event": [
    (stream) => {
      stream.write(Buffer.from('data: {"choices":[{"del'));
      stream.end();
    },
    "upstream_incomplete",
  ],
  "that breaks in the middle of an event": [
    (stream) => {
      stream.write(Buffer.from('data: {"choices":[{"del'));
      setImmediate(() => stream.reset("target-reset"));
    },
    "upstream_reset",
  ],
};

for (const [name, [cut, code]] of Object.entries(CUTS)) {
  test(`a stream ${name} ends with one error event and without [DONE]`, async () => {
    await using hub = await startTestHub();
    const first = Promise.withResolvers<TunnelStream>();
    await hub.connect((stream) => {
      beginEvents(stream);
      writeEvent(stream, delta("half"));
      first.resolve(stream);
    });

    const response = await hub.post(CHAT, STREAMED);
    cut(await first.promise);
    const text = await response.text();

    assert.equal(response.status, 200);
    assert.ok(text.startsWith(`data: ${JSON.stringify(delta("half"))}\n\n`));
    assert.doesNotMatch(text, /\[DONE\]/);
    assert.equal(errorEventOf(text)?.code, code);
    const record = await hub.requests.next();
    assert.deepEqual([record.outcome, record.errorCode], ["cut", code]);
  });
}

test("a worker that disappears in the middle is told as worker_lost", async () => {
  await using hub = await startTestHub();
  const worker = await hub.connect((stream) => {
    beginEvents(stream);
    writeEvent(stream, delta("half"));
  });

  const response = await hub.post(CHAT, STREAMED);
  worker.close();
  const text = await response.text();

  assert.equal(errorEventOf(text)?.code, "worker_lost");
});

test("an engine's own error event is passed on, and nothing behind it, above all no [DONE]", async () => {
  await using hub = await startTestHub();
  const first = Promise.withResolvers<TunnelStream>();
  await hub.connect((stream) => {
    beginEvents(stream);
    writeEvent(stream, delta("half"));
    first.resolve(stream);
  });

  const response = await hub.post(CHAT, STREAMED);
  const stream = await first.promise;
  for (const event of [{ error: { message: "cuda", code: 500 } }, "[DONE]"]) writeEvent(stream, event);
  stream.end();
  const text = await response.text();

  assert.ok(text.endsWith('data: {"error":{"message":"cuda","code":500}}\n\n'));
  assert.equal((await hub.requests.next()).outcome, "cut");
});

test("an error event without the key that clients look for is told with it, and nothing behind it", async () => {
  await using hub = await startTestHub();
  const first = Promise.withResolvers<TunnelStream>();
  await hub.connect((stream) => {
    beginEvents(stream);
    writeEvent(stream, delta("half"));
    first.resolve(stream);
  });

  const response = await hub.post(CHAT, STREAMED);
  const stream = await first.promise;
  for (const event of [{ object: "error", message: "cuda" }, "[DONE]"]) writeEvent(stream, event);
  stream.end();
  const text = await response.text();

  assert.ok(text.endsWith('data: {"error":{"object":"error","message":"cuda"}}\n\n'));
  const record = await hub.requests.next();
  assert.deepEqual([record.outcome, record.errorCode], ["cut", "upstream_error"]);
});

test("a finish reason without [DONE] is a complete answer, as some engines end so", async () => {
  await using hub = await startTestHub();
  await hub.connect((stream) => {
    beginEvents(stream);
    for (const event of [delta("all"), STOP]) writeEvent(stream, event);
    stream.end();
  });

  const text = await (await hub.post(CHAT, STREAMED)).text();

  assert.equal(errorEventOf(text), undefined);
  assert.equal((await hub.requests.next()).outcome, "complete");
});

const UNTYPED: Readonly<Record<string, HeaderPairs>> = {
  "without a content type": [],
  "called text/plain": [["content-type", "text/plain"]],
  "with an encoding that is none": [
    ["content-type", "text/event-stream"],
    ["content-encoding", "identity"],
  ],
};

for (const [name, headers] of Object.entries(UNTYPED)) {
  test(`events ${name} are read as events: a cut one is visible, a whole one complete`, async () => {
    await using hub = await startTestHub();
    let events: readonly unknown[] = [];
    await hub.connect((stream) => {
      stream.respond({ status: 200, headers });
      for (const event of events) writeEvent(stream, event);
      stream.end();
    });

    events = [delta("half")];
    const cut = await (await hub.post(CHAT, STREAMED)).text();
    events = [delta("all"), STOP];
    const whole = await (await hub.post(CHAT, STREAMED)).text();

    assert.match(cut, /"upstream_incomplete"/);
    assert.match(whole, /"all"/);
    assert.equal((await hub.requests.next()).errorCode, "upstream_incomplete");
    assert.equal((await hub.requests.next()).outcome, "complete");
  });
}

test("JSON without a content type is an answer, also to a request for a stream; half of one is none", async () => {
  await using hub = await startTestHub();
  let body = '\n{"choices":[]}';
  await hub.connect((stream) => {
    stream.respond({ status: 200, headers: [] });
    stream.write(Buffer.from(body));
    stream.end();
  });

  const whole = await hub.post(CHAT, STREAMED);
  body = '\n{"choices":[';
  const half = await hub.post(CHAT, { ...STREAMED, stream: false });

  assert.equal(await whole.text(), '\n{"choices":[]}');
  assert.equal(half.status, 502);
});

test("an encoded answer passes as it is, and says so: what it holds, and whether all of it, its decoder sees", async () => {
  await using hub = await startTestHub();
  const body = gzipSync(JSON.stringify({ choices: [], usage: { prompt_tokens: 7, completion_tokens: 9 } }));
  let sent = body;
  await hub.connect((stream) => {
    const headers = [
      ["content-type", "application/json"],
      ["content-encoding", "gzip"],
    ] as const;
    stream.respond({ status: 200, headers });
    stream.write(sent);
    stream.end();
  });

  const whole = await ask(hub.url);
  sent = body.subarray(0, -12);
  const cut = await ask(hub.url);

  assert.equal(whole.encoding, "gzip");
  assert.deepEqual(whole.bytes, body);
  assert.equal(cut.encoding, "gzip");
  assert.throws(() => gunzipSync(cut.bytes));
  const record = await hub.requests.next();
  assert.deepEqual([record.outcome, record.inputTokens], ["complete", undefined]);
});

/** A client that decodes nothing by itself. */
async function ask(url: string): Promise<{ readonly encoding: string | undefined; readonly bytes: Buffer }> {
  const client = request(url + CHAT, { method: "POST", headers: { authorization: "Bearer sk-test" } });
  client.end(JSON.stringify({ model: "m" }));
  const [answer] = (await once(client, "response")) as [IncomingMessage];
  return { encoding: answer.headers["content-encoding"], bytes: Buffer.concat(await answer.toArray()) };
}

test("a stream of the Responses API that breaks ends with its own error event", async () => {
  await using hub = await startTestHub();
  const first = Promise.withResolvers<TunnelStream>();
  await hub.connect((stream) => {
    beginEvents(stream);
    stream.write(Buffer.from('event: response.created\ndata: {"type":"response.created"}\n\n'));
    stream.write(
      Buffer.from('event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"a"}\n\n'),
    );
    first.resolve(stream);
  });

  const response = await hub.post("/v1/responses", { model: "m", stream: true, input: "x" });
  (await first.promise).reset("target-reset");
  const text = await response.text();

  assert.match(text, /\n\nevent: error\ndata: \{"type":"error","code":"upstream_reset",/);
});

test("a stream of speech that ends without its end event is told as cut; another form is passed on as it ends", async () => {
  await using hub = await startTestHub();
  let type = "speech.audio.delta";
  await hub.connect(async (stream) => {
    beginEvents(stream);
    writeEvent(stream, { type, audio: "AAAA" });
    setImmediate(() => stream.end());
  });

  const cut = await (await hub.post("/v1/audio/speech", { model: "m", stream_format: "sse" })).text();
  type = "chunk";
  const other = await (await hub.post("/v1/audio/speech", { model: "m", stream_format: "sse" })).text();

  assert.equal(errorEventOf(cut)?.code, "upstream_incomplete");
  assert.equal(errorEventOf(other), undefined);
  assert.deepEqual([(await hub.requests.next()).outcome, (await hub.requests.next()).outcome], ["cut", "complete"]);
});

test("an answer that is no stream and breaks after its head breaks the connection", async () => {
  await using hub = await startTestHub();
  const first = Promise.withResolvers<TunnelStream>();
  await hub.connect((stream) => {
    stream.respond({ status: 200, headers: [["content-type", "audio/mpeg"]] });
    stream.write(Buffer.alloc(1000));
    first.resolve(stream);
  });

  const response = await hub.post("/v1/audio/speech", { model: "m", input: "x", voice: "a" });
  (await first.promise).reset("target-reset");

  await assert.rejects(response.arrayBuffer());
  assert.equal((await hub.requests.next()).outcome, "cut");
});

test("a body longer or shorter than its content-length never looks complete", async () => {
  await using hub = await startTestHub();
  let bytes = 0;
  await hub.connect((stream) => {
    stream.respond({
      status: 200,
      headers: [
        ["content-type", "audio/mpeg"],
        ["content-length", "1000"],
      ],
    });
    stream.write(Buffer.alloc(500));
    stream.write(Buffer.alloc(bytes - 500));
    stream.end();
  });

  for (bytes of [999, 1001]) {
    const read = hub.post("/v1/audio/speech", { model: "m", input: "x" }).then((response) => response.arrayBuffer());
    await assert.rejects(read, `${bytes}`);
  }
});

test("a client that goes away frees the engine at once", async () => {
  await using hub = await startTestHub();
  const started = Promise.withResolvers<TunnelStream>();
  await hub.connect((stream) => {
    beginEvents(stream);
    writeEvent(stream, delta("a"));
    started.resolve(stream);
  });
  const client = new AbortController();

  const response = await hub.post(CHAT, STREAMED, { signal: client.signal });
  const stream = await started.promise;
  const reset = resetOf(stream);
  const at = performance.now();
  client.abort();

  assert.equal(((await reset) as { code: string }).code, "cancelled");
  assert.ok(performance.now() - at < 250);
  await assert.rejects(response.text());
  assert.equal((await hub.requests.next()).outcome, "cancelled");
});

test("a client that goes away before the first word frees the engine, too", async () => {
  await using hub = await startTestHub();
  const started = Promise.withResolvers<TunnelStream>();
  await hub.connect((stream) => started.resolve(stream));
  const client = new AbortController();

  const answer = hub.post(CHAT, STREAMED, { signal: client.signal });
  answer.catch(() => {});
  const reset = resetOf(await started.promise);
  client.abort();

  assert.equal(((await reset) as { code: string }).code, "cancelled");
  const record = await hub.requests.next();
  assert.deepEqual([record.outcome, record.status], ["cancelled", 0]);
});

const ENDLESS: Readonly<Record<string, (stream: TunnelStream) => void>> = {
  "behind its own error event": (stream) => {
    beginEvents(stream);
    writeEvent(stream, delta("a"));
    setImmediate(() => writeEvent(stream, { error: { message: "out of memory" } }));
  },
  "with an error that is longer than anybody reads": (stream) => {
    stream.respond({ status: 400, headers: [["content-type", "application/json"]] });
    stream.write(Buffer.alloc(100 * 1024, "a"));
  },
};

for (const [how, answer] of Object.entries(ENDLESS)) {
  test(`an engine that goes on ${how} is stopped as soon as the client has its answer`, async () => {
    await using hub = await startTestHub();
    const asked = Promise.withResolvers<TunnelStream>();
    await hub.connect(async (stream) => {
      await bodyOf(stream);
      answer(stream);
      asked.resolve(stream);
    });

    const response = await hub.post(CHAT, STREAMED);
    await response.text();
    const end = await resetOf(await asked.promise);

    assert.equal((end as { code: string }).code, "cancelled");
  });
}

test("an engine that goes silent after its first words is cut off after the idle time", async () => {
  await using hub = await startTestHub({
    timeouts: { connectMs: 1_000, firstTokenMs: 1_000, idleMs: 100, totalMs: 5_000 },
  });
  await hub.connect((stream) => {
    beginEvents(stream);
    writeEvent(stream, delta("a"));
  });

  const text = await (await hub.post(CHAT, STREAMED)).text();

  assert.equal(errorEventOf(text)?.code, "upstream_timeout");
});

test("a model may have times of its own", async () => {
  await using hub = await startTestHub({ modelTimeouts: { "slow-*": { totalMs: 100 } } });
  await hub.connect(() => {}, { models: ["slow-1"] });

  const response = await hub.post(CHAT, { ...STREAMED, model: "slow-1" });

  assert.equal(response.status, 504);
  assert.equal(((await response.json()) as { error: { code: string } }).error.code, "deadline");
});

test("a revoked API key ends its running streams with an error that says so", async () => {
  await using hub = await startTestHub();
  const started = Promise.withResolvers<TunnelStream>();
  await hub.connect((stream) => {
    beginEvents(stream);
    writeEvent(stream, delta("a"));
    started.resolve(stream);
  });

  const response = await hub.post(CHAT, STREAMED);
  const stream = await started.promise;
  hub.keys.revoke("sk-test");
  const text = await response.text();

  assert.equal(errorEventOf(text)?.code, "invalid_api_key");
  assert.equal(((await resetOf(stream)) as { code: string }).code, "revoked");
  assert.equal((await hub.post(CHAT, STREAMED)).status, 401);
});

test("the answer is not waited for: each event reaches the client while the next is not made yet", async () => {
  await using hub = await startTestHub();
  const started = Promise.withResolvers<TunnelStream>();
  await hub.connect(async (stream) => {
    await bodyOf(stream);
    beginEvents(stream);
    started.resolve(stream);
  });

  const pending = hub.post(CHAT, STREAMED);
  const stream = await started.promise;
  writeEvent(stream, delta("0"));
  const reader = (await pending).body?.getReader();
  const texts: string[] = [];
  for (const word of ["1", "2", "3"]) {
    texts.push(Buffer.from((await reader?.read())?.value ?? []).toString());
    writeEvent(stream, delta(word));
  }
  await reader?.cancel();

  assert.deepEqual(
    texts,
    ["0", "1", "2"].map((word) => `data: ${JSON.stringify(delta(word))}\n\n`),
  );
});
