import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";

import { WebSocket, WebSocketServer } from "ws";

import { connectTunnel } from "../client/tunnel-client.ts";
import { createTunnelServer } from "../server/tunnel-server.ts";
import type { TunnelSession } from "../tunnel-session.ts";
import type { TunnelStream } from "../tunnel-stream.ts";
import { encodeClose, encodeMessage } from "./message-record.ts";
import { BRIDGED_WEBSOCKET_OPTIONS, type BridgeEnd, type BridgeOptions, bridgeWebSocket } from "./websocket-bridge.ts";

const HUB: BridgeOptions = {
  lostCode: "cancelled",
  closeFor: (error) => ({ code: 1011, reason: error.code }),
};
const WORKER: BridgeOptions = { lostCode: "target-reset" };

/** A client, a tunnel and an engine: the client's WebSocket is bridged to the tunnel, and the tunnel to the engine's. */
class Passage implements AsyncDisposable {
  readonly client: WebSocket;
  readonly engine: WebSocket;
  /** The streams of this WebSocket, at the hub and at the worker. */
  readonly streams: readonly [hub: TunnelStream, worker: TunnelStream];
  readonly ends: readonly [hub: Promise<BridgeEnd>, worker: Promise<BridgeEnd>];
  readonly #closing: AsyncDisposableStack;

  private constructor(
    parts: Pick<Passage, "client" | "engine" | "streams" | "ends"> & { closing: AsyncDisposableStack },
  ) {
    this.client = parts.client;
    this.engine = parts.engine;
    this.streams = parts.streams;
    this.ends = parts.ends;
    this.#closing = parts.closing;
  }

  static async open(options: { hub?: BridgeOptions } = {}): Promise<Passage> {
    await using closing = new AsyncDisposableStack();
    const { session, streams } = await openTunnel(closing);
    const [client, clientAtHub] = await socketPair(closing);
    const [engineAtWorker, engine] = await socketPair(closing);
    const stream = session.open({
      kind: "ws",
      requestId: "r",
      target: "t",
      method: "GET",
      path: "/v1/realtime",
      query: "model=m",
      headers: [],
      priority: "interactive",
    });
    const served = await streams.promise;
    served.respond({ status: 101, headers: [] });
    assert.equal((await stream.head).status, 101);
    const ends = [
      bridgeWebSocket(clientAtHub, stream, options.hub ?? HUB),
      bridgeWebSocket(engineAtWorker, served, WORKER),
    ] as const;
    return new Passage({ client, engine, streams: [stream, served], ends, closing: closing.move() });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#closing[Symbol.asyncDispose]();
  }
}

async function openTunnel(
  closing: AsyncDisposableStack,
): Promise<{ session: TunnelSession<null>; streams: PromiseWithResolvers<TunnelStream> }> {
  const streams = Promise.withResolvers<TunnelStream>();
  const session = Promise.withResolvers<TunnelSession<null>>();
  const server = createTunnelServer<null>({
    hubId: "h",
    authenticate: () => null,
    register: () => undefined,
    onSession: (each) => session.resolve(each),
    onUpdate: () => undefined,
    onClose: () => undefined,
  });
  const http = createServer().on("upgrade", (...upgrade) => server.handleUpgrade(...upgrade));
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const worker = connectTunnel({
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    token: "t",
    workerId: "w",
    software: "test",
    details: () => null,
    serve: (stream) => streams.resolve(stream),
    onState: () => undefined,
  });
  closing.defer(async () => {
    worker.close();
    server.close();
    http.closeAllConnections();
    await new Promise((resolve) => http.close(resolve));
  });
  return { session: await session.promise, streams };
}

