import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { connect } from "node:net";
import { test } from "node:test";

import type { TunnelStream } from "@tokilake/tunnel";
import { type ClientOptions, WebSocket } from "ws";

import { WEBSOCKET_IDLE_MS } from "./relay/relay-websocket.ts";
import { answerJson, resetOf, startTestHub, TEST_CONFIG, type TestHub } from "./test-hub.ts";

const GOOD: ClientOptions = { headers: { authorization: "Bearer sk-test" } };
const CLOSE_1000 = Buffer.from("080000000203e8", "hex");

interface Dial extends ClientOptions {
  readonly query?: string;
  readonly protocols?: readonly string[];
}

function dial(hub: TestHub, { query = "model=m", protocols = [], ...options }: Dial = GOOD): WebSocket {
  const socket = new WebSocket(`${hub.url.replace("http", "ws")}/v1/realtime?${query}`, [...protocols], options);
  socket.on("error", () => undefined);
  return socket;
}

interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly headers: IncomingMessage["headers"];
}

/** The ordinary answer to a handshake. */
async function refusalOf(socket: WebSocket): Promise<Refusal> {
  const [, response] = (await once(socket, "unexpected-response")) as [unknown, IncomingMessage];
  const body = Buffer.concat(await response.toArray()).toString();
  const { error } = JSON.parse(body) as { error: { code: string } };
  return { status: response.statusCode ?? 0, code: error.code, headers: response.headers };
}

async function closeOf(socket: WebSocket): Promise<{ code: number; reason: string }> {
  const [code, reason] = (await once(socket, "close")) as [number, Buffer];
  return { code, reason: reason.toString() };
}

/** An engine behind its worker that sends everything back: messages, and in the end the close. */
async function echo(stream: TunnelStream): Promise<void> {
  stream.respond({ status: 101, headers: [] });
  for await (const chunk of stream.body) if (!stream.write(Buffer.from(chunk))) await stream.drained();
  stream.end();
}

async function say(socket: WebSocket, data: string | Buffer): Promise<string> {
  socket.send(data);
  const [answer, isBinary] = (await once(socket, "message")) as [Buffer, boolean];
  return `${isBinary ? "binary" : "text"} ${answer.toString()}`;
}

test("messages pass both ways, the close comes back, and the request is written down", async () => {
  await using hub = await startTestHub();
  const opened = Promise.withResolvers<TunnelStream>();
  await hub.connect((stream) => {
    opened.resolve(stream);
    return echo(stream);
  });
  const socket = dial(hub);
  const [[upgrade]] = (await Promise.all([once(socket, "upgrade"), once(socket, "open")])) as [
    [IncomingMessage],
    unknown,
  ];

  const text = await say(socket, "hello");
  const binary = await say(socket, Buffer.from("bytes"));
  socket.close(4002, "enough");
  const close = await closeOf(socket);

  assert.equal(text, "text hello");
  assert.equal(binary, "binary bytes");
  assert.deepEqual(close, { code: 4002, reason: "enough" });
  const { opening } = await opened.promise;
  assert.deepEqual(
    [opening.kind, opening.method, opening.path, opening.query, opening.model],
    ["ws", "GET", "/v1/realtime", "model=m", "m"],
  );
  const record = await hub.requests.next();
  assert.equal(record.requestId, upgrade.headers["x-request-id"]);
  assert.equal(upgrade.headers["x-tokilake-worker"], "worker-1");
  const { method, route, model, status, outcome, requestBytes, responseBytes, workerId } = record;
  assert.deepEqual(
    { method, route, model, status, outcome, requestBytes, responseBytes, workerId },
    {
      method: "GET",
      route: "/v1/realtime",
      model: "m",
      status: 101,
      outcome: "complete",
      requestBytes: 10,
      responseBytes: 10,
      workerId: "worker-1",
    },
  );
});

test("what a client sends together with its handshake is not lost", async () => {
  await using hub = await startTestHub();
  await hub.connect(echo);
  const socket = connect(hub.port, "127.0.0.1");
  const frame = Buffer.from("8182000000006869", "hex");
  socket.write(
    Buffer.concat([
      Buffer.from(
        "GET /v1/realtime?model=m HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-test\r\nconnection: upgrade\r\n" +
          "upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
      ),
      frame,
    ]),
  );

  let got = "";
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    got += chunk.toString("latin1");
    if (got.endsWith("\x81\x02hi")) break;
  }

  assert.match(got, /^HTTP\/1\.1 101 /);
});

