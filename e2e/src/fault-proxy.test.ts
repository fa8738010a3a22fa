import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";

import { eventually } from "./eventually.ts";
import { FaultProxy } from "./fault-proxy.ts";

/** A server, a proxy to it, and one connection through it. */
interface Line extends AsyncDisposable {
  readonly proxy: FaultProxy;
  readonly client: End;
  readonly server: End;
}

/** One end of the connection and what it got. */
class End {
  readonly socket: Socket;
  received = Buffer.alloc(0);
  readonly times: number[] = [];
  end: "open" | "ended" | "reset" = "open";

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (bytes: Buffer) => {
      this.received = Buffer.concat([this.received, bytes]);
      this.times.push(performance.now());
    });
    socket.on("end", () => (this.end = "ended"));
    socket.on("error", () => (this.end = "reset"));
  }

  async got(bytes: number): Promise<void> {
    await eventually(`${bytes} bytes arrive`, () => this.received.length >= bytes);
  }

  async is(end: End["end"]): Promise<void> {
    await eventually(`the end is ${end}`, () => this.end === end);
  }
}

async function openLine(): Promise<Line> {
  const listener: Server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  listener.on("connection", (socket) => socket.on("error", () => {}));
  await once(listener, "listening");
  const address = listener.address();
  const port = typeof address === "object" ? (address?.port ?? 0) : 0;
  const proxy = await FaultProxy.start({ port });
  const accepted = once(listener, "connection");
  const client = connect({ port: proxy.port, host: "127.0.0.1", allowHalfOpen: true });
  const [socket] = (await accepted) as [Socket];
  return {
    proxy,
    client: new End(client),
    server: new End(socket),
    async [Symbol.asyncDispose]() {
      client.destroy();
      socket.destroy();
      await proxy[Symbol.asyncDispose]();
      listener.close();
    },
  };
}

/** Bytes of which none is like its neighbours. */
function pattern(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let index = 0; index < length; index += 1) bytes[index] = (index * 7 + (index >> 8)) % 251;
  return bytes;
}

test("without faults bytes and ends pass in both directions", async () => {
  await using line = await openLine();
  const { client, server } = line;
  const sent = pattern(3_000_000);

  client.socket.end(sent);
  await server.got(sent.length);
  await server.is("ended");
  server.socket.end("answer");
  await client.is("ended");

  assert.ok(server.received.equals(sent));
  assert.equal(client.received.toString(), "answer");
  await eventually("the proxy forgets the connection", () => line.proxy.connectionCount === 0);
  assert.equal(line.proxy.acceptedCount, 1);
});

test("a delay holds each byte back so long, in its direction only", async () => {
  await using line = await openLine();
  line.proxy.set({ up: { delayMs: 200 } });

  const start = performance.now();
  line.client.socket.write("up");
  line.server.socket.write("down");
  const up = line.server.got(2).then(() => performance.now() - start);
  const first = await Promise.race([up.then(() => "up"), line.client.got(4).then(() => "down")]);

  assert.equal(first, "down");
  // A timer may be a millisecond early.
  assert.ok((await up) >= 199, `${await up}`);
});

test("jitter, single bytes and a slow line change the timing and no byte", async () => {
  await using line = await openLine();
  const sent = pattern(2000);
  line.proxy.set({ up: { jitterMs: 0.5, pieceBytes: 1 }, down: { bytesPerSecond: 10_000 } });

  const start = performance.now();
  line.client.socket.write(sent);
  line.server.socket.write(sent);
  await Promise.all([line.server.got(sent.length), line.client.got(sent.length)]);
  const tookMs = performance.now() - start;

  assert.ok(line.server.received.equals(sent) && line.client.received.equals(sent));
  assert.ok(line.server.times.length > 10, "the bytes came in one piece");
  assert.ok(tookMs >= 180, `2,000 bytes at 10,000 bytes a second took ${tookMs} ms`);
});

for (const how of ["end", "reset"] as const) {
  test(`a cut after a number of bytes lets exactly those pass, then both ends see: ${how}`, async () => {
    await using line = await openLine();
    line.client.socket.write("before");
    await line.server.got(6);
    line.proxy.set({ up: { cut: { afterBytes: 1000, how } } });

    line.client.socket.write(pattern(5000));

    const seen = how === "end" ? "ended" : "reset";
    await Promise.all([line.server.is(seen), line.client.is(seen)]);
    if (how === "end") assert.equal(line.server.received.length, 1006);
    else assert.ok(line.server.received.length <= 1006);
  });
}

test("a line that swallows takes everything, tells nothing, and a new connection passes", async () => {
  await using line = await openLine();
  const { client, proxy, server } = line;
  proxy.abandon({ up: { stop: "swallow" } });

  client.socket.end(pattern(1_000_000));
  await once(client.socket, "finish");
  server.socket.write("down");
  await client.got(4);

  assert.equal(server.received.length, 0);
  assert.equal(server.end, "open");
  const other = connect(proxy.port, "127.0.0.1");
  await once(other, "connect");
  await eventually("the new one is taken on", () => proxy.acceptedCount === 2);
  other.destroy();
});

test("a paused line makes the sender wait, and goes on where it stopped", async () => {
  await using line = await openLine();
  const sent = pattern(30_000_000);
  line.proxy.set({ up: { stop: "pause" } });
  line.client.socket.write(sent);
  await eventually("the kernel's buffers are full", () => line.client.socket.writableLength > 0);

  assert.equal(line.server.received.length, 0);
  line.server.socket.pause();
  const hash: Buffer[] = [];
  line.server.socket.removeAllListeners("data").on("data", (bytes: Buffer) => hash.push(bytes));
  line.proxy.set({ up: {} });
  line.server.socket.resume();
  await eventually("everything arrives", () => hash.reduce((sum, bytes) => sum + bytes.length, 0) === sent.length);

  assert.ok(Buffer.concat(hash).equals(sent));
});

test("a reset reaches both ends, and while the line is down nobody gets through", async () => {
  await using line = await openLine();
  line.proxy.setDown(true);

  line.proxy.reset();
  await Promise.all([line.client.is("reset"), line.server.is("reset")]);

  const refused = connect(line.proxy.port, "127.0.0.1");
  const [error] = (await once(refused, "error")) as [NodeJS.ErrnoException];
  assert.equal(error.code, "ECONNRESET");
  line.proxy.setDown(false);
  const taken = connect(line.proxy.port, "127.0.0.1");
  taken.on("error", () => {});
  await eventually("it is up again", () => line.proxy.acceptedCount === 2);
  taken.destroy();
});

test("a reset of what is just ending loses no connection", async () => {
  for (let round = 0; round < 20; round += 1) {
    await using line = await openLine();
    line.client.socket.write("x");
    await line.server.got(1);

    line.client.socket.end();
    line.server.socket.end();
    for (let turn = 0; turn < round % 5; turn += 1) await nextTurn();
    line.proxy.reset();

    await eventually("the proxy forgets the connection", () => line.proxy.connectionCount === 0);
  }
});
