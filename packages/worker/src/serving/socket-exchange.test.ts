import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { createServer, type Socket } from "node:net";
import { test } from "node:test";

import { BRIDGED_WEBSOCKET_OPTIONS, type StreamOpening } from "@tokilake/tunnel";
import { type WebSocket, WebSocketServer } from "ws";

import type { ServedModel } from "../engines/engine.ts";
import type { Target, TargetSettings } from "../targets/target.ts";
import { FakeStream } from "./fake-stream.ts";
import { serveStream } from "./serve-stream.ts";
import { startServer, testTarget } from "./test-engine.ts";

const LOG = { debug() {}, info() {}, warn() {}, error() {} };
const OPENING: Partial<StreamOpening> = {
  kind: "ws",
  method: "GET",
  path: "/v1/realtime",
  query: "model=m",
  headers: [],
  model: "m",
};

interface Engine extends AsyncDisposable {
  readonly target: Target;
  /** The handshakes that came. */
  readonly asked: IncomingMessage[];
  /** The next WebSocket that was opened. */
  opened(): Promise<WebSocket>;
}

interface EngineOptions {
  readonly settings?: Partial<TargetSettings>;
  readonly models?: readonly ServedModel[];
  readonly takesProtocol?: string;
  /** Sent in one packet with the 101. */
  readonly greeting?: string;
  /** Answers the handshake with this instead of the 101. */
  readonly answer?: string;
}

async function startEngine(options: EngineOptions = {}): Promise<Engine> {
  const server = await startServer((_request, response) => response.end());
  const sockets = new WebSocketServer({
    noServer: true,
    ...BRIDGED_WEBSOCKET_OPTIONS,
    handleProtocols: () => options.takesProtocol ?? false,
  });
  const asked: IncomingMessage[] = [];
  const open: WebSocket[] = [];
  server.server.on("upgrade", (request, socket, head) => {
    asked.push(request);
    if (options.answer !== undefined) socket.end(options.answer);
    else {
      socket.cork();
      process.nextTick(() => socket.uncork());
      sockets.handleUpgrade(request, socket, head, (webSocket) => {
        open.push(webSocket);
        if (options.greeting !== undefined) webSocket.send(options.greeting);
        webSocket.on("error", () => undefined);
        sockets.emit("connection", webSocket, request);
      });
    }
  });
  const target = testTarget(server.url, options.settings, options.models);
  return {
    target,
    asked,
    opened: async () => open.at(-1) ?? ((await once(sockets, "connection")) as [WebSocket])[0],
    async [Symbol.asyncDispose]() {
      for (const each of open) each.terminate();
      await target.dispatcher.destroy();
      await server[Symbol.asyncDispose]();
    },
  };
}

function serve(stream: FakeStream, target: Target): Promise<void> {
  return serveStream(stream, { targetOf: () => target, log: LOG, now: () => performance.now() });
}

const HI = Buffer.from("01000000026869", "hex");

test("the 101 leaves behind the engine's, then messages and the close pass both ways", async () => {
  await using engine = await startEngine();
  const stream = new FakeStream(OPENING);
  const served = serve(stream, engine.target);
  assert.equal(stream.answer, undefined);
  const socket = await engine.opened();
  await stream.until(() => stream.answer !== undefined);

  stream.push(HI);
  const [data, isBinary] = (await once(socket, "message")) as [Buffer, boolean];
  socket.send(Buffer.from([1]));
  socket.close(4001, "so");
  await stream.until(() => stream.endedWith !== undefined);
  stream.endBody();
  await served;

  assert.deepEqual(stream.answer, { status: 101, headers: [] });
  assert.deepEqual([data.toString(), isBinary], ["hi", false]);
  assert.equal(Buffer.concat(stream.written).toString("hex"), "020000000101" + "0800000004" + "0fa1736f");
  assert.equal(engine.target.running, 0);
});

