import assert from "node:assert/strict";
import { createServer, request, type Server } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { test } from "node:test";

import { WebSocket, WebSocketServer } from "ws";

import {
  connectTunnel,
  createTunnelServer,
  type LinkState,
  type StreamOpening,
  type TunnelClient,
  type TunnelClientOptions,
  type TunnelError,
  TunnelRefusal,
  type TunnelServer,
  type TunnelServerOptions,
  type TunnelSession,
  type TunnelStream,
} from "./index.ts";

const OPENING: StreamOpening = {
  requestId: "req_1",
  target: "default",
  method: "POST",
  path: "/v1/chat/completions",
  query: "",
  headers: [["content-type", "application/json"]],
  priority: "interactive",
};

/** Lets a test wait until a list of things that happened satisfies it. No sleeping. */
class Journal<T> {
  readonly items: T[] = [];
  readonly #waiting = new Set<() => void>();

  add(item: T): void {
    this.items.push(item);
    for (const check of this.#waiting) check();
  }

  until<U extends T>(predicate: (item: T) => item is U): Promise<U>;
  until(predicate: (item: T) => boolean): Promise<T>;
  until(predicate: (item: T) => boolean): Promise<T> {
    return new Promise((resolve) => {
      const check = (): void => {
        const found = this.items.find(predicate);
        if (found === undefined) return;
        this.#waiting.delete(check);
        resolve(found);
      };
      this.#waiting.add(check);
      check();
    });
  }
}

class Hub implements AsyncDisposable {
  readonly http: Server;
  readonly tunnel: TunnelServer<string>;
  readonly sessions = new Journal<TunnelSession<string>>();
  readonly updates = new Journal<unknown>();
  /** The details of each session. */
  readonly registered: unknown[] = [];
  readonly closed = new Journal<{ session: TunnelSession<string>; reason: TunnelError }>();
  port = 0;

  constructor(options: Partial<TunnelServerOptions<string>> = {}) {
    this.tunnel = createTunnelServer<string>({
      hubId: "hub-1",
      authenticate: (bearer) => {
        if (bearer !== "wk-good") throw new TunnelRefusal({ status: 401, code: "bad-key", message: "unknown key" });
        return "alice";
      },
      register: () => {},
      onSession: (session) => {
        this.registered.push(session.registration.details);
        this.sessions.add(session);
      },
      onUpdate: (_session, details) => this.updates.add(details),
      onClose: (session, reason) => this.closed.add({ session, reason }),
      ...options,
    });
    this.http = createServer();
    this.http.on("upgrade", (request, socket, head) => this.tunnel.handleUpgrade(request, socket, head));
  }

  async listen(port = 0): Promise<this> {
    await new Promise<void>((resolve) => {
      this.http.listen(port, "127.0.0.1", resolve);
    });
    // A TCP server that listens has an object for its address.
    this.port = (this.http.address() as AddressInfo).port;
    return this;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.tunnel.close();
    this.http.closeAllConnections();
    await new Promise((resolve) => {
      this.http.close(resolve);
    });
  }
}

class Worker implements Disposable {
  readonly client: TunnelClient;
  readonly states = new Journal<LinkState>();

  constructor(hub: { url: string }, options: Partial<TunnelClientOptions> = {}) {
    this.client = connectTunnel({
      url: hub.url,
      token: "wk-good",
      workerId: "pc",
      software: "test/1",
      details: () => ({ kind: "models" }),
      serve: echo,
      onState: (state) => this.states.add(state),
      ...options,
    });
  }

  [Symbol.dispose](): void {
    this.client.close();
  }
}

async function echo(stream: TunnelStream): Promise<void> {
  stream.respond({ status: 200, headers: [["content-type", "text/plain"]] });
  for await (const chunk of stream.body) {
    if (!stream.write(chunk)) await stream.drained();
  }
  stream.end({ engine: "echo" });
}

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString();
}

