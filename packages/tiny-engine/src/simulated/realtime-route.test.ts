import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { test } from "node:test";

import { WebSocket } from "ws";

import type { Behaviour } from "./behaviour.ts";
import { type SimulatedEngine, startSimulatedEngine } from "./simulated-engine.ts";

function dial(engine: SimulatedEngine, behaviour: Behaviour = {}, protocols: string[] = []): WebSocket {
  const query = `model=m&simulate=${encodeURIComponent(JSON.stringify(behaviour))}`;
  const socket = new WebSocket(`${engine.url.replace("http", "ws")}/v1/realtime?${query}`, protocols);
  socket.on("error", () => undefined);
  return socket;
}

async function closeOf(socket: WebSocket): Promise<readonly [code: number, reason: string]> {
  const [code, reason] = (await once(socket, "close")) as [number, Buffer];
  return [code, reason.toString()];
}

test("messages come back as they were sent, text as text and binary as binary", async () => {
  await using engine = await startSimulatedEngine();
  const socket = dial(engine, {}, ["other", "realtime"]);
  await once(socket, "open");

  socket.send("hello");
  const text = (await once(socket, "message")) as [Buffer, boolean];
  socket.send(Buffer.from([0, 255]));
  const binary = (await once(socket, "message")) as [Buffer, boolean];
  socket.close(4000);
  await once(socket, "close");

  assert.equal(socket.protocol, "realtime");
  assert.deepEqual([text[0].toString(), text[1]], ["hello", false]);
  assert.deepEqual([binary[0].toString("hex"), binary[1]], ["00ff", true]);
  await engine.waitFor(({ completed }) => completed === 1);
  assert.equal(engine.requests[0]?.model, "m");
});

test("a handshake is refused with the status it asks for", async () => {
  await using engine = await startSimulatedEngine();

  const socket = dial(engine, { status: 429 });
  const [, response] = (await once(socket, "unexpected-response")) as [unknown, IncomingMessage];
  const body = Buffer.concat(await response.toArray()).toString();

  assert.equal(response.statusCode, 429);
  assert.match(body, /"code":"simulated"/);
});

test("it closes with a code, cuts and resets behind as many messages as it is told", async () => {
  await using engine = await startSimulatedEngine();

  const closed = dial(engine, { closeAfter: 0, closeCode: 4321, closeReason: "so" });
  const close = await closeOf(closed);
  const cut = dial(engine, { cutAfter: 1 });
  await once(cut, "open");
  cut.send("x");
  const cutClose = await closeOf(cut);
  const reset = dial(engine, { resetAfter: 0 });
  const resetClose = await closeOf(reset);

  assert.deepEqual(close, [4321, "so"]);
  assert.equal(cutClose[0], 1006);
  assert.equal(resetClose[0], 1006);
  await engine.waitFor((counts) => counts.completed === 1 && counts.cut === 2);
});

test("a client that goes without a close is counted as cancelled", async () => {
  await using engine = await startSimulatedEngine();
  const socket = dial(engine);
  await once(socket, "open");

  socket.terminate();

  await engine.waitFor(({ cancelled }) => cancelled === 1);
});