test("a message cannot choose another model than the connection's", async () => {
  await using engine = await startEngine({ models: [{ id: "m", upstream: "org/m" }] });
  const stream = new FakeStream(OPENING);
  const served = serve(stream, engine.target);
  const socket = await engine.opened();
  await stream.until(() => stream.answer !== undefined);
  const push = (text: string): void => {
    const header = Buffer.from("0100000000", "hex");
    header.writeUInt32BE(text.length, 1);
    stream.push(Buffer.concat([header, Buffer.from(text)]));
  };

  push('{"type":"session.update","model":"other"}');
  const [data] = (await once(socket, "message")) as [Buffer];
  push('{"model":"other"');
  await served;

  assert.equal(data.toString(), '{"type":"session.update","model":"org/m"}');
  assert.equal(stream.resetWith?.code, "forbidden");
});

test("what an engine says together with its 101 is not lost", async () => {
  await using engine = await startEngine({ greeting: "hi" });
  const stream = new FakeStream(OPENING);
  const served = serve(stream, engine.target);

  await stream.until(() => stream.written.length > 0);
  stream.abort();
  await served;

  assert.equal(Buffer.concat(stream.written).toString("hex"), HI.toString("hex"));
});

test("a slot is taken while the WebSocket is open, and the next one is refused", async () => {
  await using engine = await startEngine({ settings: { maxConcurrent: 1 } });
  const first = new FakeStream(OPENING);
  const served = serve(first, engine.target);
  await first.until(() => first.answer !== undefined);

  const second = new FakeStream(OPENING);
  await serve(second, engine.target);
  first.abort();
  await served;

  assert.deepEqual([second.resetWith?.code, second.resetWith?.retrySafe], ["refused", true]);
  assert.equal(engine.target.running, 0);
});

test("the hub gives up: the engine's socket is closed at once", async () => {
  await using engine = await startEngine();
  const stream = new FakeStream(OPENING);
  const served = serve(stream, engine.target);
  const socket = await engine.opened();
  await stream.until(() => stream.answer !== undefined);

  const goneAt = performance.now();
  stream.abort();
  await once(socket, "close");

  assert.ok(performance.now() - goneAt < 250);
  await served;
});

test("an engine that disappears resets the stream", async () => {
  await using engine = await startEngine();
  const stream = new FakeStream(OPENING);
  const served = serve(stream, engine.target);
  const socket = await engine.opened();
  await stream.until(() => stream.answer !== undefined);

  socket.terminate();
  await served;

  assert.equal(stream.resetWith?.code, "target-reset");
  assert.equal(stream.endedWith, undefined);
});

test("the engine gets its key, the owner's headers and the offered subprotocols, and nothing of the client's key", async () => {
  await using engine = await startEngine({
    settings: { apiKeys: ["engine-key"], headers: { "x-owner": "1" } },
    takesProtocol: "realtime",
  });
  const offered = "realtime, openai-insecure-api-key.sk-x, openai-beta.realtime-v1, realtime, b@d";
  const stream = new FakeStream({
    ...OPENING,
    headers: [
      ["sec-websocket-protocol", offered],
      ["openai-beta", "realtime=v1"],
      ["cookie", "secret"],
    ],
  });
  const served = serve(stream, engine.target);
  await stream.until(() => stream.answer !== undefined);
  stream.abort();
  await served;

  const headers = engine.asked[0]?.headers ?? {};
  assert.equal(headers.authorization, "Bearer engine-key");
  assert.equal(headers["x-owner"], "1");
  assert.equal(headers["sec-websocket-protocol"], "realtime,openai-beta.realtime-v1");
  assert.equal(headers["openai-beta"], "realtime=v1");
  assert.equal(headers.cookie, undefined);
  assert.deepEqual(stream.answer, { status: 101, headers: [["sec-websocket-protocol", "realtime"]] });
});

test("an engine that knows no subprotocols is asked again without them", async () => {
  await using engine = await startEngine();
  const stream = new FakeStream({ ...OPENING, headers: [["sec-websocket-protocol", "realtime"]] });
  const served = serve(stream, engine.target);
  await stream.until(() => stream.answer !== undefined);
  stream.abort();
  await served;

  assert.deepEqual(
    engine.asked.map(({ headers }) => headers["sec-websocket-protocol"]),
    ["realtime", undefined],
  );
  assert.deepEqual(stream.answer, { status: 101, headers: [] });
});