test("a request goes through the tunnel and its answer comes back with trailers", async () => {
  await using hub = await new Hub().listen();
  using _worker = new Worker(hub);
  const session = await hub.sessions.until(() => true);

  const stream = session.open(OPENING);
  stream.write(Buffer.from("hello"));
  stream.end();

  const head = await stream.head;
  assert.equal(head.status, 200);
  assert.deepEqual(head.headers, [["content-type", "text/plain"]]);
  assert.equal(await textOf(stream.body), "hello");
  assert.deepEqual(stream.trailers, { engine: "echo" });
  assert.equal(session.streamCount, 0);
  assert.deepEqual([hub.registered, session.registration.details], [[{ kind: "models" }], undefined]);
});

test("ten megabytes go through in both directions unchanged", async () => {
  await using hub = await new Hub().listen();
  using _worker = new Worker(hub);
  const session = await hub.sessions.until(() => true);
  const stream = session.open({ ...OPENING, priority: "bulk" });
  const piece = Buffer.alloc(100_000, "abcdefghij");

  const writing = (async () => {
    for (let count = 0; count < 100; count++) if (!stream.write(piece)) await stream.drained();
    stream.end();
  })();
  let bytes = 0;
  for await (const chunk of stream.body) {
    assert.equal(chunk[0], 97 + (bytes % 10));
    bytes += chunk.length;
  }
  await writing;

  assert.equal(bytes, 10_000_000);
});

test("a key the hub does not know is answered with 401 before the 101, and failFast stops the worker", async () => {
  await using hub = await new Hub().listen();
  using worker = new Worker(hub, { token: "wk-bad", failFast: true });

  const stopped = await worker.states.until((state) => state.is === "stopped");

  assert.deepEqual(stopped, { is: "stopped", reason: "refused", code: "auth", message: "unknown key" });
});

/** What a server answers to an upgrade with these headers. */
function upgradeAnswer(hub: Hub, headers: Record<string, string>): Promise<{ status: number; body: unknown }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: unknown }>();
  const outgoing = request(`${hub.url}/api/tokilake/connect`, {
    headers: {
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
      ...headers,
    },
  });
  outgoing.on("error", reject);
  outgoing.on("upgrade", (response, socket) => {
    socket.destroy();
    resolve({ status: response.statusCode ?? 0, body: response.headers["sec-websocket-protocol"] });
  });
  outgoing.on("response", (response) => {
    let text = "";
    response.setEncoding("utf8");
    response.on("data", (chunk: string) => {
      text += chunk;
    });
    response.on("end", () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }));
  });
  outgoing.end();
  return promise;
}

const GOOD = { authorization: "Bearer wk-good", "sec-websocket-protocol": "tokilake.v2" };
const UPGRADES: readonly [string, Record<string, string>, number, string][] = [
  ["without a token", { "sec-websocket-protocol": "tokilake.v2" }, 401, "bad-key"],
  ["without a subprotocol", { authorization: "Bearer wk-good" }, 400, "unsupported-version"],
  ["with an unknown subprotocol", { ...GOOD, "sec-websocket-protocol": "tokilake.v3" }, 400, "unsupported-version"],
  ["from a browser page", { ...GOOD, origin: "https://evil.example" }, 403, "origin-not-allowed"],
];
for (const [name, headers, status, code] of UPGRADES) {
  test(`an upgrade ${name} is answered ${status} in JSON before the 101`, async () => {
    await using hub = await new Hub().listen();

    const answer = await upgradeAnswer(hub, headers);

    assert.equal(answer.status, status);
    const { error } = answer.body as { error: { code: string; message: string; type: string } };
    assert.equal(error.code, code);
    assert.ok(error.message !== "" && error.type !== "");
  });
}

