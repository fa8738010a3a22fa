import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { Readable } from "node:stream";
import { test } from "node:test";

import type { StreamOpening, TunnelLog } from "@tokilake/tunnel";

import type { Target } from "../targets/target.ts";
import { FakeStream } from "./fake-stream.ts";
import { serveStream } from "./serve-stream.ts";
import { bodyOf, startServer, startTestEngine, testTarget } from "./test-engine.ts";

const ignore = (): void => undefined;
const log: TunnelLog = { debug: ignore, info: ignore, warn: ignore, error: ignore };
const CHAT = '{"model":"m","messages":[]}';

function serve(stream: FakeStream, target: Target, now: () => number = () => performance.now()): Promise<void> {
  return serveStream(stream, {
    targetOf: (opening) => (opening.target === "t" ? target : undefined),
    log,
    now,
  });
}

function chat(opening: Partial<StreamOpening> = {}, body = CHAT): FakeStream {
  return new FakeStream({ model: "m", ...opening }, body);
}

function* pieces(total: number): Generator<Buffer> {
  const piece = Buffer.alloc(64 * 1024, "x");
  for (let left = total; left > 0; left -= piece.length) yield piece.subarray(0, Math.min(left, piece.length));
}

/** Long enough for sockets to pass on what nobody holds back. */
async function manyTurns(): Promise<void> {
  for (let turn = 0; turn < 500; turn++) await new Promise((resolve) => setImmediate(resolve));
}

test("a request reaches the engine and its answer comes back, each piece as it arrives", async () => {
  await using engine = await startTestEngine();
  const stream = chat({
    query: "a=1",
    headers: [
      ["content-type", "application/json"],
      ["x-secret", "1"],
    ],
  });
  const served = serve(stream, engine.target);
  const { request, response } = await engine.asked();

  assert.equal(await bodyOf(request), CHAT);
  response.writeHead(200, { "content-type": "text/event-stream", connection: "x-hop", "x-hop": "1", location: "/x" });
  response.write("data: 1\n\n");
  await stream.until(() => stream.text === "data: 1\n\n");
  response.end("data: 2\n\n");
  await served;

  assert.equal(request.url, "/v1/chat/completions?a=1");
  assert.equal(request.headers["content-length"], String(CHAT.length));
  assert.equal(request.headers["x-secret"], undefined);
  assert.equal(request.headers["accept-encoding"], "identity");
  assert.deepEqual(
    stream.answer?.headers.map(([name]) => name),
    ["content-type", "date"],
  );
  assert.equal(stream.text, "data: 1\n\ndata: 2\n\n");
  assert.equal(stream.endedWith?.["engine"], "openai");
  assert.equal(stream.resetWith, undefined);
  assert.equal(engine.target.running, 0);
});

test("an engine's error is an ordinary answer", async () => {
  await using engine = await startTestEngine();
  const stream = chat();
  const served = serve(stream, engine.target);
  const { response } = await engine.asked();

  response.writeHead(503).end("busy");
  await served;

  assert.deepEqual([stream.answer?.status, stream.text, stream.resetWith], [503, "busy", undefined]);
});

test("the engine reads its own name for a model, whatever the client wrote", async () => {
  await using engine = await startTestEngine({}, [{ id: "m", upstream: "inner/m" }]);
  const stream = chat({}, '{"messages":[],"model":"hidden","Model":"hidden"}');
  const served = serve(stream, engine.target);
  const { request, response } = await engine.asked();

  assert.equal(await bodyOf(request), '{"messages":[],"model":"inner/m","Model":"inner/m"}');
  response.end();
  await served;
});

test("without a model in the head, the one in the body must be published", async () => {
  await using engine = await startTestEngine({}, [{ id: "m", upstream: "inner" }]);
  const hidden = new FakeStream({}, '{"model":"hidden"}');
  await serve(hidden, engine.target);
  const published = new FakeStream({}, CHAT);
  const served = serve(published, engine.target);
  const { request, response } = await engine.asked();

  assert.equal(hidden.resetWith?.code, "model-not-found");
  assert.equal(await bodyOf(request), '{"model":"inner","messages":[]}');
  response.end();
  await served;
});

