import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";

import { WebSocket } from "ws";

import { bytesOf, GoLikeHub, GoLikeWorker, type GoLikeWorkerOptions, type GoRequest } from "./go-like-peer.ts";
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
  requestId: "r1",
  target: "v1",
  method: "POST",
  path: "/v1/chat/completions",
  query: "",
  headers: [["content-type", "application/json"]],
  model: "m",
  priority: "interactive",
};
const SSE = { status_code: 200, headers: { "Content-Type": "text/event-stream" } };

function portOf(server: Server): number {
  // A TCP server that listens has an object for its address.
  return (server.address() as AddressInfo).port;
}

async function listen(server: Server): Promise<void> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
}

/** Our hub, and what it told. */
class Hub implements AsyncDisposable {
  readonly http = createServer();
  readonly tunnel: TunnelServer<string>;
  readonly bearers: (string | undefined)[] = [];
  readonly warnings: object[] = [];
  /** The details of each session. */
  readonly registered: unknown[] = [];
  readonly updates: unknown[] = [];
  readonly closed: { session: TunnelSession<string>; reason: TunnelError }[] = [];
  #onClosed: (() => void) | undefined;

  private constructor(options: Partial<TunnelServerOptions<string>>) {
    this.tunnel = createTunnelServer<string>({
      hubId: "hub",
      authenticate: (bearer: string | undefined, _request: IncomingMessage) => {
        this.bearers.push(bearer);
        if (bearer === undefined) throw new TunnelRefusal({ status: 401, code: "no-key", message: "no key" });
        return bearer;
      },
      register: () => {},
      onSession: ({ registration }) => this.registered.push(registration.details),
      onUpdate: (_session, details) => this.updates.push(details),
      onClose: (session, reason) => {
        this.closed.push({ session, reason });
        this.#onClosed?.();
      },
      log: { debug: () => {}, info: () => {}, warn: (fields) => this.warnings.push(fields), error: () => {} },
      ...options,
    });
    this.http.on("upgrade", (request, socket, head) => this.tunnel.handleUpgrade(request, socket, head));
  }

  static async start(options: Partial<TunnelServerOptions<string>> = {}): Promise<Hub> {
    const hub = new Hub(options);
    await listen(hub.http);
    return hub;
  }

  get url(): string {
    return `http://127.0.0.1:${portOf(this.http)}/api/tokilake/connect`;
  }

  get session(): TunnelSession<string> {
    return [...this.tunnel.sessions].at(-1) ?? assert.fail("no session");
  }

  worker(options: Partial<GoLikeWorkerOptions> = {}): Promise<GoLikeWorker> {
    return GoLikeWorker.connect({ url: this.url, token: "wk-1", ...options });
  }

  ask(body = "{}", opening: Partial<StreamOpening> = {}): TunnelStream {
    const stream = this.session.open({ ...OPENING, ...opening });
    stream.write(Buffer.from(body));
    stream.end();
    return stream;
  }