test("an upgrade that also offers other versions gets tokilake.v2", async () => {
  await using hub = await new Hub().listen();

  const answer = await upgradeAnswer(hub, { ...GOOD, "sec-websocket-protocol": "x.v9, tokilake.v2, tokilake.v1" });

  assert.deepEqual(answer, { status: 101, body: "tokilake.v2" });
});

test("a full server answers 503, so does one whose authentication breaks with 500", async () => {
  await using full = await new Hub({ limits: { maxPendingSessions: 0 } }).listen();
  await using broken = await new Hub({
    authenticate: () => {
      throw new Error("database is gone");
    },
  }).listen();

  assert.equal((await upgradeAnswer(full, GOOD)).status, 503);
  const answer = await upgradeAnswer(broken, GOOD);
  assert.equal(answer.status, 500);
  assert.ok(!JSON.stringify(answer.body).includes("database"));
});

test("authentication that takes too long is answered 503", async () => {
  await using hub = await new Hub({ authenticate: () => new Promise(() => {}), limits: { handshakeMs: 20 } }).listen();

  assert.equal((await upgradeAnswer(hub, GOOD)).status, 503);
});

test("a worker that never registers is cut off", async () => {
  await using hub = await new Hub({ limits: { handshakeMs: 50 } }).listen();
  const socket = new WebSocket(`${hub.url.replace("http", "ws")}/`, ["tokilake.v2"], {
    headers: { authorization: "Bearer wk-good" },
  });

  const code = await new Promise((resolve) => {
    socket.on("close", resolve);
  });

  assert.equal(code, 1002);
});

test("a text message, and one of more than a mebibyte, end the connection with 1003 and 1009", async () => {
  await using hub = await new Hub().listen();
  for (const [message, expected] of [
    ["text", 1003],
    [Buffer.alloc(1024 * 1024 + 1), 1009],
  ] as const) {
    const socket = new WebSocket(`${hub.url.replace("http", "ws")}/`, ["tokilake.v2"], {
      headers: { authorization: "Bearer wk-good" },
    });
    socket.on("open", () => socket.send(message));

    const code = await new Promise((resolve) => {
      socket.on("close", resolve);
    });

    assert.equal(code, expected);
  }
});

test("a refused registration stops the worker with its code and changes nothing for the others", async () => {
  const refusal = new TunnelRefusal({ status: 403, code: "name-taken", message: "this name is somebody else's" });
  await using hub = await new Hub({
    register: (_identity, registration) => {
      if (registration.software === "intruder/1") throw refusal;
    },
  }).listen();
  using _owner = new Worker(hub);
  const session = await hub.sessions.until(() => true);
  using intruder = new Worker(hub, { software: "intruder/1" });

  const stopped = await intruder.states.until((state) => state.is === "stopped");

  assert.deepEqual(stopped, {
    is: "stopped",
    reason: "refused",
    code: "refused:name-taken",
    message: "this name is somebody else's",
  });
  assert.equal(session.isAccepting, true);
  assert.equal(hub.sessions.items.length, 1);
});

test("a refusal with a retry time makes the worker wait so long", async () => {
  await using hub = await new Hub({
    register: () => {
      throw new TunnelRefusal({ status: 429, code: "busy", message: "later", retryAfterMs: 60_000 });
    },
  }).listen();
  using worker = new Worker(hub);

  const waiting = await worker.states.until((state) => state.is === "waiting");

  assert.ok(waiting.is === "waiting" && waiting.code === "refused:busy" && waiting.retryInMs >= 60_000);
});

test("401 makes the worker wait five minutes when it is not its first failFast attempt", async () => {
  await using hub = await new Hub().listen();
  using worker = new Worker(hub, { token: "wk-bad" });

  const waiting = await worker.states.until((state) => state.is === "waiting");

  assert.deepEqual(waiting, {
    is: "waiting",
    attempt: 1,
    retryInMs: 300_000,
    reason: "unknown key",
    code: "auth",
    status: 401,
  });
});