for (const [opening, code, retrySafe] of [
  [{ target: "other" }, "model-not-found", true],
  [{ model: "other" }, "model-not-found", true],
  [{ method: "GET" }, "forbidden", false],
  [{ path: "/api/pull" }, "forbidden", false],
  [{ path: "/v1/../api/pull" }, "forbidden", false],
  [{ path: "/v1/chat/completions/" }, "forbidden", false],
  [{ path: "/v1/chat%2fcompletions" }, "forbidden", false],
  [{ query: "a#b" }, "forbidden", false],
  [{ query: "a b" }, "forbidden", false],
] as const) {
  test(`the owner's rules refuse ${JSON.stringify(opening)} before the engine hears of it`, async () => {
    await using engine = await startTestEngine();
    const stream = chat(opening);

    await serve(stream, engine.target);

    assert.deepEqual([stream.resetWith?.code, stream.resetWith?.retrySafe], [code, retrySafe]);
  });
}

test("a stream over the target's slots is refused, and one may follow when a slot is free", async () => {
  await using engine = await startTestEngine({ maxConcurrent: 1 });
  const first = chat();
  const served = serve(first, engine.target);
  const { response } = await engine.asked();
  const second = chat();
  await serve(second, engine.target);
  response.end();
  await served;
  const third = chat();
  const servedThird = serve(third, engine.target);
  (await engine.asked()).response.end();
  await servedThird;

  assert.deepEqual(second.resetWith, { code: "refused", retrySafe: true, message: "all slots are taken" });
  assert.equal(third.answer?.status, 200);
});

test("an engine that is not there is unreachable, and nothing was sent", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" ? address?.port : 0;
  await new Promise((resolve) => server.close(resolve));
  const target = testTarget(new URL(`http://127.0.0.1:${port}`));
  const stream = chat();

  await serve(stream, target);

  assert.deepEqual([stream.resetWith?.code, stream.resetWith?.retrySafe], ["target-unreachable", true]);
  await target.dispatcher.destroy();
});

test("an engine that takes longer to connect than the hub allows is unreachable, and nothing was sent", async () => {
  // Accepts the connection and never answers the TLS handshake.
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const target = testTarget(new URL(`https://127.0.0.1:${typeof address === "object" ? address?.port : 0}`));
  const stream = chat({ connectTimeoutMs: 20 });

  await serve(stream, target);

  assert.deepEqual([stream.resetWith?.code, stream.resetWith?.retrySafe], ["target-unreachable", true]);
  await target.dispatcher.destroy();
  server.close();
});

test("interim heads of an engine are passed over; one that sends nothing else is given up", async () => {
  await using engine = await startTestEngine();
  const [patient, flooded] = [chat(), chat()];
  const answered = serve(patient, engine.target);
  const first = await engine.asked();
  first.response.writeProcessing();
  first.response.writeEarlyHints({ link: "</x>; rel=preload" });
  first.response.end("ok");
  await answered;
  const givenUp = serve(flooded, engine.target);
  const second = await engine.asked();
  for (let n = 0; n < 9; n++) second.response.writeProcessing();
  await givenUp;

  assert.deepEqual([patient.answer?.status, patient.text], [200, "ok"]);
  assert.equal(flooded.resetWith?.code, "target-reset");
});

test("a redirect is neither followed nor shown", async () => {
  await using engine = await startTestEngine();
  const stream = chat();
  const served = serve(stream, engine.target);
  (await engine.asked()).response.writeHead(302, { location: "http://127.0.0.1:1/" }).end();
  await served;

  assert.deepEqual([stream.answer, stream.resetWith?.code], [undefined, "target-reset"]);
});

test("an engine that dies in the middle never gives a clean end", async () => {
  await using engine = await startTestEngine();
  for (const head of [{ "content-length": "10" }, {}]) {
    const stream = chat();
    const served = serve(stream, engine.target);
    const { response } = await engine.asked();
    response.writeHead(200, head).write("12345");
    await stream.until(() => stream.text === "12345");
    response.socket?.end();
    await served;

    assert.deepEqual([stream.resetWith?.code, stream.resetWith?.retrySafe], ["target-reset", false]);
    assert.equal(stream.endedWith, undefined);
  }
});

