import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { connect, type Socket } from "node:net";
import { test } from "node:test";

import { connectTunnel, type LinkState, TUNNEL_LIMITS } from "@tokilake/tunnel";
import { WebSocket } from "ws";

import { STRANGERS } from "./http/stranger-sockets.ts";
import { FAILED_ATTEMPTS } from "./identity/failed-attempts.ts";
import { answerJson, FakeKeyRing, startTestHub, type TestHub } from "./test-hub.ts";

const CHAT = "/v1/chat/completions";
const WRONG = { headers: { authorization: "Bearer wrong" } };

interface ConnectOptions {
  readonly token: string;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Answer {
  readonly status: number | undefined;
  readonly retryAfter: string | undefined;
  readonly code: string;
}

/** The hub's answer to a worker's handshake. */
async function dial(hub: TestHub, { token, headers = {} }: ConnectOptions): Promise<Answer> {
  const asking = request(`${hub.url}/api/tokilake/connect`, {
    agent: false,
    headers: {
      connection: "upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
      "sec-websocket-protocol": "tokilake.v2",
      authorization: `Bearer ${token}`,
      ...headers,
    },
  }).end();
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    asking.once("response", resolve);
    asking.once("upgrade", resolve);
    asking.once("error", reject);
  });
  const { statusCode: status } = response;
  const retryAfter = response.headers["retry-after"];
  const text = status === 101 ? "{}" : Buffer.concat(await response.toArray()).toString();
  response.destroy();
  const { error } = JSON.parse(text) as { error?: { code: string } };
  return { status, retryAfter, code: error?.code ?? "" };
}

async function exhaust(hub: TestHub): Promise<void> {
  for (let n = 0; n < FAILED_ATTEMPTS.burst; n += 1) {
    assert.equal((await hub.post(CHAT, { model: "m" }, WRONG)).status, 401);
    await hub.requests.next();
  }
}

test("who fails on and on is answered 429 and no longer written down; a valid key from the same address is served", async () => {
  await using hub = await startTestHub();
  await hub.connect((stream) => answerJson(stream, { choices: [] }));
  await exhaust(hub);

  const refused = await hub.post(CHAT, { model: "m" }, WRONG);
  const list = await fetch(`${hub.url}/v1/models`, WRONG);
  const none = await fetch(`${hub.url}/v1/models`);
  const served = await hub.post(CHAT, { model: "m" });

  const body = (await refused.json()) as { error: { code: string; type: string; message: string } };
  assert.deepEqual(
    [refused.status, body.error.code, body.error.type],
    [429, "rate_limit_exceeded", "rate_limit_error"],
  );
  assert.match(refused.headers.get("retry-after") ?? "", /^1[0-2]$/);
  assert.match(body.error.message, /without a valid API key/);
  assert.deepEqual([list.status, none.status, served.status], [429, 429, 200]);
  await served.text();
  assert.equal((await hub.requests.next()).status, 200);
});

test("the same failures count at the workers' door, where a valid key gets in, too", async () => {
  await using hub = await startTestHub();
  await exhaust(hub);

  const unknown = await dial(hub, { token: "nonsense" });
  const wrongKind = await dial(hub, { token: "sk-test" });
  const socket = new WebSocket(`${hub.url.replace("http", "ws")}/v1/realtime?model=m`, WRONG);
  socket.on("error", () => undefined);
  const [, realtime] = (await once(socket, "unexpected-response")) as [unknown, IncomingMessage];
  const known = await dial(hub, { token: "wk-worker" });

  assert.deepEqual([unknown.status, unknown.code], [429, "too-many-failures"]);
  assert.match(unknown.retryAfter ?? "", /^1[0-2]$/);
  assert.deepEqual([wrongKind.status, realtime.statusCode, known.status], [429, 429, 101]);
  socket.terminate();
});

test("behind a trusted proxy each client fails for itself", async () => {
  await using hub = await startTestHub({
    trustedProxies: { networks: ["127.0.0.0/8"], header: "x-forwarded-for" },
  });
  const ask = async (client: string): Promise<number> => {
    const headers = { ...WRONG.headers, "x-forwarded-for": `1.2.3.4, ${client}` };
    return (await fetch(`${hub.url}/v1/models`, { headers })).status;
  };
  for (let n = 0; n < FAILED_ATTEMPTS.burst; n += 1) await ask("2001:db8::1");

  assert.deepEqual([await ask("2001:db8::2"), await ask("2001:db8:0:1::2"), await ask("203.0.113.1")], [429, 401, 401]);
});

test("a worker that is told 429 waits as long as it is told", async () => {
  await using hub = await startTestHub();
  await exhaust(hub);
  const waiting = Promise.withResolvers<LinkState>();
  const client = connectTunnel({
    url: hub.url,
    token: "wrong",
    workerId: "w",
    software: "test/0",
    details: () => ({}),
    serve: () => undefined,
    onState: (state) => {
      if (state.is === "waiting") waiting.resolve(state);
    },
  });

  const state = await waiting.promise;
  client.close();

  assert.ok(state.is === "waiting" && state.status === 429 && state.retryInMs >= 10_000);
});