test("a hub that is not there is unreachable, and a proxy's Retry-After is obeyed", async () => {
  const http = createServer((_request, response) => response.writeHead(503, { "retry-after": "120" }).end("busy"));
  await new Promise<void>((resolve) => {
    http.listen(0, "127.0.0.1", resolve);
  });
  // A TCP server that listens has an object for its address.
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  using busy = new Worker({ url });
  const waiting = await busy.states.until((state) => state.is === "waiting");
  assert.ok(waiting.is === "waiting" && waiting.retryInMs >= 120_000 && waiting.status === 503);
  http.closeAllConnections();
  await new Promise((resolve) => {
    http.close(resolve);
  });

  using lonely = new Worker({ url });
  const gone = await lonely.states.until((state) => state.is === "waiting");

  assert.ok(gone.is === "waiting" && gone.code === "unreachable" && gone.reason.includes("ECONNREFUSED"));
});

test("a hub that speaks another version stops the worker", async () => {
  const http = createServer();
  const other = new WebSocketServer({ server: http, handleProtocols: () => false });
  await new Promise<void>((resolve) => {
    http.listen(0, "127.0.0.1", resolve);
  });
  // A TCP server that listens has an object for its address.
  using worker = new Worker({ url: `http://127.0.0.1:${(http.address() as AddressInfo).port}` });

  const stopped = await worker.states.until((state) => state.is === "stopped");

  assert.ok(stopped.is === "stopped" && stopped.code === "version");
  for (const socket of other.clients) socket.terminate();
  await new Promise((resolve) => {
    http.close(resolve);
  });
});

test("updates reach the hub, the latest of those made before the connection too", async () => {
  await using hub = await new Hub().listen();
  using worker = new Worker(hub);
  worker.client.update({ kind: "load", n: 1 });
  worker.client.update({ kind: "load", n: 2 });
  assert.deepEqual(await hub.updates.until(() => true), { kind: "load", n: 2 });

  worker.client.update({ kind: "models" });

  await hub.updates.until((details) => JSON.stringify(details) === '{"kind":"models"}');
});

test("a notice of the hub reaches the worker after its registration, and of those that wait the last", async () => {
  await using hub = await new Hub({
    onSession: (session) => {
      for (const n of [1, 2]) session.notify({ n });
      hub.sessions.add(session);
    },
  }).listen();
  const told = new Journal<unknown>();
  using worker: Worker = new Worker(hub, {
    onNotice: (details) => {
      told.add([details, worker.client.state.is]);
      throw new Error("not a notice that this program likes");
    },
  });
  const session = await hub.sessions.until(() => true);
  await told.until(() => true);

  session.notify({ n: 3 });
  await told.until(() => told.items.length === 2);

  assert.deepEqual(told.items, [
    [{ n: 2 }, "connected"],
    [{ n: 3 }, "connected"],
  ]);
  assert.throws(() => session.notify("x".repeat(300_000)), { code: "too-large" });
  assert.equal(session.isAccepting, true);
});

test("a worker that wants no notices lives on with them", async () => {
  await using hub = await new Hub().listen();
  using _worker = new Worker(hub);
  const session = await hub.sessions.until(() => true);
  session.notify({ n: 1 });

  const stream = session.open(OPENING);
  stream.end();

  assert.equal((await stream.head).status, 200);
});

test("a worker that announces more than 32 KiB a second, in the long run, is cut off", async () => {
  await using hub = await new Hub().listen();
  using worker = new Worker(hub);
  const list = "x".repeat(200_000);
  await worker.states.until((state) => state.is === "connected");

  for (const n of [1, 2]) {
    worker.client.update({ n, list });
    await hub.updates.until((update) => (update as { n: number }).n === n);
  }
  worker.client.update({ n: 3, list });
  const { reason } = await hub.closed.until(() => true);

  assert.deepEqual([reason.code, reason.message], ["abuse", "abuse: too many bytes of CONTROL"]);
});

