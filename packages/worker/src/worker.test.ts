import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";

import {
  createTunnelServer,
  type LinkState,
  type StreamOpening,
  type TunnelLog,
  TunnelRefusal,
  type TunnelSession,
  type TunnelStream,
} from "@tokilake/tunnel";

import { type Config, readConfig } from "./config.ts";
import type { Served } from "./report/served.ts";
import { bodyOf, startTestEngine, type TestEngine } from "./serving/test-engine.ts";
import type { TargetSource } from "./targets/target-source.ts";
import { startWorker, type Worker } from "./worker.ts";

const ignore = (): void => undefined;
const log: TunnelLog = { debug: ignore, info: ignore, warn: ignore, error: ignore };
const HARDWARE = { os: "linux", arch: "x64", cpuCount: 8, memoryBytes: 1 };
const CHAT = '{"model":"m","messages":[]}';

interface TestHub extends AsyncDisposable {
  readonly url: string;
  readonly updates: unknown[];
  /** What workers registered with, as JSON. */
  readonly registered: readonly string[];
  /** Settles with the next session. */
  session(): Promise<TunnelSession<string>>;
  /** Settles when an update came. */
  updated(): Promise<void>;
}

async function startTestHub(): Promise<TestHub> {
  const updates: unknown[] = [];
  const registered: string[] = [];
  const sessions: TunnelSession<string>[] = [];
  const waiting = new Set<() => void>();
  const wake = (): void => {
    for (const resolve of waiting) resolve();
    waiting.clear();
  };
  const tunnel = createTunnelServer<string>({
    hubId: "hub",
    authenticate: (bearer) => {
      if (bearer === "wk-good") return "owner";
      throw new TunnelRefusal({ status: 401, code: "invalid_key", message: "unknown worker key" });
    },
    register: (_owner, { workerId, details }) => {
      registered.push(JSON.stringify(details));
      if (workerId !== "taken") return;
      throw new TunnelRefusal({ status: 409, code: "name-taken", message: "used by another key", fatal: true });
    },
    onSession: (session) => {
      sessions.push(session);
      wake();
    },
    onUpdate: (_session, details) => {
      updates.push(details);
      wake();
    },
    onClose: wake,
  });
  const server = createServer().listen(0, "127.0.0.1");
  server.on("upgrade", (request, socket, head) => tunnel.handleUpgrade(request, socket, head));
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" ? address?.port : 0;
  const change = (): Promise<void> => new Promise((resolve) => waiting.add(resolve));
  return {
    url: `ws://127.0.0.1:${port}`,
    updates,
    registered,
    async session() {
      for (;;) {
        const session = sessions.shift();
        if (session !== undefined) return session;
        await change();
      }
    },
    updated: change,
    async [Symbol.asyncDispose]() {
      tunnel.close();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function configFor(hub: TestHub, env: NodeJS.ProcessEnv = {}): Config {
  return readConfig({
    env: { TOKIAME_GATEWAY_URL: hub.url, TOKIAME_TOKEN: "wk-good", ...env },
    home: "/nonexistent",
    hostName: "gaming-pc",
    flags: {},
  });
}

interface RunningWorker extends AsyncDisposable {
  readonly worker: Worker;
  readonly states: LinkState[];
  /** What the hub said that it serves, as it came. */
  readonly served: readonly (Served | undefined)[];
  /** Settles when it says something else. */
  servedNext(): Promise<void>;
}

function workerOn(engine: TestEngine, config: Config): RunningWorker {
  const source: TargetSource = {
    targets: new Map([["t", engine.target]]),
    refresh: () => Promise.resolve(),
    refreshLoad: () => Promise.resolve(),
    notes: [],
    close: () => engine.target.close(),
  };
  const states: LinkState[] = [];
  const served: (Served | undefined)[] = [];
  const waiting: (() => void)[] = [];
  const worker = startWorker(config, {
    source,
    hardware: HARDWARE,
    software: "tokiame/test",
    log,
    now: () => performance.now(),
    onState: (state) => states.push(state),
    onChange: ignore,
    onServed: (now) => {
      served.push(now);
      waiting.shift()?.();
    },
  });
  return {
    worker,
    states,
    served,
    servedNext: () => new Promise((resolve) => waiting.push(resolve)),
    [Symbol.asyncDispose]: () => worker.close(),
  };
}

function open(session: TunnelSession<string>, opening: Partial<StreamOpening> = {}): TunnelStream {
  const stream = session.open({
    requestId: "r1",
    target: "t",
    method: "POST",
    path: "/v1/chat/completions",
    query: "",
    headers: [["content-type", "application/json"]],
    bodyLength: CHAT.length,
    model: "m",
    priority: "interactive",
    ...opening,
  });
  stream.write(Buffer.from(CHAT));
  stream.end();
  return stream;
}

test("a chat is streamed through the tunnel piece by piece, with the worker's times at its end", async () => {
  await using hub = await startTestHub();
  await using engine = await startTestEngine();
  await using _running = workerOn(engine, configFor(hub));
  const session = await hub.session();
  const stream = open(session);
  const { request, response } = await engine.asked();

  assert.equal(await bodyOf(request), CHAT);
  response.writeHead(200, { "content-type": "text/event-stream" });
  const pieces = stream.body[Symbol.asyncIterator]();
  for (const piece of ["data: 1\n\n", "data: 2\n\n", "data: [DONE]\n\n"]) {
    response.write(piece);
    const step = await pieces.next();
    assert.equal(Buffer.from(step.value ?? "").toString(), piece);
  }
  response.end();

  assert.equal((await stream.head).status, 200);
  assert.equal((await pieces.next()).done, true);
  assert.equal(stream.trailers?.["engine"], "openai");
  assert.deepEqual(session.registration.workerId, "gaming-pc");
});

test("a request that names no target, as those of original hubs, goes to the target that has its model", async () => {
  await using hub = await startTestHub();
  await using engine = await startTestEngine();
  await using _running = workerOn(engine, configFor(hub));
  const session = await hub.session();
  const stream = open(session, { target: "" });
  const { response } = await engine.asked();
  response.end("{}");

  assert.equal((await stream.head).status, 200);
  await assert.rejects(open(session, { target: "", model: "other" }).head, { code: "model-not-found" });
});

test("a request that the hub gives up closes the engine's socket", async () => {
  await using hub = await startTestHub();
  await using engine = await startTestEngine();
  await using _running = workerOn(engine, configFor(hub));
  const stream = open(await hub.session());
  const { request, response } = await engine.asked();
  response.write("data: 1\n\n");
  await stream.head;
  const closed = once(request.socket, "close");

  stream.reset("cancelled");

  await closed;
});

test("a lost hub closes the engine's socket, and the worker dials again", async () => {
  await using hub = await startTestHub();
  await using engine = await startTestEngine();
  await using _running = workerOn(engine, configFor(hub));
  const session = await hub.session();
  const stream = open(session);
  const { request } = await engine.asked();
  const closed = once(request.socket, "close");

  session.close("internal");

  await Promise.all([closed, assert.rejects(stream.head)]);
  assert.equal((await hub.session()).registration.workerId, "gaming-pc");
});

test("an engine that dies in the middle is an error at the hub, not an end", async () => {
  await using hub = await startTestHub();
  await using engine = await startTestEngine();
  await using _running = workerOn(engine, configFor(hub));
  const stream = open(await hub.session());
  const { response } = await engine.asked();
  response.write("data: 1\n\n");
  await stream.head;
  response.destroy();

  await assert.rejects(
    async () => {
      for await (const _piece of stream.body);
    },
    { name: "TunnelError", code: "target-reset" },
  );
});

test("what the owner does not allow and what has no slot is refused, the latter to be tried elsewhere", async () => {
  await using hub = await startTestHub();
  await using engine = await startTestEngine({ maxConcurrent: 1 });
  await using _running = workerOn(engine, configFor(hub));
  const session = await hub.session();
  const forbidden = open(session, { path: "/api/delete" });
  open(session);
  const { response } = await engine.asked();
  const overSlots = open(session);

  await assert.rejects(forbidden.head, { code: "forbidden", retrySafe: false });
  await assert.rejects(overSlots.head, { code: "refused", retrySafe: true });
  response.end();
});

test("a draining worker finishes its stream and takes no other", async () => {
  await using hub = await startTestHub();
  await using engine = await startTestEngine();
  const { worker, states } = workerOn(engine, configFor(hub));
  const session = await hub.session();
  const stream = open(session);
  const { response } = await engine.asked();
  response.write("data: 1\n\n");
  await stream.head;
  const drained = worker.drain(5_000);
  response.end("data: 2\n\n");
  const pieces: Uint8Array[] = [];
  for await (const piece of stream.body) pieces.push(piece);
  await drained;

  assert.equal(Buffer.concat(pieces).toString(), "data: 1\n\ndata: 2\n\n");
  assert.throws(() => open(session), { name: "TunnelError" });
  assert.equal(states.at(-1)?.is, "stopped");
});

test("a worker has two connections to the hub, both to the same engines and their slots", async () => {
  await using hub = await startTestHub();
  await using engine = await startTestEngine();
  await using running = workerOn(engine, configFor(hub));
  const sessions = [await hub.session(), await hub.session()];
  const streams = sessions.map((session) => open(session));
  const asked = [await engine.asked(), await engine.asked()];
  const whileBoth = engine.target.running;
  for (const { response } of asked) response.end("{}");
  for (const stream of streams) assert.equal((await stream.head).status, 200);

  assert.deepEqual(
    sessions.map((session) => session.registration.slot),
    [0, 1],
  );
  assert.equal(sessions[0]?.registration.instanceId, sessions[1]?.registration.instanceId);
  assert.ok(sessions.every((session) => session.isAccepting));
  assert.equal(whileBoth, 2);
  assert.deepEqual(running.worker.connections, { open: 2, wanted: 2, isSettling: false });
});

test("a lost connection is dialed again, the other one serves meanwhile", async () => {
  await using hub = await startTestHub();
  await using engine = await startTestEngine();
  await using running = workerOn(engine, configFor(hub));
  const [first, second] = [await hub.session(), await hub.session()];
  const stream = open(second);
  const { response } = await engine.asked();

  first.close("internal");
  const again = await hub.session();
  response.end("{}");

  assert.equal((await stream.head).status, 200);
  assert.deepEqual([again.registration.slot, again.registration.instanceId], [0, first.registration.instanceId]);
  assert.ok(running.states.every((state) => state.is !== "waiting"));
});

test("what changed while a connection registered follows on it", async () => {
  await using hub = await startTestHub();
  await using engine = await startTestEngine();
  await using running = workerOn(engine, configFor(hub, { TOKIAME_CONNECTIONS: "1" }));
  // The hub knows of the session before its answer is at the worker.
  await hub.session();
  engine.target.setModels([{ id: "n", upstream: "n" }]);
  await running.worker.refresh();
  while (hub.updates.length === 0) await hub.updated();

  assert.match(JSON.stringify(hub.updates[0]), /"models":\[\{"id":"n","target":"t"\}\]/);
});

test("what the hub says that it serves is told once, is unknown while the link is down, and nonsense is passed over", async () => {
  await using hub = await startTestHub();
  await using engine = await startTestEngine();
  await using running = workerOn(engine, configFor(hub, { TOKIAME_CONNECTIONS: "1" }));
  const session = await hub.session();
  const told = { groups: [{ group: "friends", served: 1, refused: [] }] };
  while (running.worker.state.is !== "connected") await setImmediate();

  const first = running.servedNext();
  session.notify({ kind: "served", ...told, later: 1 });
  await first;
  const second = running.servedNext();
  for (const details of [{ kind: "weather" }, { kind: "served", groups: "none" }, null, { kind: "served", ...told }]) {
    session.notify(details);
    // Of those that wait only the last is sent.
    await setImmediate();
  }
  session.close("internal");
  await second;
  const third = running.servedNext();
  (await hub.session()).notify({ kind: "served", ...told });
  await third;

  assert.deepEqual(running.served, [told, undefined, told]);
});

test("the hub hears of load and of changed models, once each", async () => {
  await using hub = await startTestHub();
  await using engine = await startTestEngine();
  await using running = workerOn(engine, configFor(hub, { TOKIAME_CONNECTIONS: "1" }));
  await hub.session();
  // Before, what is told may come twice: as an update that waited, and because the registration is older.
  while (running.worker.state.is !== "connected") await setImmediate();
  engine.target.setModels([
    { id: "m", upstream: "m" },
    { id: "n", upstream: "/secret/n", contextLength: 4096 },
  ]);
  await running.worker.refresh();
  await running.worker.refresh();
  while (hub.updates.length < 2) await hub.updated();

  assert.equal(hub.registered.length, 1);
  assert.equal(hub.registered[0]?.includes("127.0.0.1"), false);
  assert.deepEqual(
    hub.updates.map((update) => JSON.stringify(update).slice(0, 16)),
    ['{"kind":"models"', '{"kind":"load","'],
  );
  assert.match(
    JSON.stringify(hub.updates[0]),
    /"models":\[\{"id":"m","target":"t"\},\{"id":"n","target":"t","contextLength":4096\}\]/,
  );
});

for (const [env, code] of [
  [{ TOKIAME_TOKEN: "wk-bad" }, "auth"],
  [{ TOKIAME_NAMESPACE: "taken" }, "refused:name-taken"],
] as const) {
  test(`a worker that the hub does not take stops: ${code}`, async () => {
    await using hub = await startTestHub();
    await using engine = await startTestEngine();
    const stopped = Promise.withResolvers<LinkState>();
    const worker = startWorker(configFor(hub, env), {
      source: {
        targets: new Map(),
        refresh: () => Promise.resolve(),
        refreshLoad: () => Promise.resolve(),
        notes: [],
        close: () => engine.target.close(),
      },
      hardware: HARDWARE,
      software: "tokiame/test",
      log,
      now: () => performance.now(),
      onState: (state) => state.is === "stopped" && stopped.resolve(state),
      onChange: ignore,
      onServed: ignore,
    });
    const state = await stopped.promise;

    assert.equal(state.is === "stopped" && state.code, code);
    await worker.close();
  });
}
