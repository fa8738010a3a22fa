import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { test, type TestContext } from "node:test";

import type { Behaviour } from "@tokilake/tiny-engine";
import { type ClientOptions, WebSocket } from "ws";

import { chatBody, HttpExchange } from "./http-exchange.ts";
import { createKey, revokeKey } from "./hub.ts";
import { System } from "./system.ts";

interface Dial extends ClientOptions {
  readonly model?: string;
  readonly simulate?: Behaviour;
  readonly protocols?: readonly string[];
}

function dial(system: System, { model = "simulated", simulate, protocols = [], ...options }: Dial = {}): WebSocket {
  const query = new URLSearchParams({ model, ...(simulate && { simulate: JSON.stringify(simulate) }) });
  const socket = new WebSocket(
    `${system.hub.url.replace("http", "ws")}/v1/realtime?${query.toString()}`,
    [...protocols],
    {
      headers: { authorization: `Bearer ${system.apiKey}` },
      ...options,
    },
  );
  socket.on("error", () => undefined);
  return socket;
}

async function open(system: System, options?: Dial): Promise<WebSocket> {
  const socket = dial(system, options);
  const { promise, resolve, reject } = Promise.withResolvers<WebSocket>();
  socket.once("open", () => resolve(socket));
  socket.once("close", () => reject(new Error("The handshake failed.")));
  return promise;
}

async function closeOf(socket: WebSocket): Promise<{ code: number; reason: string }> {
  const [code, reason] = (await once(socket, "close")) as [number, Buffer];
  return { code, reason: reason.toString() };
}

function hashOf(data: Buffer, isBinary: boolean): string {
  return `${isBinary ? "binary" : "text"} ${createHash("sha256").update(data).digest("hex")}`;
}

/** The hashes of the next `count` messages. */
function hashes(socket: WebSocket, count: number): Promise<string[]> {
  const { promise, resolve } = Promise.withResolvers<string[]>();
  const all: string[] = [];
  const onMessage = (data: unknown, isBinary: boolean): void => {
    if (all.push(hashOf(data as Buffer, isBinary)) < count) return;
    socket.off("message", onMessage);
    resolve(all);
  };
  socket.on("message", onMessage);
  return promise;
}

test("WebSockets through hub, worker and engine, each a process of its own", async (t: TestContext) => {
  await using system = await System.start(t);

  await t.test("text and binary of all sizes come back byte for byte, and the close with them", async () => {
    const socket = await open(system);
    const sent = [0, 1, 126, 65_536, 1_000_000, 16 * 1024 * 1024].flatMap((size) => [
      { data: Buffer.alloc(size, "añb"), isBinary: true },
      { data: Buffer.from("ä".repeat(size / 2)), isBinary: false },
    ]);

    const echoed = hashes(socket, sent.length);
    for (const { data, isBinary } of sent) socket.send(data, { binary: isBinary });
    const got = await echoed;
    const closed = closeOf(socket);
    socket.close(4999, "bye");

    assert.deepEqual(
      got,
      sent.map(({ data, isBinary }) => hashOf(data, isBinary)),
    );
    assert.deepEqual(await closed, { code: 4999, reason: "bye" });
  });

  await t.test("the key comes as a browser sends it, and the engine never sees it", async () => {
    const protocols = ["realtime", `openai-insecure-api-key.${system.apiKey}`, "openai-beta.realtime-v1"];
    const socket = await open(system, { protocols, headers: {} });

    assert.equal(socket.protocol, "realtime");
    assert.doesNotMatch(JSON.stringify(system.engine.requests.at(-1)?.headers), new RegExp(system.apiKey));
    socket.close();
    await once(socket, "close");
  });

  for (const [what, options, status] of [
    ["a wrong key", { headers: { authorization: "Bearer sk-wrong" } }, 401],
    ["a model that nobody has", { model: "nobody's" }, 404],
    ["an engine that refuses", { simulate: { status: 418 } }, 418],
  ] as const) {
    await t.test(`${what} is answered before any upgrade, in OpenAI's words`, async () => {
      const [, response] = (await once(dial(system, options), "unexpected-response")) as [unknown, IncomingMessage];
      const body = JSON.parse(Buffer.concat(await response.toArray()).toString()) as { error: { message: string } };

      assert.equal(response.statusCode, status);
      assert.equal(typeof body.error.message, "string");
    });
  }

  await t.test("an engine that cuts is told as 1011, one that closes with its own code", async () => {
    const cut = await open(system, { simulate: { cutAfter: 1 } });
    const cutClose = closeOf(cut);
    cut.send("x");
    const closed = await open(system, { simulate: { closeAfter: 1, closeCode: 3001, closeReason: "enough" } });
    const close = closeOf(closed);
    closed.send("x");

    assert.equal((await cutClose).code, 1011);
    assert.deepEqual(await close, { code: 3001, reason: "enough" });
  });

  await t.test("a client that is gone frees the engine within 250 ms", async () => {
    const socket = await open(system);
    const { cancelled } = system.engine.counts();

    const goneAt = performance.now();
    socket.terminate();
    await system.engine.waitFor((counts) => counts.cancelled === cancelled + 1);

    assert.ok(performance.now() - goneAt < 250, `${performance.now() - goneAt} ms`);
  });

  await t.test("a session that nobody reads does not slow down the one beside it", async () => {
    const stalled = await open(system, { simulate: { stallAfter: 0 } });
    for (let n = 0; n < 500; n += 1) stalled.send(Buffer.alloc(64 * 1024));
    const busy = await open(system);

    const startedAt = performance.now();
    for (let n = 0; n < 200; n += 1) {
      busy.send("tick");
      await once(busy, "message");
    }
    const chat = await HttpExchange.whole(system.access, { body: chatBody({ tokens: 3 }) });

    assert.ok(performance.now() - startedAt < 5_000);
    assert.equal(chat.status, 200);
    stalled.terminate();
    busy.terminate();
  });
});

test("what ends the programs behind a WebSocket is told to its client by the close code", async (t: TestContext) => {
  await using system = await System.start(t, { hubEnv: { TOKILAKE_DRAIN_GRACE_MS: "500" } });

  await t.test("a key that is revoked: 1008", async () => {
    const key = await createKey(system.dataDir, "api", "second");
    const socket = await open(system, { headers: { authorization: `Bearer ${key}` } });
    const closed = closeOf(socket);

    await revokeKey(system.dataDir, "second");

    assert.deepEqual(await closed, { code: 1008, reason: "This API key was revoked." });
    await system.engine.waitFor((counts) => counts.active === 0);
  });

  await t.test("a worker that is killed: 1011, and the engine is free", async () => {
    const socket = await open(system);
    const closed = closeOf(socket);

    system.program("worker-a").kill("SIGKILL");

    assert.equal((await closed).code, 1011);
    await system.engine.waitFor((counts) => counts.active === 0);
  });

  await t.test("a hub that is stopped: 1001", async () => {
    await system.addWorker("worker-b");
    await system.listing("simulated");
    const socket = await open(system);
    const closed = closeOf(socket);

    system.hub.process.kill("SIGTERM");

    assert.equal((await closed).code, 1001);
    await system.hub.process.exited;
  });
});