test("the usage of a session is the sum of its responses", async () => {
  await using hub = await startTestHub();
  await hub.connect(echo);
  const socket = dial(hub);
  await once(socket, "open");
  const usage = { input_tokens: 3, output_tokens: 4, input_token_details: { cached_tokens: 1 } };

  await say(socket, JSON.stringify({ type: "response.done", response: { usage } }));
  await say(socket, JSON.stringify({ type: "other", text: '"response.done"', usage }));
  await say(socket, JSON.stringify({ type: "response.done", response: { usage } }));
  socket.close();
  await once(socket, "close");

  const { inputTokens, outputTokens, cacheReadTokens } = await hub.requests.next();
  assert.deepEqual(
    { inputTokens, outputTokens, cacheReadTokens },
    { inputTokens: 6, outputTokens: 8, cacheReadTokens: 2 },
  );
});

test("a key may come as a subprotocol, which nobody else is shown", async () => {
  await using hub = await startTestHub();
  const opened = Promise.withResolvers<TunnelStream>();
  await hub.connect((stream) => {
    opened.resolve(stream);
    stream.respond({ status: 101, headers: [["sec-websocket-protocol", "openai-insecure-api-key.sk-test"]] });
  });
  const socket = dial(hub, {
    protocols: ["realtime", "openai-insecure-api-key.sk-test", "openai-organization.org", "openai-beta.realtime-v1"],
  });
  await once(socket, "open");

  const { headers } = (await opened.promise).opening;
  assert.equal(socket.protocol, "realtime");
  assert.doesNotMatch(JSON.stringify(headers), /sk-test|organization/);
  assert.ok(headers.some((pair) => pair.join(":") === "sec-websocket-protocol:realtime, openai-beta.realtime-v1"));
  socket.terminate();
});

test("the subprotocol that the engine chose is the client's", async () => {
  await using hub = await startTestHub();
  await hub.connect((stream) => stream.respond({ status: 101, headers: [["sec-websocket-protocol", "b"]] }));
  const socket = dial(hub, { ...GOOD, protocols: ["a", "b"] });
  await once(socket, "open");

  assert.equal(socket.protocol, "b");
  socket.terminate();
});

for (const [what, options, status, code] of [
  ["without a key", {}, 401, "invalid_api_key"],
  ["with a wrong key", { headers: { authorization: "Bearer nonsense" } }, 401, "invalid_api_key"],
  ["with a wrong key as subprotocol", { protocols: ["realtime", "openai-insecure-api-key.x"] }, 401, "invalid_api_key"],
  ["with a worker's key", { headers: { authorization: "Bearer wk-worker" } }, 401, "invalid_api_key"],
  ["without a model", { ...GOOD, query: "" }, 400, "missing_required_parameter"],
  ["for a model that nobody has", { ...GOOD, query: "model=other" }, 404, "model_not_found"],
] as const) {
  test(`a handshake ${what} gets an ordinary answer, and no worker hears of it`, async () => {
    await using hub = await startTestHub();
    await hub.connect(() => assert.fail("a worker was asked"));

    const refusal = await refusalOf(dial(hub, options));

    assert.deepEqual([refusal.status, refusal.code], [status, code]);
    assert.match(refusal.headers["x-request-id"] as string, /^req_/);
    assert.equal((await hub.requests.next()).outcome, "refused");
  });
}

test("a GET without an upgrade is told to use a WebSocket", async () => {
  await using hub = await startTestHub();

  const response = await fetch(`${hub.url}/v1/realtime?model=m`);

  assert.equal(response.status, 400);
  assert.match(await response.text(), /WebSocket/);
});

test("a target whose owner did not list the route is not asked", async () => {
  await using hub = await startTestHub();
  await hub.connect(() => assert.fail("a worker was asked"), { routes: ["POST /v1/realtime"] });

  const refusal = await refusalOf(dial(hub));

  assert.deepEqual([refusal.status, refusal.code], [400, "invalid_request"]);
});

test("an engine's refusal is the client's answer, with its words", async () => {
  await using hub = await startTestHub();
  await hub.connect((stream) => answerJson(stream, { error: { code: "no_realtime" } }, 422));

  const refusal = await refusalOf(dial(hub));

  assert.deepEqual([refusal.status, refusal.code], [422, "no_realtime"]);
  assert.equal((await hub.requests.next()).status, 422);
});