test("an engine that dies before its head is not safe to ask again", async () => {
  await using engine = await startTestEngine();
  const stream = chat();
  const served = serve(stream, engine.target);
  (await engine.asked()).request.socket.resetAndDestroy();
  await served;

  assert.deepEqual(
    [stream.answer, stream.resetWith?.code, stream.resetWith?.retrySafe],
    [undefined, "target-reset", false],
  );
});

/** An engine that answers the first request of each connection, and closes it when the second one comes. One is idle. */
async function startClosingEngine(): Promise<AsyncDisposable & { target: Target; requests: () => number }> {
  let requests = 0;
  const served = new WeakSet<object>();
  const engine = await startServer((request, response) => {
    requests += 1;
    if (served.has(request.socket)) return void request.socket.destroy();
    served.add(request.socket);
    request.resume().on("end", () => response.end("{}"));
  });
  const target = testTarget(engine.url);
  await serve(chat(), target);
  // undici has a connection ready again a turn behind the answer's end.
  await manyTurns();
  return {
    target,
    requests: () => requests,
    async [Symbol.asyncDispose]() {
      await target.dispatcher.destroy();
      await engine[Symbol.asyncDispose]();
    },
  };
}

test("a connection that the engine closes when the next request is on its way costs nothing: another one takes it", async () => {
  await using engine = await startClosingEngine();
  const stream = chat();
  await serve(stream, engine.target);

  assert.deepEqual([stream.text, stream.resetWith], ["{}", undefined]);
  assert.equal(engine.requests(), 3);
});

test("an engine that has a request for a while before it closes may have worked on it, and is not asked again", async () => {
  await using engine = await startClosingEngine();
  let ms = 0;
  const stream = chat();
  await serve(stream, engine.target, () => (ms += 101));

  assert.deepEqual([stream.resetWith?.code, stream.resetWith?.retrySafe], ["target-reset", false]);
  assert.equal(engine.requests(), 2);
});

test("of an upload that is too large to be kept the engine sees nothing twice: the stream is reset", async () => {
  await using engine = await startClosingEngine();
  const body = `{"model":"m","x":"${"x".repeat(2 * 1024 * 1024)}"}`;
  const upload = chat({ bodyLength: body.length }, body);
  await serve(upload, engine.target);

  assert.deepEqual([upload.resetWith?.code, upload.resetWith?.retrySafe], ["target-reset", false]);
  assert.equal(engine.requests(), 2);
});

test("a stream that the hub resets closes the engine's socket at once, before and within the answer", async () => {
  await using engine = await startTestEngine();
  for (const isAnswering of [false, true]) {
    const stream = chat();
    const served = serve(stream, engine.target);
    const { request, response } = await engine.asked();
    if (isAnswering) {
      response.write("data: 1\n\n");
      await stream.until(() => stream.written.length > 0);
    }
    const closed = once(request.socket, "close");
    stream.abort();
    await Promise.all([closed, served]);

    assert.equal(engine.target.running, 0);
    assert.deepEqual([stream.endedWith, stream.resetWith], [undefined, undefined]);
  }
});

test("a client that wants no more bytes stops the engine", async () => {
  await using engine = await startTestEngine();
  const stream = chat();
  const served = serve(stream, engine.target);
  const { request, response } = await engine.asked();
  response.write("1");
  await stream.until(() => stream.written.length > 0);
  const closed = once(request.socket, "close");
  stream.isStopped = true;
  response.write("2");
  await Promise.all([closed, served]);

  assert.deepEqual(stream.resetWith, { code: "cancelled", backendCancelled: true });
});

test("a stalled engine is given up: without a head, and between two pieces", async () => {
  await using engine = await startTestEngine({ headTimeoutMs: 50, idleTimeoutMs: 50 });
  const noHead = chat();
  await serve(noHead, engine.target);
  await engine.asked();
  const noEnd = chat();
  const served = serve(noEnd, engine.target);
  (await engine.asked()).response.write("1");
  await served;

  assert.equal(noHead.resetWith?.code, "target-timeout-head");
  assert.equal(noEnd.resetWith?.code, "target-timeout-idle");
});

