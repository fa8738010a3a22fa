import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { TUNNEL_LIMITS, type TunnelLimits } from "../limits.ts";
import { MemoryPool } from "../mux/memory-pool.ts";
import { TunnelError } from "../tunnel-error.ts";
import type { TunnelStream } from "../tunnel-stream.ts";
import type { V1Error } from "./control-message.ts";
import { SMUX, smuxHeader } from "./smux-frame.ts";
import { fin, line, syn, V1TestWorld } from "./v1-test-world.ts";
import { V1WorkerSession } from "./worker-session.ts";

const CONTROL = 3;
const ANNOUNCEMENT = {
  kind: "models",
  nodeName: "gaming",
  groups: ["friends", "family"],
  targets: [
    { name: "a", engine: "vllm", routes: [] },
    { name: "b", engine: "ollama", routes: [] },
  ],
  models: [
    { id: "m", target: "a" },
    { id: "n", target: "b" },
  ],
  hardware: { os: "win32", arch: "x64", cpuCount: 8, memoryBytes: 1, gpus: [{ name: "g", memoryBytes: 1 }] },
};
const HARDWARE = '"hardware_info":{"goos":"windows","goarch":"amd64","num_cpu":8}';
const MODELS = `"group":"friends,family","models":["m","n"],${HARDWARE},"backend_type":"mixed"`;
const REQUEST = {
  request_id: "pc:relay:1",
  route_kind: "chat_completions",
  method: "POST",
  path: "/v1/chat/completions",
  model: "m",
  headers: { "Content-Type": "application/json" },
  body: Buffer.from('{"model":"m"}').toString("base64"),
};

/** A session whose hub is played by the test. */
class Worker {
  readonly world = new V1TestWorld();
  readonly streams: TunnelStream[] = [];
  readonly refused: V1Error[] = [];
  readonly ended: TunnelError[] = [];
  registeredCount = 0;
  idleCount = 0;
  readonly session: V1WorkerSession;

  constructor(limits: Partial<TunnelLimits> = {}) {
    this.session = new V1WorkerSession({
      namespace: "pc",
      limits: { ...TUNNEL_LIMITS, ...limits },
      pool: new MemoryPool(1e9),
      environment: this.world,
      carrier: this.world,
      events: {
        onRegistered: () => (this.registeredCount += 1),
        onStream: (stream) => this.streams.push(stream),
        onRefused: (error) => this.refused.push(error),
        onIdle: () => (this.idleCount += 1),
        onEnd: (error) => this.ended.push(error),
      },
    });
    this.session.start(ANNOUNCEMENT);
  }

  static registered(limits: Partial<TunnelLimits> = {}): Worker {
    const worker = new Worker(limits);
    worker.receive(ack("pc:register:1", "register_ok"), ack("pc:models:2", "models_sync_ok"));
    worker.said();
    return worker;
  }

  receive(...messages: Buffer[]): void {
    for (const message of messages) this.session.receive(message);
  }

  /** The hub opens a stream, and the worker has it. */
  asked(id = 2, request: object = REQUEST): TunnelStream {
    this.receive(syn(id), line(id, request));
    return this.streams.at(-1) ?? assert.fail("no stream");
  }

  said(): string[] {
    return this.world.transcript();
  }
}

function ack(requestId: string, message: string): Buffer {
  return line(CONTROL, { type: "ack", request_id: requestId, ack: { message } });
}

function cancel(requestId: string, targetRequestId: string): Buffer {
  const payload = { target_request_id: targetRequestId, reason: "client_disconnected" };
  return line(CONTROL, { type: "cancel_request", request_id: requestId, cancel_request: payload });
}

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

test("a worker opens stream 3, registers, syncs its models and is registered, in the original's order", () => {
  const worker = new Worker();
  worker.world.run();
  assert.equal(worker.world.sent[0]?.subarray(0, 8).toString("hex"), "0100000003000000");
  assert.deepEqual(worker.said(), [
    "3 SYN",
    `3 {"type":"register","request_id":"pc:register:1","register":{"namespace":"pc","node_name":"gaming",${MODELS}}}`,
  ]);

  worker.receive(ack("another", "register_ok"));
  assert.deepEqual(worker.said(), []);
  worker.receive(ack("pc:register:1", "register_ok"));
  assert.deepEqual(worker.said(), [`3 {"type":"models_sync","request_id":"pc:models:2","models_sync":{${MODELS}}}`]);
  assert.equal(worker.registeredCount, 0);
  worker.receive(ack("pc:models:2", "models_sync_ok"));
  assert.equal(worker.registeredCount, 1);
  assert.equal(worker.session.isRegistered, true);
});