for (const [what, fail] of [
  ["answers 500", (stream: TunnelStream) => answerJson(stream, { error: {} }, 500)],
  ["cannot reach its engine", (stream: TunnelStream) => stream.reset("target-unreachable", { retrySafe: true })],
  ["knows no WebSockets", (stream: TunnelStream) => stream.reset("unsupported", { retrySafe: true })],
] as const) {
  test(`a worker that ${what} is replaced by another, unseen`, async () => {
    await using hub = await startTestHub();
    await hub.connect(fail, { name: "worker-1" });
    await hub.connect(echo, { name: "worker-2" });
    const socket = dial(hub);
    await once(socket, "open");

    assert.equal(await say(socket, "hi"), "text hi");
    socket.close();
    await once(socket, "close");

    const record = await hub.requests.next();
    assert.deepEqual([record.attempts, record.workerId], [2, "worker-2"]);
  });
}

for (const [what, end, code, reason] of [
  ["whose engine breaks", (stream: TunnelStream) => stream.reset("target-reset"), "upstream_reset", /broke off/],
  [
    "whose worker's program ends it without a close",
    (stream: TunnelStream) => stream.end(),
    "tunnel_protocol",
    /failed/,
  ],
] as const) {
  test(`a session ${what} is closed with 1011, never with 1000`, async () => {
    await using hub = await startTestHub();
    const opened = Promise.withResolvers<TunnelStream>();
    await hub.connect((stream) => {
      stream.respond({ status: 101, headers: [] });
      opened.resolve(stream);
    });
    const socket = dial(hub);
    await once(socket, "open");

    const closed = closeOf(socket);
    end(await opened.promise);
    const close = await closed;

    assert.equal(close.code, 1011);
    assert.match(close.reason, reason);
    const record = await hub.requests.next();
    assert.deepEqual([record.outcome, record.errorCode, record.status], ["cut", code, 101]);
  });
}

test("a session whose worker disappears is closed with 1011", async () => {
  await using hub = await startTestHub();
  const worker = await hub.connect(echo);
  const socket = dial(hub);
  await once(socket, "open");
  await say(socket, "hi");

  const closed = closeOf(socket);
  worker.close();

  assert.equal((await closed).code, 1011);
  assert.equal((await hub.requests.next()).errorCode, "worker_lost");
});

test("a client that goes away resets the stream at once, before the 101 and after it", async () => {
  await using hub = await startTestHub();
  let opened = Promise.withResolvers<TunnelStream>();
  await hub.connect((stream) => opened.resolve(stream));
  for (const answers of [false, true]) {
    opened = Promise.withResolvers();
    const socket = dial(hub);
    const stream = await opened.promise;
    if (answers) {
      stream.respond({ status: 101, headers: [] });
      await once(socket, "open");
    }

    const goneAt = performance.now();
    socket.terminate();
    const reason = await resetOf(stream);

    assert.ok(performance.now() - goneAt < 250);
    assert.equal((reason as { code: string }).code, "cancelled");
    assert.equal((await hub.requests.next()).outcome, "cancelled");
  }
});

test("a client that goes away while it is held back is noticed, too", async () => {
  await using hub = await startTestHub();
  const opened = Promise.withResolvers<TunnelStream>();
  await hub.connect((stream) => {
    stream.respond({ status: 101, headers: [] });
    opened.resolve(stream);
  });
  const socket = dial(hub);
  await once(socket, "open");
  const stream = await opened.promise;
  for (let n = 0; n < 500; n += 1) socket.send(Buffer.alloc(64 * 1024));
  await once(socket, "ping");

  const goneAt = performance.now();
  socket.terminate();
  const reason = await resetOf(stream);

  assert.ok(performance.now() - goneAt < 400, `${performance.now() - goneAt} ms`);
  assert.equal((reason as { code: string }).code, "cancelled");
});

const FULL = { code: 1013, reason: "The hub holds as many bytes of messages as it may. Try again later." };

test("messages that are not whole yet take of the memory for bodies; a session for which none is left is closed with 1013", async () => {
  const limits = { ...TEST_CONFIG.limits, maxBodyMemoryBytes: 1_600_000 };
  await using hub = await startTestHub({ limits });
  await hub.connect((stream) => (stream.opening.kind === "ws" ? echo(stream) : answerJson(stream, { choices: [] })));
  const post = async (): Promise<number> => {
    const response = await hub.post("/v1/chat/completions", { model: "m", input: "x".repeat(1_030_000) });
    await response.text();
    return response.status;
  };
  const [first, second] = [dial(hub), dial(hub)];
  await Promise.all([once(first, "open"), once(second, "open")]);
  for (let n = 0; n < 100; n += 1) assert.equal(await say(second, "x".repeat(50_000)), `text ${"x".repeat(50_000)}`);

  first.send("x".repeat(600_000), { fin: false });
  while ((await post()) === 200);
  second.send("x".repeat(1_100_000), { fin: false });
  const close = await closeOf(second);
  first.send("end", { fin: true });
  const [echoed] = (await once(first, "message")) as [Buffer];
  while ((await post()) === 503);
  first.close();
  await once(first, "close");

  assert.deepEqual(close, FULL);
  assert.equal(echoed.length, 600_003);
  assert.equal(await post(), 200);
});