/** The two ends of one WebSocket. */
async function socketPair(closing: AsyncDisposableStack): Promise<readonly [client: WebSocket, server: WebSocket]> {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", ...BRIDGED_WEBSOCKET_OPTIONS });
  await once(server, "listening");
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`, BRIDGED_WEBSOCKET_OPTIONS);
  const [[accepted]] = (await Promise.all([once(server, "connection"), once(client, "open")])) as [
    [WebSocket],
    unknown,
  ];
  client.on("error", () => undefined);
  accepted.on("error", () => undefined);
  closing.defer(async () => {
    client.terminate();
    accepted.terminate();
    await new Promise((resolve) => server.close(resolve));
  });
  return [client, accepted];
}

interface Received {
  readonly text: string | undefined;
  readonly hash: string;
}

function received(data: Buffer, isBinary: boolean): Received {
  return { text: isBinary ? undefined : data.toString(), hash: createHash("sha256").update(data).digest("hex") };
}

/** The next `count` messages of a socket. */
function messages(socket: WebSocket, count: number): Promise<Received[]> {
  const { promise, resolve } = Promise.withResolvers<Received[]>();
  const all: Received[] = [];
  const onMessage = (data: unknown, isBinary: boolean): void => {
    if (all.push(received(data as Buffer, isBinary)) < count) return;
    socket.off("message", onMessage);
    resolve(all);
  };
  socket.on("message", onMessage);
  return promise;
}

async function closeOf(socket: WebSocket): Promise<{ code: number; reason: string }> {
  const [code, reason] = (await once(socket, "close")) as [number, Buffer];
  return { code, reason: reason.toString() };
}

const SIZES = [0, 1, 125, 126, 65_535, 65_536, 300_000, 5_000_000];

for (const direction of ["up", "down"] as const) {
  test(`text and binary messages of any size pass ${direction}, in order and byte for byte`, async () => {
    await using passage = await Passage.open();
    const [from, to] = direction === "up" ? [passage.client, passage.engine] : [passage.engine, passage.client];
    const sent = SIZES.flatMap((size) => [
      { data: Buffer.alloc(size, "añb"), isBinary: true },
      { data: Buffer.from("z".repeat(size)), isBinary: false },
    ]);

    const arrived = messages(to, sent.length);
    for (const { data, isBinary } of sent) from.send(data, { binary: isBinary });

    assert.deepEqual(
      await arrived,
      sent.map(({ data, isBinary }) => received(data, isBinary)),
    );
  });
}

test("a message that is sent in fragments arrives whole", async () => {
  await using passage = await Passage.open();

  const arrived = messages(passage.engine, 1);
  passage.client.send("one ", { fin: false });
  passage.client.send("two ", { fin: false });
  passage.client.send("three", { fin: true });

  assert.equal((await arrived)[0]?.text, "one two three");
});

for (const [who, by] of [
  ["client", "socket"],
  ["engine", "stream"],
] as const) {
  for (const [what, code, reason] of [
    ["1000", 1000, ""],
    ["4321 and a reason", 4321, "because é"],
    ["no code", undefined, ""],
  ] as const) {
    test(`the ${who} closes with ${what}, behind its last message, and the other side learns exactly that`, async () => {
      await using passage = await Passage.open();
      const [from, to] = who === "client" ? [passage.client, passage.engine] : [passage.engine, passage.client];

      const arrived = messages(to, 1);
      const closed = closeOf(to);
      from.send("last");
      if (code === undefined) from.close();
      else from.close(code, reason);

      assert.equal((await arrived)[0]?.text, "last");
      assert.deepEqual(await closed, { code: code ?? 1005, reason });
      assert.deepEqual(await passage.ends[0], { is: "closed", by, close: { code, reason } });
      assert.equal((await passage.ends[1]).is, "closed");
    });
  }
}

test("both sides close at once: each has its own close, and the stream ends", async () => {
  await using passage = await Passage.open();

  passage.client.close(4001);
  passage.engine.close(4002);

  assert.equal((await passage.ends[0]).is, "closed");
  assert.equal((await passage.ends[1]).is, "closed");
});

test("a client that is gone without a close cuts the engine off at once", async () => {
  await using passage = await Passage.open();

  const closed = once(passage.engine, "close");
  const goneAt = performance.now();
  passage.client.terminate();
  await closed;

  assert.ok(performance.now() - goneAt < 250);
  assert.deepEqual(await passage.ends[0], { is: "lost" });
  const end = await passage.ends[1];
  assert.equal(end.is === "failed" && end.error.code, "cancelled");
});

test("an engine that is gone without a close is told as a failure, never as 1000", async () => {
  await using passage = await Passage.open();

  const closed = closeOf(passage.client);
  passage.engine.terminate();

  assert.deepEqual(await closed, { code: 1011, reason: "target-reset" });
  assert.deepEqual(await passage.ends[1], { is: "lost" });
});

test("a stream that ends without a close of the WebSocket is a failure", async () => {
  await using passage = await Passage.open();

  const closed = closeOf(passage.client);
  passage.streams[1].end();

  assert.deepEqual(await closed, { code: 1011, reason: "protocol" });
});

test("bytes that are no message are a failure, and the messages before them arrive", async () => {
  await using passage = await Passage.open();

  const arrived = messages(passage.client, 1);
  const closed = closeOf(passage.client);
  passage.streams[1].write(Buffer.concat([encodeMessage(Buffer.from("good"), true), Buffer.from("ff00000000", "hex")]));

  assert.equal((await arrived)[0]?.text, "good");
  assert.deepEqual(await closed, { code: 1011, reason: "protocol" });
});

test("bytes behind a close reset the stream, and the WebSocket is closed as it was told", async () => {
  await using passage = await Passage.open();
  const [, served] = passage.streams;
  const { signal } = served;

  served.write(Buffer.concat([encodeClose({ code: 4000, reason: "bye" }), encodeMessage(Buffer.from("more"), true)]));
  const [code] = (await once(passage.client, "close")) as [number];
  if (!signal.aborted) await once(signal, "abort");

  assert.equal(code, 4000);
  assert.equal((signal.reason as { code: string }).code, "protocol");
});

test("a message over the limit closes its sender with 1009, and the other side is told", async () => {
  await using passage = await Passage.open();

  const closed = closeOf(passage.engine);
  const clientClosed = closeOf(passage.client);
  passage.engine.send(Buffer.alloc(BRIDGED_WEBSOCKET_OPTIONS.maxPayload + 1));

  assert.equal((await closed).code, 1009);
  assert.deepEqual(await clientClosed, { code: 1011, reason: "too-large" });
});

test("pings are answered on the spot and do not pass", async () => {
  let pings = 0;
  await using passage = await Passage.open({ hub: { ...HUB, onPing: () => (pings += 1) } });
  passage.engine.on("ping", () => assert.fail("the ping went through"));

  passage.client.ping("hello");
  const [data] = (await once(passage.client, "pong")) as [Buffer];

  assert.equal(data.toString(), "hello");
  assert.equal(pings, 1);
});

for (const direction of ["up", "down"] as const) {
  test(`who does not read ${direction === "up" ? "up" : "down"}stream holds its sender back, in bounded memory`, async () => {
    await using passage = await Passage.open();
    const [from, to] = direction === "up" ? [passage.client, passage.engine] : [passage.engine, passage.client];
    const message = Buffer.alloc(64 * 1024, 1);
    const count = 1024;

    to.pause();
    const arrived = messages(to, count);
    let taken = 0;
    for (let n = 0; n < count; n += 1) from.send(message, () => (taken += 1));
    await stillness(() => taken);
    const held = taken * message.length;
    to.resume();

    // Four kernels' buffers, two windows of the tunnel at most, and what the bridges hold.
    assert.ok(held < 40 * 1024 * 1024, `${held} bytes were taken`);
    assert.equal((await arrived).length, count);
  });
}

/** Resolves when `read` gives the same for some looks in a row. */
async function stillness(read: () => number): Promise<void> {
  for (let same = 0, last = -1; same < 10; same = read() === last ? same + 1 : 0) {
    last = read();
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

test("what was sent before a close still reaches a side that reads late", async () => {
  await using passage = await Passage.open();
  const count = 64;

  passage.client.pause();
  const arrived = messages(passage.client, count);
  const closed = closeOf(passage.client);
  for (let n = 0; n < count; n += 1) passage.engine.send(Buffer.alloc(64 * 1024, n));
  passage.engine.close(4000, "done");
  await once(passage.engine, "close");
  passage.client.resume();

  assert.equal((await arrived).length, count);
  assert.deepEqual(await closed, { code: 4000, reason: "done" });
});

test("a reset reaches the engine even while nobody reads", async () => {
  await using passage = await Passage.open();
  passage.engine.pause();
  let taken = 0;
  for (let n = 0; n < 1024; n += 1) passage.client.send(Buffer.alloc(64 * 1024), () => (taken += 1));
  await stillness(() => taken);

  passage.streams[0].reset("revoked");

  const end = await passage.ends[1];
  assert.equal(end.is === "failed" && end.error.code, "revoked");
  assert.equal((await passage.ends[0]).is, "failed");
});