test("one kind of engine is its own backend type", () => {
  const worker = Worker.registered();
  worker.session.update({ kind: "models", targets: [{ engine: "vllm" }], models: [{ id: "m" }] });

  assert.match(worker.said()[0] ?? "", /"models_sync":\{"models":\["m"\],.*"backend_type":"vllm"\}/);
});

test("load is not told to a hub that has no message for it", () => {
  const worker = Worker.registered();
  worker.session.update({ kind: "load", targets: [] });

  assert.deepEqual(worker.said(), []);
});

test("a heartbeat goes out every 15 s with what the worker serves now", () => {
  const worker = Worker.registered();
  worker.world.pass(14_999);
  worker.session.tick();
  assert.deepEqual(worker.said(), []);
  worker.world.pass(1);
  worker.session.tick();
  const heartbeat = `"heartbeat":{"node_name":"gaming",${HARDWARE},"current_models":["m","n"]}`;
  assert.deepEqual(worker.said(), [`3 {"type":"heartbeat","request_id":"pc:heartbeat:3",${heartbeat}}`]);
  worker.receive(ack("pc:heartbeat:3", "heartbeat_ok"));
  assert.equal(worker.world.closed, undefined);
});

test("a hub that answers nothing is dropped: 15 s for an acknowledgement, 34 s later on", () => {
  const mute = new Worker();
  mute.world.pass(15_000);
  mute.session.tick();
  assert.equal(mute.world.closed, undefined);
  mute.world.pass(1);
  mute.session.tick();
  assert.deepEqual(mute.world.closed, { how: "finished", code: "protocol" });

  const dead = Worker.registered();
  for (const ms of [20_000, 14_000]) {
    dead.world.pass(ms);
    dead.session.tick();
  }
  assert.equal(dead.world.closed, undefined);
  dead.world.pass(1);
  dead.session.tick();
  assert.deepEqual(dead.world.closed, { how: "destroyed" });
});

test("an error of the hub is told, and the session ends", () => {
  const worker = new Worker();
  const error = { code: "register_failed", message: "namespace already connected" };
  worker.receive(line(CONTROL, { type: "error", request_id: "pc:register:1", error }));

  assert.deepEqual(worker.refused, [error]);
  assert.equal(worker.ended[0]?.code, "refused");
});

test("a request is a stream whose body is all there and whose target is left open", async () => {
  const worker = Worker.registered();
  const stream = worker.asked(2, { ...REQUEST, path: "/v1/videos/v_1?a=b?c", method: "get", Extra: 1 });

  assert.deepEqual(stream.opening, {
    requestId: "pc:relay:1",
    target: "",
    method: "GET",
    path: "/v1/videos/v_1",
    query: "a=b?c",
    headers: [["content-type", "application/json"]],
    bodyLength: 13,
    model: "m",
    priority: "interactive",
  });
  assert.equal(await textOf(stream.body), '{"model":"m"}');
});

test("an answer is a head, chunks of at most 32 KiB, eof and FIN", () => {
  const worker = Worker.registered();
  const stream = worker.asked();
  stream.respond({
    status: 200,
    headers: [
      ["content-type", "text/plain"],
      ["x-a", "1"],
      ["x-a", "2"],
      ["set-cookie", "c"],
      ["connection", "close"],
    ],
  });
  stream.write(Buffer.from("hi"));
  stream.write(Buffer.alloc(32_769, "x"));
  stream.end({ engine: "left out" });

  const [head, hi, full, rest, ...end] = worker.said();
  assert.equal(
    head,
    '2 {"request_id":"pc:relay:1","status_code":200,"headers":{"Content-Type":"text/plain","X-A":"1, 2"}}',
  );
  assert.equal(hi, '2 {"request_id":"pc:relay:1","body_chunk":"aGk="}');
  assert.equal(full?.length, '2 {"request_id":"pc:relay:1","body_chunk":""}'.length + 43_692);
  assert.equal(rest, '2 {"request_id":"pc:relay:1","body_chunk":"eA=="}');
  assert.deepEqual(end, ['2 {"request_id":"pc:relay:1","eof":true}', "2 FIN"]);
  assert.equal(worker.session.streamCount, 0);
  assert.equal(worker.idleCount, 1);
});

