import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";

import type { TunnelStream } from "@tokilake/tunnel";

import { MAX_WAITING_REQUESTS } from "./http/turns.ts";
import { answerJson, startTestHub, type TestHub } from "./test-hub.ts";

const BODY = JSON.stringify({ model: "m" });

function post(headers = ""): string {
  return (
    `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-test\r\n${headers}` +
    `content-length: ${BODY.length}\r\n\r\n${BODY}`
  );
}

interface Client {
  readonly socket: Socket;
  readonly text: () => string;
  readonly closed: Promise<unknown>;
}

function dial(hub: TestHub): Client {
  const socket = connect(hub.port, "127.0.0.1");
  let text = "";
  socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
  return { socket, text: () => text, closed: once(socket, "close") };
}

/** Gives the worker's streams one after the other. */
async function connectEngine(hub: TestHub): Promise<{ readonly asked: () => number; next(): Promise<TunnelStream> }> {
  const streams: TunnelStream[] = [];
  let wake = (): void => undefined;
  let taken = 0;
  await hub.connect((stream) => {
    streams.push(stream);
    wake();
  });
  return {
    asked: () => streams.length,
    next: async () => {
      taken += 1;
      while (streams.length < taken) await new Promise<void>((resolve) => (wake = resolve));
      const stream = streams[taken - 1];
      assert.ok(stream);
      return stream;
    },
  };
}

test("a request behind another one is begun when that is answered, and answered in order", async () => {
  await using hub = await startTestHub();
  const engine = await connectEngine(hub);
  const client = dial(hub);
  client.socket.write(post() + post("connection: close\r\n"));

  const first = await engine.next();
  await fetch(`${hub.url}/healthz`);
  const whileRunning = engine.asked();
  answerJson(first, { id: 1 });
  answerJson(await engine.next(), { id: 2 });
  await client.closed;

  assert.equal(whileRunning, 1);
  assert.match(client.text(), /^HTTP\/1\.1 200 [^]*\{"id":1\}HTTP\/1\.1 200 [^]*\{"id":2\}$/);
});

test("a request behind an answer that ends the connection is not run: its client could never be told", async () => {
  await using hub = await startTestHub();
  const engine = await connectEngine(hub);
  const client = dial(hub);
  client.socket.write(post() + post() + post());
  const first = await engine.next();

  const drained = hub.hub.drain();
  answerJson(first, { id: 1 });
  await client.closed;
  await drained;

  assert.match(client.text(), /^HTTP\/1\.1 200 [^]*connection: close[^]*\{"id":1\}$/i);
  assert.equal(engine.asked(), 1);
  assert.equal((await hub.requests.next()).outcome, "complete");
  assert.deepEqual(hub.requests.records, []);
});

test("a client that says its request is the last is answered, whatever it sends behind it", async () => {
  await using hub = await startTestHub();
  const engine = await connectEngine(hub);
  const client = dial(hub);
  client.socket.write(post("connection: close\r\n") + post());

  answerJson(await engine.next(), { id: 1 });
  await client.closed;

  assert.match(client.text(), /^HTTP\/1\.1 200 [^]*\{"id":1\}$/);
  assert.equal(engine.asked(), 1);
});

test("a connection on which many requests wait is not read, and all of them are answered in the end", async () => {
  await using hub = await startTestHub();
  const engine = await connectEngine(hub);
  const client = dial(hub);
  const count = 40 * MAX_WAITING_REQUESTS;
  const health = `GET /healthz HTTP/1.1\r\nhost: x\r\nx-pad: ${"x".repeat(8_000)}\r\n\r\n`;
  client.socket.write(post());
  const first = await engine.next();
  // 20 MB: more than the sockets of both sides take.
  client.socket.write(health.repeat(count) + health.replace("x-pad", "connection: close\r\nx-pad"));
  for (let turn = 0; turn < 50; turn += 1) await fetch(`${hub.url}/healthz`);
  const unsent = client.socket.writableLength;

  answerJson(first, { id: 1 });
  await client.closed;

  assert.ok(unsent > 0, "the hub read all of it");
  assert.equal(client.text().match(/HTTP\/1\.1 200 /g)?.length, count + 2);
});