/** A connection that says `text` and then nothing. */
async function linger(hub: TestHub, text: string): Promise<Socket> {
  const socket = connect(hub.port, "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, "connect");
  if (text !== "") socket.write(text);
  return socket;
}

test("of a thousand connections that say nothing, or not all, the oldest makes room; a client is served at once", async () => {
  await using hub = await startTestHub();
  await hub.connect((stream) => answerJson(stream, { choices: [] }));
  const known = connect(hub.port, "127.0.0.1");
  const ask = async (): Promise<string> => {
    known.write("GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-test\r\n\r\n");
    const [answer] = (await once(known, "data")) as [Buffer];
    return answer.toString("latin1", 0, 12);
  };
  assert.equal(await ask(), "HTTP/1.1 200");
  const oldest = await linger(hub, "POST /v1/chat");
  const closed = once(oldest, "close");
  const sockets: Socket[] = [];

  for (let n = 0; n < STRANGERS.perNetwork; n += 64) {
    const some = Array.from({ length: 64 }, () => linger(hub, "GET /api/tokilake/connect HTTP/1.1\r\nhost: "));
    sockets.push(...(await Promise.all(some)));
  }
  await closed;
  const startedAt = performance.now();
  const served = await hub.post(CHAT, { model: "m" });
  const worker = await hub.connect(() => undefined, { name: "another" });
  const tookMs = performance.now() - startedAt;

  assert.deepEqual([served.status, worker.state.is], [200, "connected"]);
  assert.ok(tookMs < 1_000, `${tookMs} ms`);
  assert.equal(await ask(), "HTTP/1.1 200");
  for (const socket of [...sockets, known]) socket.destroy();
});

test("of connections with one key of a user 128 may be without a registration; others are not held up, and it passes", async () => {
  await using hub = await startTestHub({}, { keys: new FakeKeyRing({ userId: "ada" }) });
  const open = async (token: string): Promise<WebSocket | number | undefined> => {
    const socket = new WebSocket(`${hub.url.replace("http", "ws")}/api/tokilake/connect`, ["tokilake.v2"], {
      headers: { authorization: `Bearer ${token}` },
    });
    socket.on("error", () => undefined);
    const opened = once(socket, "open").then(() => socket);
    const refused = once(socket, "unexpected-response").then(([, answer]) => (answer as IncomingMessage).statusCode);
    return Promise.race([opened, refused]);
  };
  const { maxPendingPerOwner } = TUNNEL_LIMITS;

  const silent = await Promise.all(Array.from({ length: maxPendingPerOwner }, () => open("wk-flood")));
  const more = await open("wk-flood");
  const other = await hub.connect(() => undefined, { token: "wk-other" });
  const [first] = silent;
  assert.ok(first instanceof WebSocket);
  const closed = once(first, "close");
  first.terminate();
  await closed;
  const again = await waitFor(async () => (await open("wk-flood")) instanceof WebSocket);

  assert.deepEqual([more, other.state.is, again], [429, "connected", true]);
  for (const socket of silent) if (socket instanceof WebSocket) socket.terminate();
});

/** Asks again until it is so: the hub sees a closed connection a moment later. */
async function waitFor(isSo: () => Promise<boolean>): Promise<boolean> {
  for (let n = 0; n < 100; n += 1) if (await isSo()) return true;
  return false;
}

test("workers that register with nonsense of the largest size, again and again, are told so and hold up nobody", async () => {
  await using hub = await startTestHub();
  await hub.connect((stream) => answerJson(stream, { choices: [] }));
  const absurd: readonly object[] = [
    {
      kind: "models",
      targets: [{ name: "e" }],
      models: Array.from({ length: 10_000 }, () => ({ id: "m", target: "e" })),
    },
    { kind: "models", targets: [{ name: "e" }], models: Array.from({ length: 80_000 }, () => ({})) },
    { kind: "models", targets: [{ name: "e" }], models: [{ id: "m".repeat(250_000), target: "e" }] },
    { kind: "models", targets: Array.from({ length: 80_000 }, () => ({})), models: [] },
    { kind: "models", targets: [{ name: "e", routes: Array.from({ length: 60_000 }, () => "") }], models: [] },
    { kind: "load", targets: [] },
  ];
  const refused: Promise<string>[] = [];
  let slowestMs = 0;

  for (let round = 0; round < 5; round += 1) {
    for (const [n, details] of absurd.entries()) refused.push(refusalOf(hub, `w${round}-${n}`, details));
    const startedAt = performance.now();
    const answer = await hub.post(CHAT, { model: "m" });
    await answer.text();
    slowestMs = Math.max(slowestMs, performance.now() - startedAt);
  }

  assert.deepEqual(new Set(await Promise.all(refused)), new Set(["bad-announcement"]));
  assert.ok(slowestMs < 1_000, `${slowestMs} ms`);
});

/** The code with which a worker is stopped. */
function refusalOf(hub: TestHub, workerId: string, details: object): Promise<string> {
  const stopped = Promise.withResolvers<string>();
  connectTunnel({
    url: hub.url,
    token: "wk-nonsense",
    workerId,
    software: "test/0",
    details: () => details,
    serve: () => undefined,
    onState: (state) => {
      if (state.is === "stopped") stopped.resolve(state.code.replace("refused:", ""));
    },
  });
  return stopped.promise;
}