test("the query names the model as the engine knows it", async () => {
  await using engine = await startEngine({ models: [{ id: "m", upstream: "org/m" }] });
  const stream = new FakeStream({ ...OPENING, query: "a=1&model=m&model=other" });
  const served = serve(stream, engine.target);
  await stream.until(() => stream.answer !== undefined);
  stream.abort();
  await served;

  assert.equal(engine.asked[0]?.url, "/v1/realtime?a=1&model=org%2Fm&model=org%2Fm");
});

test("an engine's refusal passes as an ordinary answer, without what is not the client's", async () => {
  const answer = "HTTP/1.1 403 Forbidden\r\nset-cookie: a=b\r\nx-why: so\r\ncontent-length: 2\r\n\r\n{}";
  await using engine = await startEngine({ answer });
  const stream = new FakeStream(OPENING);

  await serve(stream, engine.target);

  assert.deepEqual(stream.answer, {
    status: 403,
    headers: [
      ["x-why", "so"],
      ["content-length", "2"],
    ],
  });
  assert.equal(stream.text, "{}");
  assert.notEqual(stream.endedWith, undefined);
});

for (const [what, answer] of [
  ["a redirect", "HTTP/1.1 302 Found\r\nlocation: ws://elsewhere/\r\ncontent-length: 0\r\n\r\n"],
  [
    "a 101 with a wrong key",
    "HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: x\r\n\r\n",
  ],
  ["an answer that is cut", "HTTP/1.1 500 X\r\ncontent-length: 20\r\n\r\nhalf"],
] as const) {
  test(`${what} is a failed engine`, async () => {
    await using engine = await startEngine({ answer });
    const stream = new FakeStream(OPENING);

    await serve(stream, engine.target);

    assert.equal(stream.resetWith?.code, "target-reset");
    assert.equal(engine.target.running, 0);
  });
}

test("an engine that is not there is unreachable, and safe to retry elsewhere", async () => {
  const engine = await startEngine();
  await engine[Symbol.asyncDispose]();
  const stream = new FakeStream(OPENING);

  await serve(stream, engine.target);

  assert.deepEqual([stream.resetWith?.code, stream.resetWith?.retrySafe], ["target-unreachable", true]);
});

test("an engine that never answers the handshake is given up after ten seconds", async (t) => {
  const arrived = Promise.withResolvers<Socket>();
  const silent = createServer((socket) => arrived.resolve(socket)).listen(0, "127.0.0.1");
  await once(silent, "listening");
  const address = silent.address();
  const target = testTarget(new URL(`http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`));
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const stream = new FakeStream(OPENING);

  const served = serve(stream, target);
  const socket = await arrived.promise;
  await once(socket, "data");
  t.mock.timers.tick(10_000);
  await served;

  assert.equal(stream.resetWith?.code, "target-timeout-head");
  socket.destroy();
  silent.close();
});

test("the owner's routes hold for WebSockets: only a listed GET may be one", async () => {
  await using engine = await startEngine({ settings: { routes: ["GET /v1/other", "POST /v1/realtime"] } });
  const streams = [
    new FakeStream(OPENING),
    new FakeStream({ ...OPENING, method: "POST" }),
    new FakeStream({ ...OPENING, path: "/v1/other" }),
  ];
  for (const stream of streams.slice(0, 2)) await serve(stream, engine.target);
  const served = serve(streams[2] ?? assert.fail(), engine.target);
  await streams[2]?.until(() => streams[2]?.answer !== undefined);
  streams[2]?.abort();
  await served;

  assert.deepEqual(streams.map((stream) => stream.resetWith?.code).slice(0, 2), ["forbidden", "forbidden"]);
  assert.equal(streams[2]?.answer?.status, 101);
  assert.equal(engine.asked.length, 1);
});
