import assert from "node:assert/strict";
import { test } from "node:test";

import type { StreamOpening, TunnelStream } from "@tokilake/tunnel";

import {
  answerJson,
  beginEvents,
  bodyOf,
  delta,
  resetOf,
  ROLE,
  startTestHub,
  STOP,
  type TestHub,
  writeEvent,
} from "./test-hub.ts";

const CHAT = "/v1/chat/completions";
const STREAMED = { model: "m", stream: true, messages: [] };
const GOOD = `${[delta("ok"), STOP].map((event) => `data: ${JSON.stringify(event)}\n\n`).join("")}data: [DONE]\n\n`;
const OLD_ERROR = { object: "error", message: "cuda", type: "InternalServerError", param: null, code: 500 };

function answerWell(stream: TunnelStream): void {
  beginEvents(stream);
  for (const event of [delta("ok"), STOP, "[DONE]"]) writeEvent(stream, event);
  stream.end();
}

/** A hub with a worker that fails and one that answers. The first is chosen first, as it comes first and the coin is fixed. */
async function hubWithFailing(fail: (stream: TunnelStream) => void | Promise<void>): Promise<TestHub> {
  const hub = await startTestHub();
  await hub.connect(fail, { name: "bad" });
  await hub.connect(answerWell, { name: "good" });
  return hub;
}

const FAILURES: Readonly<Record<string, (stream: TunnelStream) => void | Promise<void>>> = {
  "refuses for want of a slot": (stream) => stream.reset("refused", { retrySafe: true }),
  "cannot reach its engine": (stream) => stream.reset("target-unreachable", { retrySafe: true }),
  "has lost the model": (stream) => stream.reset("model-not-found", { retrySafe: true }),
  "is not allowed to by its owner": (stream) => stream.reset("forbidden"),
  "breaks before the head": (stream) => stream.reset("target-reset"),
  "answers 500": (stream) => answerJson(stream, { error: { message: "out of memory" } }, 500),
  "answers 429": (stream) => answerJson(stream, { error: { message: "slow down" } }, 429),
  "answers 404 for the model": (stream) => answerJson(stream, { error: { message: "model 'm' not found" } }, 404),
  "answers 401, as its owner's key is wrong": (stream) => answerJson(stream, { error: { message: "no" } }, 401),
  redirects: (stream) => {
    stream.respond({ status: 302, headers: [["location", "http://169.254.169.254/"]] });
    stream.end();
  },
  "answers 200 with nothing": (stream) => {
    beginEvents(stream);
    stream.end();
  },
  "says [DONE] before anything": (stream) => {
    beginEvents(stream);
    writeEvent(stream, "[DONE]");
    stream.end();
  },
  "finishes without a word": (stream) => {
    beginEvents(stream);
    for (const event of [ROLE, STOP, "[DONE]"]) writeEvent(stream, event);
    stream.end();
  },
  "begins with an error event": (stream) => {
    beginEvents(stream);
    writeEvent(stream, { error: { message: "cuda" } });
  },
  "begins with an error event of an older vLLM": (stream) => {
    beginEvents(stream);
    for (const event of [OLD_ERROR, "[DONE]"]) writeEvent(stream, event);
    stream.end();
  },
  "breaks after lifecycle events": (stream) => {
    beginEvents(stream);
    writeEvent(stream, ROLE);
    stream.write(Buffer.from(": ping\n\n"));
    stream.reset("target-reset");
  },
  "answers an error under 200": (stream) => answerJson(stream, { error: { message: "loading" } }),
  "answers an error of an older vLLM under 200": (stream) => answerJson(stream, OLD_ERROR),
  "answers an error of Ollama under 200": (stream) => answerJson(stream, { error: "loading" }),
  "cuts a JSON answer": (stream) => {
    stream.respond({ status: 200, headers: [["content-type", "application/json"]] });
    stream.write(Buffer.from('{"choices":['));
    stream.end();
  },
  "lies about its length": (stream) => {
    const headers = [
      ["content-type", "application/json"],
      ["content-length", "12"],
    ] as const;
    stream.respond({ status: 200, headers });
    stream.write(Buffer.from("{}"));
    stream.end();
  },
  "gives an empty audio body": (stream) => {
    stream.respond({ status: 200, headers: [["content-type", "audio/mpeg"]] });
    stream.end();
  },
};

for (const [name, fail] of Object.entries(FAILURES)) {
  test(`a worker that ${name} is hidden by another one`, async () => {
    await using hub = await hubWithFailing(fail);

    const response = await hub.post(CHAT, STREAMED);

    assert.equal(await response.text(), GOOD);
    assert.equal(response.headers.get("x-tokilake-worker"), "good");
    const record = await hub.requests.next();
    assert.deepEqual([record.outcome, record.attempts, record.status], ["complete", 2, 200]);
  });
}

test("a worker without room is asked again instead of giving up: its slots may be taken by another hub or its owner", async () => {
  await using hub = await startTestHub();
  let isFull = true;
  await hub.connect((stream) => {
    if (isFull) stream.reset("refused", { retrySafe: true });
    else answerWell(stream);
    isFull = false;
  });

  const response = await hub.post(CHAT, STREAMED);

  assert.equal(await response.text(), GOOD);
  assert.equal((await hub.requests.next()).attempts, 2);
});