test("the hub's deadline ends the request at the engine", async () => {
  await using engine = await startTestEngine();
  const stream = chat({ deadlineMs: 20 });
  const served = serve(stream, engine.target);
  const { request } = await engine.asked();
  await Promise.all([once(request.socket, "close"), served]);

  assert.equal(stream.resetWith?.code, "deadline");
});

test("a hub that gives a month for the request and for connecting ends nothing at once", async () => {
  await using engine = await startTestEngine();
  const monthMs = 30 * 24 * 3_600_000;
  const stream = chat({ deadlineMs: monthMs, connectTimeoutMs: monthMs });
  const served = serve(stream, engine.target);
  const { response } = await engine.asked();
  await manyTurns();
  response.end("{}");
  await served;

  assert.deepEqual([stream.text, stream.resetWith], ["{}", undefined]);
});

test("a slow client slows the engine down, whose answer then comes whole", async () => {
  await using engine = await startTestEngine();
  const stream = chat();
  stream.room = 100_000;
  const served = serve(stream, engine.target);
  const { response } = await engine.asked();
  const total = 64 * 1024 * 1024;
  Readable.from(pieces(total)).pipe(response);
  await stream.until(() => stream.room <= 0);
  await manyTurns();
  const takenWhileFull = Buffer.concat(stream.written).length;
  stream.addRoom(Infinity);
  await served;

  assert.ok(takenWhileFull < 400_000, `took ${takenWhileFull} bytes where there was room for 100,000`);
  assert.equal(Buffer.concat(stream.written).length, total);
});

test("a large upload waits for the engine, so that memory stays bounded", async () => {
  await using engine = await startTestEngine();
  const total = 64 * 1024 * 1024;
  const stream = new FakeStream({ model: "m", bodyLength: total });
  stream.push(Buffer.from('{"input":"'));
  const served = serve(stream, engine.target);
  const { request, response } = await engine.asked();
  for (const piece of pieces(total - 24)) stream.push(piece);
  stream.push(Buffer.from('","model":"m"'));
  stream.push(Buffer.from("}"));
  stream.endBody();
  await stream.until(() => stream.bytesTaken > 1024 * 1024);
  await manyTurns();
  const takenUnread = stream.bytesTaken;
  let received = 0;
  for await (const chunk of request) received += Buffer.from(chunk).length;
  response.end();
  await served;

  // The engine had not read yet: what was taken is what the system's sockets hold.
  assert.ok(takenUnread < 16 * 1024 * 1024, `took ${takenUnread} bytes that nobody read`);
  assert.equal(received, stream.bytesTaken);
  assert.equal(request.headers["content-length"], String(total));
});

test("a large body that names another model than the request is cut before it is complete", async () => {
  await using engine = await startTestEngine();
  const filler = "x".repeat(2 * 1024 * 1024);
  const stream = new FakeStream({ model: "m", bodyLength: filler.length + 29 });
  stream.push(Buffer.from(`{"input":"${filler}"`));
  const served = serve(stream, engine.target);
  const { request } = await engine.asked();
  stream.push(Buffer.from(',"model":"hidden"}'));
  await assert.rejects(bodyOf(request));
  await served;

  assert.equal(stream.resetWith?.code, "forbidden");
});

test("a large mapped body goes in chunks, with the new name", async () => {
  await using engine = await startTestEngine({}, [{ id: "m", upstream: "inner/m" }]);
  const filler = "x".repeat(2 * 1024 * 1024);
  const stream = chat({}, `{"input":"${filler}","model":"m"}`);
  const served = serve(stream, engine.target);
  const { request, response } = await engine.asked();

  assert.equal(await bodyOf(request), `{"input":"${filler}","model":"inner/m"}`);
  assert.equal(request.headers["transfer-encoding"], "chunked");
  response.end();
  await served;
});

test("an upload is cut at the owner's limit, announced or not", async () => {
  await using engine = await startTestEngine({ maxBodyBytes: 2_000_000 });
  const announced = chat({ bodyLength: 2_000_001 }, "");
  await serve(announced, engine.target);
  const stream = new FakeStream({ model: "m" });
  stream.push(Buffer.from(`{"model":"m","input":"${"x".repeat(1_999_000)}`));
  const served = serve(stream, engine.target);
  const { request } = await engine.asked();
  stream.push(Buffer.alloc(2_000, "x"));
  await assert.rejects(bodyOf(request));
  await served;

  assert.equal(announced.resetWith?.code, "too-large");
  assert.equal(stream.resetWith?.code, "too-large");
});