for (const [code, expected] of [
  ["model-not-found", "target_not_found"],
  ["forbidden", "invalid_target_url"],
  ["target-unreachable", "local_request_failed"],
  ["refused", "local_request_failed"],
] as const) {
  test(`a reset with ${code} before the head is ${expected}`, () => {
    const worker = Worker.registered();
    worker.asked().reset(code, { message: "why" });

    assert.deepEqual(worker.said(), [
      `2 {"request_id":"pc:relay:1","error":{"code":"${expected}","message":"why"}}`,
      "2 FIN",
    ]);
  });
}

test("a reset after the head breaks the answer, without this program's own words", () => {
  const worker = Worker.registered();
  const stream = worker.asked();
  stream.respond({ status: 200, headers: [] });
  stream.reset("internal", { message: "TypeError at http://10.0.0.1" });

  assert.deepEqual(worker.said().slice(1), [
    '2 {"request_id":"pc:relay:1","error":{"code":"read_local_response_failed","message":"internal"}}',
    "2 FIN",
  ]);
  assert.equal(stream.signal.aborted, true);
});

test("a cancel_request ends the stream and is answered cancel_ok, an unknown one cancel_noop", async () => {
  const worker = Worker.registered();
  const stream = worker.asked();
  stream.respond({ status: 200, headers: [] });
  worker.said();
  worker.receive(cancel("c1", "pc:relay:1"), cancel("c2", "pc:relay:1"), cancel("c3", "never"));

  assert.deepEqual(worker.said(), [
    '3 {"type":"ack","request_id":"c1","ack":{"message":"cancel_ok"}}',
    '3 {"type":"ack","request_id":"c2","ack":{"message":"cancel_ok"}}',
    '3 {"type":"ack","request_id":"c3","ack":{"message":"cancel_noop"}}',
    "2 FIN",
  ]);
  assert.equal((stream.signal.reason as TunnelError).code, "cancelled");
  assert.equal(stream.write(Buffer.from("x")), false);
  await assert.rejects(stream.drained(), { code: "cancelled" });
  worker.receive(cancel("c4", "pc:relay:1"));
  assert.match(worker.said()[0] ?? "", /cancel_noop/);
});

test("the hub's FIN before our eof cancels, also in the middle of the request", () => {
  const worker = Worker.registered();
  const stream = worker.asked();
  worker.receive(fin(2), syn(4), Buffer.concat([smuxHeader(SMUX.push, 4, 3), Buffer.from("{..")]), fin(4));

  assert.equal((stream.signal.reason as TunnelError).code, "cancelled");
  assert.deepEqual(worker.said(), ["2 FIN", "4 FIN"]);
  assert.equal(worker.streams.length, 1);
});

test("the hub's FIN after our eof is just the end", () => {
  const worker = Worker.registered();
  const stream = worker.asked();
  stream.respond({ status: 204, headers: [] });
  stream.end();
  worker.said();
  worker.receive(fin(2));

  assert.equal(stream.signal.aborted, false);
  assert.deepEqual(worker.said(), []);
});

test("what the hub gives up while it waits in our socket is not sent any more", () => {
  const worker = Worker.registered();
  const stream = worker.asked();
  worker.world.isTaking = false;
  stream.respond({ status: 200, headers: [] });
  stream.write(Buffer.alloc(1024 * 1024));
  stream.end();
  worker.world.run();
  worker.receive(fin(2));
  const before = worker.session.streamCount;
  worker.world.takeAll();

  assert.equal(before, 1);
  assert.ok(!worker.said().includes('2 {"request_id":"pc:relay:1","eof":true}'));
  assert.equal(worker.session.streamCount, 0);
});