  async untilClosed(count: number): Promise<void> {
    while (this.closed.length < count) await new Promise<void>((resolve) => (this.#onClosed = resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.tunnel.close();
    this.http.closeAllConnections();
    this.http.close();
    await once(this.http, "close");
  }
}

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

function chunkOf(text: string): object {
  return { body_chunk: Buffer.from(text).toString("base64") };
}

/** Repeats the request's body as its answer, in two chunks. */
function echo(request: GoRequest): Promise<void> {
  request.track();
  request.send(SSE);
  request.send(chunkOf(`${String(request.line["path"])} `));
  request.send({ body_chunk: request.body.toString("base64") });
  request.send({ eof: true });
  return Promise.resolve();
}

async function upgradeStatus(url: string, protocols: string[]): Promise<string> {
  const socket = new WebSocket(url.replace(/^http/, "ws"), protocols, { headers: { Authorization: "Bearer wk-1" } });
  socket.on("error", () => {});
  const opened = once(socket, "open").then(() => `open ${socket.protocol}`);
  const refused = once(socket, "unexpected-response").then(([, response]) => {
    const { statusCode } = response as IncomingMessage;
    return `status ${statusCode}`;
  });
  const status = await Promise.race([opened, refused]);
  socket.terminate();
  return status;
}

test("an original worker serves a streamed request, and nobody above sees a difference but the version", async () => {
  await using hub = await Hub.start();
  using worker = await hub.worker({ serve: echo });

  const { session } = hub;
  assert.equal(session.version, 1);
  session.notify({ n: 1 });
  assert.equal(session.registration.workerId, "go-worker");
  assert.deepEqual((hub.registered[0] as { models: unknown }).models, [{ id: "m", target: "v1" }]);
  const stream = hub.ask('{"é":"<&>"}');
  assert.deepEqual(await stream.head, { status: 200, headers: [["content-type", "text/event-stream"]] });
  assert.equal(await textOf(stream.body), '/v1/chat/completions {"é":"<&>"}');
  await textOf(hub.ask().body);
  assert.equal(worker.control.id, 3);
  assert.deepEqual(worker.smux.opened, [2, 4]);
  assert.equal(hub.updates.length, 0);
  // The two it asked for: version 1 has no word for a notice.
  assert.deepEqual(
    worker.heard.map(({ type }) => type),
    ["ack", "ack"],
  );
});

test("bodies of many frames survive the original's fragments in both directions", async () => {
  await using hub = await Hub.start();
  using _worker = await hub.worker({
    serve: (request) => {
      request.send(SSE);
      for (let at = 0; at < request.body.length; at += 32_768) {
        request.send({ body_chunk: request.body.subarray(at, at + 32_768).toString("base64") });
      }
      request.send({ eof: true });
      return Promise.resolve();
    },
  });
  const body = "0123456789abcdef".repeat(200_000);

  const answer = await textOf(hub.ask(body).body);

  assert.ok(answer === body, "the answer differs");
});

test("the hub takes version 2 before 1, and refuses those that offer neither", async () => {
  await using hub = await Hub.start();
  await using lenient = await Hub.start({ allowNoSubprotocol: true });

  assert.equal(await upgradeStatus(hub.url, ["tokilake.v1", "tokilake.v2"]), "open tokilake.v2");
  assert.equal(await upgradeStatus(hub.url, ["tokilake.v1"]), "open tokilake.v1");
  assert.equal(await upgradeStatus(hub.url, []), "status 400");
  assert.equal(await upgradeStatus(hub.url, ["other"]), "status 400");
  assert.equal(await upgradeStatus(lenient.url, []), "open ");
  assert.equal(await upgradeStatus(lenient.url, ["other"]), "status 400");
});

test("a worker that offers nothing is served as version 1 where that is allowed", async () => {
  await using hub = await Hub.start({ allowNoSubprotocol: true });
  using _worker = await hub.worker({ protocols: [], serve: echo });

  assert.equal(await textOf(hub.ask("x").body), "/v1/chat/completions x");
});

test("a key of version 1 may come bare, or in the URL with a warning that does not hold it", async () => {
  await using hub = await Hub.start();
  for (const headers of [{ Authorization: "wk-a" }, { Authorization: "bearer  wk-b" }]) {
    using _worker = await hub.worker({ headers, namespace: headers.Authorization });
  }
  assert.equal(hub.warnings.length, 0);
  for (const query of ["access_token=wk-c&token=wk-x", "token=wk-d"]) {
    using _worker = await hub.worker({ headers: {}, url: `${hub.url}?${query}`, namespace: query });
  }
  assert.deepEqual(hub.bearers, ["wk-a", "wk-b", "wk-c", "wk-d"]);
  assert.equal(hub.warnings.length, 2);
  assert.doesNotMatch(JSON.stringify(hub.warnings), /wk-/);
  await assert.rejects(hub.worker({ headers: {} }), /401/);
});

test("a cancellation that the worker missed is repeated until its engine stops", { timeout: 10_000 }, async () => {
  await using hub = await Hub.start();
  const arrived = Promise.withResolvers<GoRequest>();
  const stopped = Promise.withResolvers<void>();
  using worker = await hub.worker({
    serve: async (request) => {
      arrived.resolve(request);
      // The race of the original: the request cannot be cancelled until the engine is called.
      await worker.until(({ type }) => type === "cancel_request");
      const signal = request.track();
      request.send(SSE);
      await once(signal, "abort");
      stopped.resolve();
    },
  });
  const stream = hub.ask();
  await arrived.promise;
  stream.reset("cancelled");

  await stopped.promise;
  const cancels = worker.heard.filter(({ type }) => type === "cancel_request");
  assert.equal(cancels.length, 2);
});

test("a client that reads nothing loses its own answer, its neighbour and the heartbeats go on", async () => {
  await using hub = await Hub.start();
  using worker = await hub.worker({
    serve: async (request) => {
      const signal = request.track();
      request.send(SSE);
      if (request.body.toString() === "quick") request.send({ ...chunkOf("done"), eof: true });
      else {
        for (let count = 0; count < 400; count++) request.send({ body_chunk: Buffer.alloc(32_768).toString("base64") });
        if (!signal.aborted) await once(signal, "abort");
      }
    },
  });
  const slow = hub.ask("slow");
  await slow.head;
  await once(slow.signal, "abort");

  assert.equal(await textOf(hub.ask("quick", { requestId: "r2" }).body), "done");
  await assert.rejects(textOf(slow.body), { code: "slow-consumer" });
  worker.heartbeat();
  await worker.heardAbout("hb");
  assert.equal(hub.session.isAccepting, true);
});

test("a worker that comes back while its old connection hangs gets in at once", async () => {
  await using hub = await Hub.start();
  using first = await hub.worker();
  const { session: old } = hub;
  first.smux.socket.pause();
  using _second = await hub.worker({ serve: echo });

  assert.notEqual(hub.session, old);
  await hub.untilClosed(1);
  assert.equal(hub.closed[0]?.session, old);
  assert.equal(hub.closed[0]?.reason.code, "superseded");
  assert.equal(await textOf(hub.ask("x").body), "/v1/chat/completions x");
});

test("a namespace of somebody else is refused with a text, and its owner's session stays", async () => {
  await using hub = await Hub.start({
    register: (identity) => {
      if (identity === "wk-1") return;
      throw new TunnelRefusal({ status: 409, code: "name-taken", message: "taken by another key" });
    },
  });
  using _owner = await hub.worker({ serve: echo });

  await assert.rejects(hub.worker({ token: "wk-2" }), /register_failed.*taken by another key/);
  assert.equal(await textOf(hub.ask("x").body), "/v1/chat/completions x");
});

test("a hub that drains lets an answer of version 1 finish, then closes", async () => {
  await using hub = await Hub.start();
  const go = Promise.withResolvers<void>();
  using worker = await hub.worker({
    serve: async (request) => {
      request.send(SSE);
      await go.promise;
      request.send({ ...chunkOf("done"), eof: true });
    },
  });
  const stream = hub.ask();
  await stream.head;
  const closed = once(worker.smux.socket, "close");
  const drained = hub.tunnel.drain({ graceMs: 10_000 });
  assert.equal(hub.session.isAccepting, false);
  go.resolve();

  assert.equal(await textOf(stream.body), "done");
  await drained;
  const [code] = (await closed) as [number];
  assert.equal(code, 1001);
});

test("a lost worker of version 1 ends its streams", async () => {
  await using hub = await Hub.start();
  const worker = await hub.worker({ serve: () => new Promise<void>(() => {}) });
  const stream = hub.ask();
  await hub.worker({ namespace: "other" });
  worker[Symbol.dispose]();

  await assert.rejects(stream.head, { code: "worker-lost" });
});

/** An original hub, and our worker under it. */
class Worker implements AsyncDisposable {
  readonly http = createServer();
  readonly hub = new GoLikeHub(this.http);
  readonly states: LinkState[] = [];
  client: TunnelClient | undefined;
  #onState: (() => void) | undefined;

  static async prepare(): Promise<Worker> {
    const worker = new Worker();
    await listen(worker.http);
    return worker;
  }

  connect(serve: TunnelClientOptions["serve"] = answerOk, options: Partial<TunnelClientOptions> = {}): TunnelClient {
    this.client = connectTunnel({
      url: `http://127.0.0.1:${portOf(this.http)}`,
      token: "wk-1",
      workerId: "pc",
      software: "test/1",
      details: () => ({
        kind: "models",
        targets: [{ name: "e", engine: "vllm" }],
        models: [{ id: "m", target: "e" }],
      }),
      serve,
      onState: (state) => {
        this.states.push(state);
        this.#onState?.();
      },
      ...options,
    });
    return this.client;
  }

  async until(is: LinkState["is"]): Promise<LinkState> {
    for (;;) {
      const found = this.states.find((state) => state.is === is);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => (this.#onState = resolve));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client?.close();
    for (const { smux } of this.hub.sessions) smux.socket.terminate();
    this.http.closeAllConnections();
    this.http.close();
    await once(this.http, "close");
  }
}

async function answerOk(stream: TunnelStream): Promise<void> {
  const body = await textOf(stream.body);
  stream.respond({ status: 200, headers: [["content-type", "text/plain"]] });
  stream.write(Buffer.from(`${stream.opening.model} ${body}`));
  stream.end({ engine: "x" });
}

function requestLine(id: string, body = "hi"): Record<string, unknown> {
  const path = "/v1/chat/completions";
  const base64 = Buffer.from(body).toString("base64");
  return { request_id: id, route_kind: "chat_completions", method: "POST", path, model: "m", body: base64 };
}

test("our worker registers at an original hub and answers it", async () => {
  await using worker = await Worker.prepare();
  worker.connect();
  const session = await worker.hub.registered();
  await worker.until("connected");

  assert.deepEqual(worker.hub.offered, ["tokilake.v2,tokilake.v1"]);
  assert.deepEqual(session.smux.opened, [3]);
  assert.deepEqual(
    session.said.map(({ type }) => type),
    ["register", "models_sync"],
  );
  const stream = session.ask(requestLine("r1"));
  assert.equal(stream.id, 2);
  assert.deepEqual(await stream.readLine(), {
    request_id: "r1",
    status_code: 200,
    headers: { "Content-Type": "text/plain" },
  });
  assert.deepEqual(await stream.readLine(), { request_id: "r1", ...chunkOf("m hi") });
  assert.deepEqual(await stream.readLine(), { request_id: "r1", eof: true });
  assert.equal(await stream.readLine(), undefined);
});

test("a further connection of our worker never falls back to an original hub's version", async () => {
  await using worker = await Worker.prepare();
  worker.connect(answerOk, { slot: 1, instanceId: "i", allowNoSubprotocol: true });
  const state = await worker.until("stopped");

  assert.ok(worker.hub.offered.every((offered) => offered === "tokilake.v2"));
  assert.equal(state.is === "stopped" && state.code, "version");
});

test("our worker stops its engine for a cancel_request, and for a stream that an original hub just closes", async () => {
  await using worker = await Worker.prepare();
  const streams: TunnelStream[] = [];
  worker.connect((stream) => {
    streams.push(stream);
    stream.respond({ status: 200, headers: [] });
  });
  const session = await worker.hub.registered();
  const cancelled = session.ask(requestLine("r1"));
  const closed = session.ask(requestLine("r2"));
  await Promise.all([cancelled.readLine(), closed.readLine()]);

  const cancel = { target_request_id: "r1", reason: "client_disconnected" };
  session.control.writeLine({ type: "cancel_request", request_id: "c1", cancel_request: cancel });
  closed.close();
  const ack = await worker.hub.until(() => session.said.find(({ request_id: id }) => id === "c1"));
  assert.deepEqual(ack, { type: "ack", request_id: "c1", ack: { message: "cancel_ok" } });
  for (const stream of streams) {
    if (!stream.signal.aborted) await once(stream.signal, "abort");
    assert.equal((stream.signal.reason as TunnelError).code, "cancelled");
  }
});

test("an original hub whose bucket is full makes our writer wait, and all goes on when it reads", async () => {
  await using worker = await Worker.prepare();
  let written = 0;
  worker.connect(async (stream) => {
    stream.respond({ status: 200, headers: [] });
    if (stream.opening.requestId === "quick") {
      stream.end();
      return;
    }
    for (; written < 40 * 1024 * 1024; written += 65_536) {
      if (!stream.write(Buffer.alloc(65_536))) await stream.drained();
    }
    stream.end();
  });
  const session = await worker.hub.registered();
  const slow = session.ask(requestLine("slow"));
  const quick = session.ask(requestLine("quick"));
  assert.equal((await quick.readLine())?.["status_code"], 200);
  let bytes = 0;
  for (let line = await slow.readLine(); line !== undefined; line = await slow.readLine()) {
    bytes += bytesOf(line["body_chunk"]).length;
  }
  assert.equal(bytes, 40 * 1024 * 1024);
});

test("a refusal of an original hub is waited out, as an old session of ours may be the reason", async () => {
  await using worker = await Worker.prepare();
  worker.hub.refusal = "namespace already connected";
  worker.connect();

  const waiting = await worker.until("waiting");
  assert.ok(waiting.is === "waiting");
  assert.equal(waiting.code, "refused:register_failed");
  assert.equal(waiting.reason, "namespace already connected");
  worker.hub.refusal = undefined;
  await worker.until("connected");
});

test("a hub that names no subprotocol is spoken to only where that is configured", async () => {
  await using strict = await Worker.prepare();
  strict.hub.namesProtocol = false;
  strict.connect();
  const stopped = await strict.until("stopped");
  assert.ok(stopped.is === "stopped");
  assert.equal(stopped.code, "version");

  await using lenient = await Worker.prepare();
  lenient.hub.namesProtocol = false;
  lenient.connect(answerOk, { allowNoSubprotocol: true });
  await lenient.until("connected");
  assert.deepEqual(lenient.hub.offered, ["tokilake.v2,tokilake.v1", undefined]);
});

test("our worker drains under an original hub: what runs ends in full, what comes is refused", async () => {
  await using worker = await Worker.prepare();
  const running = Promise.withResolvers<TunnelStream>();
  const client = worker.connect((stream) => running.resolve(stream));
  const session = await worker.hub.registered();
  await worker.until("connected");
  const first = session.ask(requestLine("r1"));
  const stream = await running.promise;
  const drained = client.drain({ graceMs: 5000 });
  const second = session.ask(requestLine("r2"));
  const refused = (await second.readLine())?.["error"];
  assert.deepEqual(refused, { code: "local_request_failed", message: "the worker is going away" });

  stream.respond({ status: 200, headers: [] });
  stream.write(Buffer.alloc(1024 * 1024));
  stream.end();
  const lines: unknown[] = [];
  for (let line = await first.readLine(); line !== undefined; line = await first.readLine()) lines.push(line["eof"]);
  assert.equal(lines.length, 34);
  assert.equal(lines.at(-1), true);
  await drained;
  assert.equal(client.state.is, "stopped");
});