test("so do messages of an engine, while they are not whole or the client does not take them", async () => {
  const limits = { ...TEST_CONFIG.limits, maxBodyMemoryBytes: 1_000_000 };
  await using hub = await startTestHub({ limits });
  const length = Buffer.from("0200f00000", "hex");
  await hub.connect((stream) => {
    stream.respond({ status: 101, headers: [] });
    stream.write(length);
    stream.write(Buffer.alloc(1_500_000));
  });

  const close = await closeOf(dial(hub));

  assert.deepEqual(close, FULL);
  const { errorCode, outcome } = await hub.requests.next();
  assert.deepEqual([errorCode, outcome], ["overloaded", "cut"]);
});

test("a revoked key closes its sessions with 1008 and a reason", async () => {
  await using hub = await startTestHub();
  await hub.connect(echo);
  const socket = dial(hub);
  await once(socket, "open");

  const closed = closeOf(socket);
  hub.keys.revoke("sk-test");

  assert.deepEqual(await closed, { code: 1008, reason: "This API key was revoked." });
});

test("a hub that drains lets sessions run until its deadline, then closes them with 1001; new ones are refused", async () => {
  await using hub = await startTestHub({ drainGraceMs: 300 });
  await hub.connect(echo);
  const [socket, late] = [dial(hub), connect(hub.port, "127.0.0.1")];
  await Promise.all([once(socket, "open"), once(late, "connect")]);

  const closed = closeOf(socket);
  const drained = hub.hub.drain();
  late.write(
    "GET /v1/realtime?model=m HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-test\r\nconnection: upgrade\r\n" +
      "upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
  );
  const [answer] = (await once(late, "data")) as [Buffer];
  assert.equal(await say(socket, "still here"), "text still here");
  const close = await closed;
  await drained;

  assert.match(answer.toString(), /^HTTP\/1\.1 503 [^]*shutting_down/);
  assert.equal(close.code, 1001);
  late.destroy();
});

test("a session that is silent for ten minutes is closed with 1001; a ping counts as a sign of life", async (t) => {
  await using hub = await startTestHub();
  await hub.connect(echo);
  const start = performance.now();
  let elapsed = 0;
  t.mock.method(performance, "now", () => start + elapsed);
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const socket = dial(hub);
  await once(socket, "open");
  await say(socket, "hi");

  elapsed = WEBSOCKET_IDLE_MS - 1_000;
  socket.ping();
  await once(socket, "pong");
  elapsed += WEBSOCKET_IDLE_MS - 1_000;
  t.mock.timers.tick(WEBSOCKET_IDLE_MS);
  assert.equal(await say(socket, "still here"), "text still here");
  const closed = closeOf(socket);
  elapsed += WEBSOCKET_IDLE_MS;
  t.mock.timers.tick(WEBSOCKET_IDLE_MS);

  assert.deepEqual(await closed, { code: 1001, reason: "Nothing was said for 10 minutes." });
  assert.equal((await hub.requests.next()).errorCode, "request_timeout");
});

test("a client that does not read holds back its own session and no other", async () => {
  await using hub = await startTestHub();
  let written = 0;
  await hub.connect(async (stream) => {
    if (stream.opening.query.endsWith("busy")) return echo(stream);
    stream.respond({ status: 101, headers: [] });
    const record = Buffer.concat([Buffer.from("0200010000", "hex"), Buffer.alloc(65_536)]);
    for (let n = 0; n < 2048; n += 1) {
      if (!stream.write(Buffer.from(record))) await stream.drained();
      written += 1;
    }
    stream.write(CLOSE_1000);
    stream.end();
  });
  const stalled = dial(hub);
  await once(stalled, "open");
  stalled.pause();
  const busy = dial(hub, { ...GOOD, query: "model=m&busy" });
  await once(busy, "open");

  for (let n = 0; n < 300; n += 1) await say(busy, "tick");
  const held = written * 65_536;
  busy.close();
  stalled.terminate();

  assert.ok(held < 64 * 1024 * 1024, `${held} bytes were taken from the engine`);
});