test("an answer that is reset behind its end is not made complete by what still waited", () => {
  const worker = Worker.registered();
  const stream = worker.asked();
  worker.world.isTaking = false;
  stream.respond({ status: 200, headers: [] });
  stream.write(Buffer.alloc(1024 * 1024));
  stream.end();
  worker.world.run();
  stream.reset("shutdown");
  worker.world.takeAll();

  const said = worker.said();
  assert.ok(!said.includes('2 {"request_id":"pc:relay:1","eof":true}'));
  assert.equal(said.at(-1), "2 FIN");
});

test("two answers share the line, and a writer waits for room", async () => {
  const worker = Worker.registered();
  const [first, second] = [worker.asked(2), worker.asked(4, { ...REQUEST, request_id: "r2" })];
  worker.world.isTaking = false;
  for (const stream of [first, second]) {
    stream.respond({ status: 200, headers: [] });
    assert.equal(stream.write(Buffer.alloc(512 * 1024)), false);
  }
  worker.world.run();
  let isDrained = false;
  const drained = second.drained().then(() => (isDrained = true));
  await Promise.resolve();
  assert.equal(isDrained, false);
  const sent = Buffer.concat(worker.world.sent);
  for (const id of [2, 4]) assert.ok(sent.includes(smuxHeader(SMUX.push, id, 32_768)), `${id}`);
  worker.world.takeAll();
  worker.said();
  await drained;
});

test("misuse is told to the program, not to the hub", () => {
  const worker = Worker.registered();
  const stream = worker.asked();
  assert.throws(() => stream.write(Buffer.from("x")), { code: "internal" });
  assert.throws(() => stream.end(), { code: "internal" });
  assert.throws(() => stream.respond({ status: 100, headers: [] }), { code: "internal" });
  stream.respond({ status: 200, headers: [] });
  assert.throws(() => stream.respond({ status: 200, headers: [] }), { code: "internal" });
});

test("a request above its limit, and one that is no JSON, is closed without a word", () => {
  const worker = Worker.registered({ v1RequestBodyBytes: 9 });
  worker.receive(syn(2), line(2, "nonsense"), syn(4));
  const piece = Buffer.concat([smuxHeader(SMUX.push, 4, 65_535), Buffer.alloc(65_535, "x")]);
  for (let count = 0; count < 5; count++) worker.receive(piece);

  assert.deepEqual(worker.said(), ["2 FIN", "4 FIN"]);
  assert.equal(worker.streams.length, 0);
});

test("half requests are bounded in sum", () => {
  const worker = Worker.registered({ v1RequestStoreBytes: 1024 * 1024 });
  worker.receive(syn(2), syn(4));
  const part = (id: number) => Buffer.concat([smuxHeader(SMUX.push, id, 65_535), Buffer.alloc(65_535, "x")]);
  for (let count = 0; count < 20; count++) worker.receive(part(2), part(4));

  assert.ok(worker.said().some((text) => text.endsWith("FIN")));
});

test("the end of the session ends every stream", async () => {
  const worker = Worker.registered();
  const stream = worker.asked();
  worker.receive(Buffer.from("0104000000000000", "hex"));

  assert.equal(worker.ended[0]?.code, "protocol");
  await assert.rejects(stream.drained(), TunnelError);
});

test("whatever a hub sends, a session lives on or ends once with a clean error", () => {
  const json = fc.jsonValue();
  const types = fc.constantFrom("ack", "error", "cancel_request", "register");
  const control = fc.record({ type: types, request_id: json, ack: json, error: json, cancel_request: json });
  const request = fc.record({ request_id: json, method: json, path: json, model: json, headers: json, body: json });
  const frame = fc.oneof(
    fc.constantFrom(syn(2), syn(3), syn(4), fin(2), fin(3), line(2, REQUEST), cancel("c", "pc:relay:1")),
    fc.json().map((text) => line(2, text)),
    control.map((value) => line(3, value)),
    request.map((value) => line(2, value)),
    fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
  );
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 30 }), fc.integer({ min: 1, max: 100 }), (frames, size) => {
      const worker = Worker.registered();
      const bytes = Buffer.concat(frames);
      for (let at = 0; at < bytes.length; at += size) worker.receive(bytes.subarray(at, at + size));
      worker.world.run();
      assert.ok(worker.ended.length <= 1);
      for (const error of worker.ended) assert.notEqual(error.code, "internal", error.message);
    }),
  );
});