test("a worker whose connection broke comes back as a newer generation", async () => {
  await using hub = await new Hub().listen();
  using _worker = new Worker(hub, { limits: { firstRetryMs: 1 } });
  const first = await hub.sessions.until(() => true);

  first.close("internal");
  const second = await hub.sessions.until((session) => session !== first);

  assert.equal(second.generation, 2);
  assert.equal(second.registration.instanceId, first.registration.instanceId);
});

test("a new process with the same worker id takes over; the old one leaves when its stream is done", async () => {
  await using hub = await new Hub().listen();
  const release = Promise.withResolvers<void>();
  using older = new Worker(hub, {
    serve: async (stream) => {
      stream.respond({ status: 200, headers: [] });
      await release.promise;
      stream.write(Buffer.from("finished"));
      stream.end();
    },
  });
  const oldSession = await hub.sessions.until(() => true);
  const running = oldSession.open(OPENING);
  running.end();
  await running.head;

  using _newer = new Worker(hub);
  const newSession = await hub.sessions.until((session) => session !== oldSession);

  assert.equal(oldSession.isAccepting, false);
  assert.equal(newSession.isAccepting, true);
  const waiting = await older.states.until((state) => state.is === "waiting");
  assert.ok(waiting.is === "waiting" && waiting.code === "refused:superseded");
  release.resolve();
  assert.equal(await textOf(running.body), "finished");
  const closed = await hub.closed.until(() => true);
  assert.equal(closed.session, oldSession);
  assert.equal(closed.reason.code, "superseded");
  assert.deepEqual([...hub.tunnel.sessions], [newSession]);
});