test("a worker that disappears before its first word is hidden by another one, within a second", async () => {
  await using hub = await startTestHub();
  const lost = await hub.connect(() => lost.close(), { name: "lost" });
  await hub.connect(answerWell, { name: "good" });

  const response = await hub.post(CHAT, STREAMED);

  assert.equal(await response.text(), GOOD);
});

test("a stalled worker is given up after the first-token time, and its engine is freed", async () => {
  const timeouts = { connectMs: 100, firstTokenMs: 100, idleMs: 5_000, totalMs: 5_000 };
  await using hub = await startTestHub({ timeouts });
  const freed = Promise.withResolvers<unknown>();
  await hub.connect((stream) => void resetOf(stream).then(freed.resolve), { name: "stalled" });
  await hub.connect(answerWell, { name: "good" });

  const response = await hub.post(CHAT, STREAMED);

  assert.equal(await response.text(), GOOD);
  assert.equal(((await freed.promise) as { code: string }).code, "deadline");
});

test("a worker is told how long its engine may take to connect, and to answer, for this model", async () => {
  const modelTimeouts = { "m*": { connectMs: 700, totalMs: 9_000 } };
  await using hub = await startTestHub({ modelTimeouts });
  const told = Promise.withResolvers<StreamOpening>();
  await hub.connect((stream) => {
    told.resolve(stream.opening);
    return answerWell(stream);
  });

  await (await hub.post(CHAT, STREAMED)).text();

  const { connectTimeoutMs, deadlineMs } = await told.promise;
  assert.equal(connectTimeoutMs, 700);
  assert.ok(deadlineMs !== undefined && deadlineMs > 0 && deadlineMs <= 9_000, `${deadlineMs} ms`);
});

test("three workers are asked, and then the last failure is told", async () => {
  await using hub = await startTestHub();
  let asked = 0;
  for (const name of ["a", "b", "c", "d"]) {
    await hub.connect(
      (stream) => {
        asked += 1;
        stream.reset("target-unreachable", { retrySafe: true });
      },
      { name },
    );
  }

  const response = await hub.post(CHAT, STREAMED);

  assert.equal(response.status, 502);
  assert.equal(((await response.json()) as { error: { code: string } }).error.code, "upstream_unreachable");
  assert.equal(asked, 3);
  assert.deepEqual([(await hub.requests.next()).outcome], ["failed"]);
});

test("the only worker's 500 is passed on as it is, when it is JSON", async () => {
  await using hub = await startTestHub();
  await hub.connect((stream) => answerJson(stream, { error: { message: "needs 80 GiB" } }, 500));

  const response = await hub.post(CHAT, STREAMED);

  assert.equal(response.status, 500);
  assert.equal(await response.text(), '{"error":{"message":"needs 80 GiB"}}');
});

test("the only worker's empty answer is the answer, when the model really ended it", async () => {
  await using hub = await startTestHub();
  await hub.connect((stream) => {
    beginEvents(stream);
    for (const event of [ROLE, STOP, "[DONE]"]) writeEvent(stream, event);
    stream.end();
  });

  const text = await (await hub.post(CHAT, STREAMED)).text();

  assert.match(text, /"finish_reason":"stop".*\n\ndata: \[DONE\]\n\n$/);
});

test("a 400 of the engine is the request's own fault: passed on untouched, asked once", async () => {
  await using hub = await startTestHub();
  let asked = 0;
  const refuse = (stream: TunnelStream): void => {
    asked += 1;
    answerJson(stream, { error: { message: "temperature must be below 2", param: "temperature" } }, 400);
  };
  await hub.connect(refuse, { name: "a" });
  await hub.connect(refuse, { name: "b" });

  const response = await hub.post(CHAT, STREAMED);

  assert.equal(response.status, 400);
  assert.equal(await response.text(), '{"error":{"message":"temperature must be below 2","param":"temperature"}}');
  assert.equal(asked, 1);
});

test("an engine's error page that is no JSON becomes an error of the API with the same status", async () => {
  await using hub = await startTestHub();
  await hub.connect((stream) => {
    stream.respond({ status: 413, headers: [["content-type", "text/html"]] });
    stream.write(Buffer.from("<html>nginx on 10.0.0.5"));
    stream.end();
  });

  const response = await hub.post(CHAT, STREAMED);

  assert.equal(response.status, 413);
  assert.deepEqual(await response.json(), {
    error: {
      message: "The engine answered with status 413.",
      type: "server_error",
      code: "upstream_error",
      param: null,
    },
  });
});

test("the retry sends the same bytes again", async () => {
  await using hub = await startTestHub();
  const bodies: string[] = [];
  const serve = async (stream: TunnelStream): Promise<void> => {
    bodies.push((await bodyOf(stream)).toString());
    if (bodies.length === 1) stream.reset("target-reset");
    else answerJson(stream, { choices: [] });
  };
  await hub.connect(serve, { name: "a" });
  await hub.connect(serve, { name: "b" });
  const body = JSON.stringify({ model: "m", input: "x".repeat(500_000) });

  const response = await hub.post("/v1/embeddings", body);

  assert.equal(response.status, 200);
  assert.deepEqual(
    bodies.map((each) => each === body),
    [true, true],
  );
});