test("a body that breaks off at the hub does not look complete to the engine", async () => {
  await using engine = await startTestEngine();
  const stream = new FakeStream({ model: "m", bodyLength: 3_000_000 });
  stream.push(Buffer.from(`{"model":"m","input":"${"x".repeat(1_000_000)}`));
  const served = serve(stream, engine.target);
  const { request } = await engine.asked();
  stream.abort();
  await assert.rejects(bodyOf(request));
  await served;
});

test("an engine that answers during the upload stops it and its answer arrives", async () => {
  await using engine = await startTestEngine();
  const stream = new FakeStream({ model: "m", bodyLength: 50_000_000 });
  stream.push(Buffer.from(`{"model":"m","input":"${"x".repeat(2_000_000)}`));
  const served = serve(stream, engine.target);
  const { response } = await engine.asked();
  response.writeHead(413).write("too ");
  await stream.until(() => stream.stoppedWith !== undefined);
  response.end("long");
  await served;

  assert.deepEqual([stream.answer?.status, stream.text, stream.stoppedWith], [413, "too long", "no-error"]);
  assert.notEqual(stream.endedWith, undefined);
  assert.equal(stream.resetWith, undefined);
});

test("a body that is not JSON is answered as the client's mistake", async () => {
  await using engine = await startTestEngine();
  const stream = chat({}, "model=m");

  await serve(stream, engine.target);

  assert.equal(stream.answer?.status, 400);
  assert.match(stream.text, /not a JSON object/);
});

test("a form is read by its own rules on the routes that take forms", async () => {
  await using engine = await startTestEngine({}, [{ id: "m", upstream: "inner" }]);
  const part = (name: string): string =>
    `--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n${name}\r\n--b--\r\n`;
  const path = "/v1/audio/transcriptions";
  for (const [type, sent, expected] of [
    ["multipart/form-data; boundary=b", part("m"), part("inner")],
    ["application/x-www-form-urlencoded", "a=1&model=m", "a=1&model=inner"],
  ] as const) {
    const stream = chat({ path, headers: [["content-type", type]] }, sent);
    const served = serve(stream, engine.target);
    const { request, response } = await engine.asked();
    assert.equal(await bodyOf(request), expected);
    assert.equal(request.headers["content-length"], String(expected.length));
    response.end();
    await served;
  }

  const smuggled = chat({ headers: [["content-type", "multipart/form-data; boundary=b"]] }, '{"model":"x"}');
  const served = serve(smuggled, engine.target);
  const { request, response } = await engine.asked();
  assert.equal(await bodyOf(request), '{"model":"inner"}');
  response.end();
  await served;
});

test("the owner's headers and keys are added, and a limited key rests", async () => {
  await using engine = await startTestEngine({ headers: { "User-Agent": "owner" }, apiKeys: ["k1", "k2"] });
  const seen: (string | undefined)[] = [];
  for (let turn = 0; turn < 3; turn++) {
    const stream = chat({ headers: [["user-agent", "client"]] });
    const served = serve(stream, engine.target);
    const { request, response } = await engine.asked();
    seen.push(request.headers.authorization, request.headers["user-agent"]);
    response.writeHead(turn === 0 ? 429 : 200).end();
    await served;
  }

  assert.deepEqual(seen, ["Bearer k1", "owner", "Bearer k2", "owner", "Bearer k2", "owner"]);
});

test("the speed is the engine's events per second", async () => {
  await using engine = await startTestEngine();
  const stream = chat();
  assert.equal(engine.target.speed.tokensPerSecond, undefined);
  const served = serve(stream, engine.target);
  const { response } = await engine.asked();
  response.writeHead(200, { "content-type": "text/event-stream" });
  for (let token = 1; token <= 10; token++) {
    response.write(`data: ${token}\n\n`);
    await stream.until(() => stream.text.endsWith(`data: ${token}\n\n`));
  }
  response.end();
  await served;

  assert.ok((engine.target.speed.tokensPerSecond ?? 0) > 0);
});