test("a hub that answers a byte at a time is given up and dialed again", async () => {
  const trickles = new Set<NodeJS.Timeout>();
  const slow = createTcpServer((socket) => {
    socket.on("error", () => undefined).write("HTTP/1.1 101 Switching Protocols\r\nx-slow: ");
    trickles.add(setInterval(() => socket.write("x"), 20));
  });
  await new Promise<void>((resolve) => slow.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(slow.address() as AddressInfo).port}`;
  const worker = new Worker({ url }, { limits: { handshakeMs: 300 } });

  const waiting = await worker.states.until((state) => state.is === "waiting");

  worker.client.close();
  for (const trickle of trickles) clearInterval(trickle);
  slow.close();
  assert.ok(waiting.is === "waiting" && waiting.reason === "the hub did not answer in time");
});

test("a session whose ids are used up is replaced, and what runs on it ends in peace", async () => {
  await using hub = await new Hub({ limits: { lastStreamId: 4, supersedeGraceMs: 0 } }).listen();
  const release = Promise.withResolvers<void>();
  using _worker = new Worker(hub, {
    serve: async (stream) => {
      stream.respond({ status: 200, headers: [] });
      await release.promise;
      stream.end();
    },
  });
  const first = await hub.sessions.until(() => true);
  const running = [first.open(OPENING), first.open(OPENING)];
  assert.throws(() => first.open(OPENING), { code: "refused", retrySafe: true });
  const second = await hub.sessions.until((session) => session !== first);

  const next = second.open(OPENING);
  release.resolve();
  for (const stream of [...running, next]) {
    stream.end();
    assert.equal((await stream.head).status, 200);
    assert.equal(await textOf(stream.body), "");
  }
  const { session } = await hub.closed.until(() => true);
  assert.equal(session, first);
  assert.equal(second.registration.instanceId, first.registration.instanceId);
});

test("a worker that said it leaves may end its answers, though another process takes its name", async () => {
  await using hub = await new Hub({ limits: { supersedeGraceMs: 0 } }).listen();
  const release = Promise.withResolvers<void>();
  using older = new Worker(hub, {
    serve: async (stream) => {
      stream.respond({ status: 200, headers: [] });
      await release.promise;
      stream.write(Buffer.from("finished"));
      stream.end();
    },
  });
  const oldSession = await hub.sessions.until(() => true);
  const running = oldSession.open(OPENING);
  running.end();
  await running.head;
  const drained = older.client.drain({ graceMs: 20_000 });
  while (oldSession.isAccepting) await new Promise((resolve) => setImmediate(resolve));
  using _newer = new Worker(hub);
  await hub.sessions.until((session) => session !== oldSession);

  release.resolve();

  assert.equal(await textOf(running.body), "finished");
  await drained;
});

test("draining the hub lets a running answer finish, takes no new one, and the worker comes back later", async () => {
  await using hub = await new Hub().listen();
  const release = Promise.withResolvers<void>();
  using worker = new Worker(hub, {
    serve: async (stream) => {
      stream.respond({ status: 200, headers: [] });
      await release.promise;
      stream.end();
    },
  });
  const session = await hub.sessions.until(() => true);
  const running = session.open(OPENING);
  running.end();
  await running.head;

  const drained = hub.tunnel.drain({ graceMs: 10_000 });
  assert.throws(() => session.open(OPENING), { code: "refused", retrySafe: true });
  release.resolve();

  assert.equal(await textOf(running.body), "");
  await drained;
  assert.equal(hub.tunnel.sessions.size, 0);
  assert.equal((await upgradeAnswer(hub, GOOD)).status, 503);
  await worker.states.until((state) => state.is === "waiting");
});

test("draining the hub resets what is left at the deadline with shutdown", async () => {
  await using hub = await new Hub().listen();
  using _worker = new Worker(hub, { serve: (stream) => stream.respond({ status: 200, headers: [] }) });
  const session = await hub.sessions.until(() => true);
  const stream = session.open(OPENING);
  stream.end();
  await stream.head;

  await hub.tunnel.drain({ graceMs: 20 });

  await assert.rejects(textOf(stream.body), { code: "shutdown" });
});

test("asked to move, a worker registers at the new hub and serves the old one until that lets it go", async () => {
  await using old = await new Hub().listen();
  using worker = new Worker(old);
  const session = await old.sessions.until(() => true);
  old.http.close();
  await using next = await new Hub({ hubId: "hub-2" }).listen(old.port);

  old.tunnel.handOver({ graceMs: 10_000 });
  await worker.states.until((state) => state.is === "waiting" && state.code === "moving");
  const there = await next.sessions.until(() => true);
  const here = session.open(OPENING);
  here.write(Buffer.from("old"));
  here.end();

  assert.equal(await textOf(here.body), "old");
  const stream = there.open(OPENING);
  stream.end();
  assert.equal((await stream.head).status, 200);
  await old.tunnel.drain({ graceMs: 10_000 });
  const state = worker.client.state;
  assert.equal(state.is === "connected" && state.hubId, "hub-2");
  assert.ok(there.isAccepting);
});

test("a hub that hands over takes no new worker, and one that moved looks for the next hub once a second", async () => {
  await using old = await new Hub().listen();
  using worker = new Worker(old, { limits: { firstRetryMs: 60_000, maxRetryMs: 60_000 } });
  const session = await old.sessions.until(() => true);

  old.tunnel.handOver({ graceMs: 10_000 });
  // Nobody else listens there: it is the old hub itself that it finds.
  const waiting = await worker.states.until((state) => state.is === "waiting" && state.code === "unreachable");

  assert.ok(waiting.is === "waiting" && waiting.status === 503 && waiting.retryInMs <= 2000, JSON.stringify(waiting));
  assert.ok(session.isAccepting);
});

test("draining the worker finishes what runs, then it is stopped", async () => {
  await using hub = await new Hub().listen();
  const release = Promise.withResolvers<void>();
  using worker = new Worker(hub, {
    serve: async (stream) => {
      await release.promise;
      await echo(stream);
    },
  });
  const session = await hub.sessions.until(() => true);
  const stream = session.open(OPENING);
  stream.write(Buffer.from("late"));
  stream.end();
  while (worker.client.streamCount === 0) await new Promise(setImmediate);

  const drained = worker.client.drain({ graceMs: 10_000 });
  release.resolve();

  assert.equal(await textOf(stream.body), "late");
  await drained;
  assert.deepEqual(worker.client.state.is, "stopped");
  await hub.closed.until(() => true);
});

test("a serve that throws resets its stream with internal and hurts no other", async () => {
  await using hub = await new Hub().listen();
  using _worker = new Worker(hub, {
    serve: (stream) => {
      if (stream.opening.requestId === "bad") throw new Error("oops");
      return echo(stream);
    },
  });
  const session = await hub.sessions.until(() => true);
  const bad = session.open({ ...OPENING, requestId: "bad" });
  const good = session.open(OPENING);
  good.end();

  await assert.rejects(bad.head, { code: "internal", isLocal: false });
  assert.equal((await good.head).status, 200);
});

test("closing a session ends every stream with its code on both sides", async () => {
  await using hub = await new Hub().listen();
  const ended = new Journal<string>();
  using _worker = new Worker(hub, {
    serve: (stream) => {
      stream.signal.addEventListener("abort", () => ended.add(String(stream.signal.reason)));
    },
  });
  const session = await hub.sessions.until(() => true);
  const stream = session.open(OPENING);
  while (session.bytesSent === 0 || session.roundTripMs === undefined) await new Promise(setImmediate);
  const { head } = stream;

  session.close("revoked", "the key was revoked");

  await assert.rejects(head, { code: "revoked", isLocal: true });
  await ended.until((reason) => reason === "TunnelError: revoked");
});

test("a stuck reader never delays another stream", async () => {
  await using hub = await new Hub().listen();
  using _worker = new Worker(hub, {
    serve: async (stream) => {
      stream.respond({ status: 200, headers: [] });
      const size = stream.opening.requestId === "stuck" ? 4_000_000 : 100;
      stream.write(Buffer.alloc(size));
      stream.end();
    },
  });
  const session = await hub.sessions.until(() => true);
  const stuck = session.open({ ...OPENING, requestId: "stuck" });
  await stuck.head;

  for (let count = 0; count < 50; count++) {
    const stream = session.open(OPENING);
    assert.equal((await textOf(stream.body)).length, 100);
  }
  assert.ok(session.bytesReceived < 400_000, "the stuck stream sent more than its window");
});

test("a program error while registering ends the session without telling the worker what it was", async () => {
  await using hub = await new Hub({
    register: () => {
      throw new Error("password of the database");
    },
  }).listen();
  using worker = new Worker(hub);

  const waiting = await worker.states.until((state) => state.is === "waiting");

  assert.ok(!JSON.stringify(waiting).includes("password"));
});

test("bad addresses and tokens are refused at once", () => {
  assert.throws(() => new Worker({ url: "ftp://hub" }), TypeError);
  assert.throws(() => new Worker({ url: "http://127.0.0.1:1" }, { token: "a\r\nb" }), TypeError);
  assert.throws(() => new Worker({ url: "http://127.0.0.1:1" }, { token: "" }), TypeError);
});

test("an owner has so many connections and no more, unless the program bounds him not", async () => {
  const limits = { maxSessionsPerOwner: 1 };
  for (const isBounded of [true, false]) {
    await using hub = await new Hub({ limits, ownerOf: (owner) => owner, isBounded: () => isBounded }).listen();
    using first = new Worker(hub, { workerId: "first" });
    await first.states.until(({ is }) => is === "connected");
    using second = new Worker(hub, { workerId: "second", failFast: true });

    const state = await second.states.until(({ is }) => is === "connected" || is === "stopped" || is === "waiting");

    assert.equal(state.is === "connected", !isBounded, JSON.stringify(state));
  }
});
