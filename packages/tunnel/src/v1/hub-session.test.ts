import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { TUNNEL_LIMITS, type TunnelLimits } from "../limits.ts";
import { MemoryPool } from "../mux/memory-pool.ts";
import { TunnelError } from "../tunnel-error.ts";
import { TunnelRefusal } from "../tunnel-refusal.ts";
import type { StreamOpening, TunnelStream } from "../tunnel-stream.ts";
import { V1HubSession } from "./hub-session.ts";
import { SMUX, smuxHeader } from "./smux-frame.ts";
import { fin, line, syn, V1TestWorld } from "./v1-test-world.ts";

const CONTROL = 3;
const OPENING: StreamOpening = {
  requestId: "r1",
  target: "v1",
  method: "POST",
  path: "/v1/chat/completions",
  query: "",
  headers: [
    ["content-type", "application/json"],
    ["accept", "text/event-stream"],
  ],
  model: "m",
  priority: "interactive",
};
const REGISTER = {
  type: "register",
  request_id: "pc:register:1",
  register: {
    namespace: "pc",
    node_name: "gaming",
    group: "friends, family",
    models: ["m", "m2"],
    hardware_info: { hostname: "secret", goos: "linux", goarch: "amd64", num_cpu: 8, x: { url: "http://10.0.0.1" } },
    backend_type: "vllm",
  },
};
const REQUEST_START =
  '{"request_id":"r1","route_kind":"chat_completions","method":"POST","path":"/v1/chat/completions","model":"m",' +
  '"headers":{"Content-Type":"application/json","Accept":"text/event-stream"},"is_stream":true';
const CHUNK_OF_32_KIB = Buffer.alloc(32 * 1024).toString("base64");

/** A session whose worker is played by the test. */
class Hub {
  readonly world = new V1TestWorld();
  readonly registered: { workerId: string; details: unknown }[] = [];
  readonly updates: unknown[] = [];
  readonly workerErrors: string[] = [];
  readonly ended: TunnelError[] = [];
  idleCount = 0;
  refusal: Error | undefined;
  readonly session: V1HubSession;

  constructor(limits: Partial<TunnelLimits> = {}) {
    this.session = new V1HubSession({
      limits: { ...TUNNEL_LIMITS, ...limits },
      pool: new MemoryPool(1e9),
      environment: this.world,
      carrier: this.world,
      events: {
        onRegister: (workerId, details) => {
          if (this.refusal !== undefined) throw this.refusal;
          this.registered.push({ workerId, details });
          return 7;
        },
        onUpdate: (details) => this.updates.push(details),
        onWorkerError: (code, message) => this.workerErrors.push(`${code}: ${message}`),
        onIdle: () => (this.idleCount += 1),
        onEnd: (error) => this.ended.push(error),
      },
    });
  }

  static registered(limits: Partial<TunnelLimits> = {}): Hub {
    const hub = new Hub(limits);
    hub.receive(syn(CONTROL), line(CONTROL, REGISTER));
    hub.said();
    return hub;
  }

  receive(...messages: Buffer[]): void {
    for (const message of messages) this.session.receive(message);
  }

  /** Opens a stream whose request is sent in full. */
  ask(opening: Partial<StreamOpening> = {}, body = "{}"): TunnelStream {
    const stream = this.session.open({ ...OPENING, ...opening });
    if (body !== "") stream.write(Buffer.from(body));
    stream.end();
    this.world.run();
    return stream;
  }

  said(): string[] {
    return this.world.transcript();
  }
}

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

function errorLine(requestId: string, code: string, message = code.replaceAll("_", " ")): string {
  return `3 ${JSON.stringify({ type: "error", request_id: requestId, error: { code, message } })}`;
}

function cancelLine(requestId: string, streamId: number): string {
  const cancel = { target_request_id: requestId, reason: "client_disconnected" };
  return `3 ${JSON.stringify({ type: "cancel_request", request_id: `pc:cancel:${streamId}`, cancel_request: cancel })}`;
}

function cancelAck(streamId: number, message: string): Buffer {
  return line(CONTROL, { type: "ack", request_id: `pc:cancel:${streamId}`, ack: { message } });
}

function codeOf(stream: TunnelStream): string | undefined {
  return stream.signal.reason instanceof TunnelError ? stream.signal.reason.code : undefined;
}

test("register, models_sync and heartbeat are acknowledged with the original's bytes", () => {
  const hub = new Hub();
  hub.receive(syn(CONTROL), line(CONTROL, REGISTER));
  hub.world.run();

  const ack =
    '{"type":"ack","request_id":"pc:register:1",' +
    '"ack":{"message":"register_ok","namespace":"pc","worker_id":7,"channel_id":7}}\n';
  assert.equal(ack.length, 0x7a);
  assert.equal(Buffer.concat(hub.world.sent).toString("hex"), `01027a0003000000${Buffer.from(ack).toString("hex")}`);
  hub.said();
  hub.receive(line(CONTROL, { type: "models_sync", request_id: "2", models_sync: { models: ["m", "m2"] } }));
  hub.receive(line(CONTROL, { type: "heartbeat", request_id: "3", heartbeat: {} }));
  assert.deepEqual(hub.said(), [
    '3 {"type":"ack","request_id":"2","ack":{"message":"models_sync_ok","namespace":"pc","worker_id":7,"channel_id":7}}',
    '3 {"type":"ack","request_id":"3","ack":{"message":"heartbeat_ok","namespace":"pc","worker_id":7,"channel_id":7}}',
  ]);
});

test("a registration reads as an announcement, without addresses and host names", () => {
  const [registered] = Hub.registered().registered;

  assert.equal(registered?.workerId, "pc");
  const { targets, ...rest } = registered.details as { targets: { routes: string[] }[] };
  assert.deepEqual(rest, {
    kind: "models",
    nodeName: "gaming",
    groups: ["friends", "family"],
    models: [
      { id: "m", target: "v1" },
      { id: "m2", target: "v1" },
    ],
    hardware: { os: "linux", arch: "x64", cpuCount: 8 },
  });
  assert.equal(targets.length, 1);
  assert.ok(targets[0]?.routes.includes("POST /v1/chat/completions"));
  assert.doesNotMatch(JSON.stringify(registered.details), /secret|10\.0\.0\.1/);
});

test("only news are told as updates, from models_sync and from heartbeats", () => {
  const hub = Hub.registered();

  hub.receive(line(CONTROL, { type: "models_sync", models_sync: { models: ["m", "m2"], backend_type: "vllm" } }));
  hub.receive(line(CONTROL, { type: "heartbeat", heartbeat: { status: 1, current_models: ["m", "m2"] } }));
  assert.equal(hub.updates.length, 0);
  hub.receive(line(CONTROL, { type: "models_sync", models_sync: { models: ["n"] } }));
  hub.receive(line(CONTROL, { type: "heartbeat", heartbeat: { current_models: ["o"] } }));
  assert.deepEqual(
    hub.updates.map((update) => (update as { models: object[] }).models),
    [[{ id: "n", target: "v1" }], [{ id: "o", target: "v1" }]],
  );
});

test("keys in any case, unknown fields and escaped characters are read", () => {
  const hub = new Hub();
  const text =
    '{"TYPE":"register","Request_Id":"1","Register":{"Namespace":"a\\u003cb","MODELS":["é"],"x":[{}]},"y":1}';
  hub.receive(syn(CONTROL), line(CONTROL, text));

  assert.equal(hub.registered[0]?.workerId, "a<b");
});

for (const [what, message, code] of [
  ["auth over a WebSocket", { type: "auth", request_id: "9", auth: { token: "t" } }, "auth_already_completed"],
  ["a second register", { ...REGISTER, request_id: "9" }, "register_already_completed"],
  ["models_sync without payload", { type: "models_sync", request_id: "9" }, "models_payload_missing"],
  ["a heartbeat without payload", { type: "heartbeat", request_id: "9" }, "heartbeat_payload_missing"],
  ["an unknown message", { type: "dance", request_id: "9" }, "unsupported_message_type"],
  ["a cancel_request of a worker", { type: "cancel_request", request_id: "9" }, "unsupported_message_type"],
] as const) {
  test(`${what} is answered with ${code}, and the session ends`, () => {
    const hub = Hub.registered();
    hub.receive(line(CONTROL, message));

    assert.deepEqual(hub.said(), [errorLine("9", code)]);
    assert.deepEqual(hub.world.closed, { how: "finished", code: "protocol" });
  });
}

for (const [what, message, code] of [
  ["register without payload", { type: "register", request_id: "9" }, "register_payload_missing"],
  ["models_sync", { type: "models_sync", request_id: "9", models_sync: {} }, "not_registered"],
  ["a heartbeat", { type: "heartbeat", request_id: "9", heartbeat: {} }, "not_registered"],
] as const) {
  test(`${what} before a registration is answered with ${code}`, () => {
    const hub = new Hub();
    hub.receive(syn(CONTROL), line(CONTROL, message));

    assert.deepEqual(hub.said(), [errorLine("9", code)]);
    assert.notEqual(hub.world.closed, undefined);
  });
}

test("a refused registration hears why, and so does an empty namespace", () => {
  const refused = new Hub();
  refused.refusal = new TunnelRefusal({ status: 409, code: "name-taken", message: "taken by another key" });
  refused.receive(syn(CONTROL), line(CONTROL, REGISTER));
  assert.deepEqual(refused.said(), [errorLine("pc:register:1", "register_failed", "taken by another key")]);
  assert.deepEqual(refused.world.closed, { how: "finished", code: "refused" });
  assert.equal(refused.session.isAccepting, false);

  const nameless = new Hub();
  nameless.receive(syn(CONTROL), line(CONTROL, { type: "register", request_id: "1", register: { namespace: " " } }));
  assert.deepEqual(nameless.said(), [errorLine("1", "register_failed", "malformed namespace")]);
});

test("ack and error of a worker end nothing, also before it registered", () => {
  const hub = new Hub();
  hub.receive(syn(CONTROL), line(CONTROL, { type: "ack" }));
  hub.receive(line(CONTROL, { type: "error", error: { code: "c", message: "m" } }));

  assert.deepEqual(hub.workerErrors, ["c: m"]);
  assert.equal(hub.world.closed, undefined);
});

test("a request is one line, the first stream is 2 and the next 4", () => {
  const hub = Hub.registered();
  hub.ask({}, '{"a":1}');
  hub.ask({ requestId: "r2", headers: [], method: "GET", path: "/v1/videos/v_1/content" }, "");

  assert.deepEqual(hub.said(), [
    "2 SYN",
    `2 ${REQUEST_START},"body":"eyJhIjoxfQ=="}`,
    "4 SYN",
    '4 {"request_id":"r2","route_kind":"videos_content","method":"GET","path":"/v1/videos/v_1/content","model":"m","headers":{}}',
  ]);
});

test("a body that comes in pieces is the same base64", () => {
  const hub = Hub.registered();
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 10 }), { maxLength: 8 }), (pieces) => {
      const stream = hub.session.open(OPENING);
      for (const piece of pieces) stream.write(piece);
      stream.end();
      const said = hub.said().find((text) => text.includes("request_id")) ?? "";
      const body = Buffer.concat(pieces).toString("base64");
      assert.equal(said, `${stream.id} ${REQUEST_START}${body === "" ? "" : `,"body":"${body}"`}}`);
      hub.receive(line(stream.id, { error: { code: "x", message: "" } }));
    }),
  );
});

test("an answer comes as head, chunks and eof, then our FIN goes out and nothing is cancelled", async () => {
  const hub = Hub.registered();
  const stream = hub.ask();
  hub.said();
  const headers = { "Content-Type": "text/plain", "Set-Cookie": "a" };
  hub.receive(line(2, { request_id: "r1", status_code: 201, headers }));
  hub.receive(line(2, { body_chunk: "aGVs" }), line(2, { body_chunk: "bG8=" }), line(2, { eof: true }));

  assert.deepEqual(await stream.head, { status: 201, headers: [["content-type", "text/plain"]] });
  assert.equal(await textOf(stream.body), "hello");
  assert.equal(stream.trailers, undefined);
  assert.deepEqual(hub.said(), ["2 FIN"]);
  assert.equal(hub.idleCount, 1);
  hub.receive(fin(2), line(2, { body_chunk: "aGVs" }));
  assert.equal(hub.world.closed, undefined);
});

test("one line may hold the whole answer, and a missing status is 502", async () => {
  const hub = Hub.registered();
  const stream = hub.ask();
  const headers = { "X-A": "1", "": "x", "X-B": "" };
  hub.receive(line(2, { STATUS_CODE: 200, Headers: headers, body_chunk: "aGk=", eof: true }));
  assert.deepEqual(await stream.head, { status: 200, headers: [["x-a", "1"]] });
  assert.equal(await textOf(stream.body), "hi");

  const odd = hub.ask();
  hub.receive(line(4, { body_chunk: "aGk=" }), line(4, { eof: true }));
  assert.equal((await odd.head).status, 502);
});

test("a status without chunks, 204, is a complete answer", async () => {
  const hub = Hub.registered();
  const stream = hub.ask();
  hub.receive(line(2, { status_code: 204 }), line(2, { eof: true }));

  assert.equal((await stream.head).status, 204);
  assert.equal(await textOf(stream.body), "");
});

for (const [code, message, expected, retrySafe] of [
  ["target_not_found", "x", "model-not-found", true],
  ["invalid_target_url", "x", "target-unreachable", true],
  ["rewrite_request_failed", "x", "internal", true],
  ["local_request_failed", "dial tcp 127.0.0.1:1: connect: connection refused", "target-unreachable", true],
  ["local_request_failed", "read tcp: connection reset by peer", "target-reset", false],
  ["adapt_response_failed", "x", "target-reset", false],
  ["unheard_of", "x", "target-reset", false],
] as const) {
  test(`${code} ("${message}") before a head is ${expected}`, async () => {
    const hub = Hub.registered();
    const stream = hub.ask();
    hub.said();
    hub.receive(line(2, { request_id: "r1", error: { code, message } }), fin(2));

    await assert.rejects(stream.head, { code: expected, retrySafe, isLocal: false });
    assert.equal(codeOf(stream), expected);
    assert.deepEqual(hub.said(), ["2 FIN"]);
  });
}

test("an error after the head, and an end without eof, break the answer", async () => {
  const hub = Hub.registered();
  const failed = hub.ask();
  hub.receive(line(2, { status_code: 200, body_chunk: "aGk=" }));
  hub.receive(line(2, { error: { code: "read_local_response_failed", message: "x" } }));
  await assert.rejects(textOf(failed.body), { code: "target-reset", retrySafe: false });

  const cut = hub.ask();
  hub.receive(line(4, { status_code: 200, body_chunk: "aGk=" }), fin(4));
  await assert.rejects(textOf(cut.body), { code: "target-reset", isLocal: false });

  const silent = hub.ask();
  hub.receive(fin(6));
  await assert.rejects(silent.head, { code: "target-reset" });
  assert.equal(hub.world.closed, undefined);
});

test("no error after the head is safe to retry, whatever it says", async () => {
  const hub = Hub.registered();
  const stream = hub.ask();
  hub.receive(line(2, { status_code: 200 }));
  hub.receive(line(2, { error: { code: "local_request_failed", message: "dial tcp: connection refused" } }));

  await assert.rejects(textOf(stream.body), { code: "target-reset", retrySafe: false });
});

test("a malformed line and one above its limit end only their stream, which is cancelled", async () => {
  const hub = Hub.registered({ v1AnswerLineBytes: 100 });
  const [first, second] = [hub.ask(), hub.ask({ requestId: "r2" })];
  hub.said();
  hub.receive(line(2, "nonsense"), line(4, "x".repeat(101)));

  await assert.rejects(first.head, { code: "protocol" });
  await assert.rejects(second.head, { code: "protocol" });
  assert.deepEqual(hub.said(), [cancelLine("r1", 2), cancelLine("r2", 4)]);
  assert.equal(hub.world.closed, undefined);
});

test("a long line of nothing but fields, which would take seconds to parse, is refused; one of data is read", async () => {
  const hub = Hub.registered();
  const [first, second, third] = [hub.ask(), hub.ask({ requestId: "r2" }), hub.ask({ requestId: "r3" })];
  const keys = Array.from({ length: 400_000 }, (_, at) => `"${at}":0`).join(",");
  const nested = "[".repeat(1e6) + "]".repeat(1e6);
  const cpuBefore = process.cpuUsage();
  hub.receive(line(2, `{${keys}}`), line(4, `{"x":${nested}}`));
  const { user } = process.cpuUsage(cpuBefore);
  hub.receive(line(6, { status_code: 200, body_chunk: Buffer.alloc(1e6, "a").toString("base64"), eof: true }));

  await assert.rejects(first.head, { code: "protocol" });
  await assert.rejects(second.head, { code: "protocol" });
  assert.equal((await textOf(third.body)).length, 1e6);
  // Parsed, these two would take more than a second.
  assert.ok(user < 500_000, `${user} microseconds`);
});

test("a cancelled request is cancelled again at 0.25, 1 and 5 s, then its stream is closed", () => {
  const hub = Hub.registered();
  hub.ask().reset("cancelled");
  assert.deepEqual(hub.said().slice(2), [cancelLine("r1", 2)]);
  hub.receive(cancelAck(2, "cancel_noop"));

  hub.world.pass(249);
  assert.deepEqual(hub.said(), []);
  hub.world.pass(1);
  assert.deepEqual(hub.said(), [cancelLine("r1", 2)]);
  hub.world.pass(749);
  assert.deepEqual(hub.said(), []);
  hub.world.pass(1);
  assert.deepEqual(hub.said(), [cancelLine("r1", 2)]);
  hub.world.pass(4000);
  assert.deepEqual(hub.said(), [cancelLine("r1", 2), "2 FIN"]);
  hub.world.pass(60_000);
  assert.deepEqual(hub.said(), []);
});

test("a cancellation is repeated while data comes for the closed stream, at most every 5 s", () => {
  const hub = Hub.registered();
  hub.ask().reset("cancelled");
  hub.world.pass(9999);
  hub.said();

  hub.receive(line(2, { status_code: 200 }));
  assert.deepEqual(hub.said(), []);
  hub.world.pass(1);
  hub.receive(line(2, { body_chunk: "aGk=" }), line(2, { body_chunk: "aGk=" }));
  assert.deepEqual(hub.said(), [cancelLine("r1", 2)]);
  hub.world.pass(5000);
  hub.receive(fin(2), line(2, { body_chunk: "aGk=" }));
  assert.deepEqual(hub.said(), []);
});

test("cancel_ok and the worker's FIN end the repeats", () => {
  const confirmed = Hub.registered();
  confirmed.ask().reset("cancelled");
  confirmed.said();
  confirmed.receive(cancelAck(2, "cancel_ok"));
  confirmed.world.pass(4999);
  assert.deepEqual(confirmed.said(), []);

  const ended = Hub.registered();
  ended.ask().reset("cancelled");
  ended.said();
  ended.receive(fin(2));
  assert.deepEqual(ended.said(), ["2 FIN"]);
  ended.world.pass(60_000);
  assert.deepEqual(ended.said(), []);
});

test("of too many cancelled requests the oldest is forgotten", () => {
  const hub = Hub.registered({ v1MaxCancelled: 1 });
  hub.ask().reset("cancelled");
  hub.said();
  hub.ask({ requestId: "r2" }).reset("cancelled");

  assert.ok(hub.said().includes("2 FIN"));
});

test("a worker that answers the cancellations of a hundred clients at once keeps its session", () => {
  const hub = Hub.registered();
  const streams = Array.from({ length: 100 }, (_, index) => hub.ask({ requestId: `r${index}` }));
  for (const stream of streams) stream.reset("cancelled");

  hub.receive(...streams.map((stream) => cancelAck(stream.id, "cancel_noop")));
  assert.equal(hub.ended.length, 0);

  hub.receive(...Array.from({ length: 20 }, () => cancelAck(2, "cancel_noop")));
  assert.equal(hub.ended[0]?.code, "abuse", "answers that nobody asked for still count");
});

test("a reader that leaves cancels", async () => {
  const hub = Hub.registered();
  const stream = hub.ask();
  hub.receive(line(2, { status_code: 200, body_chunk: "aGk=" }));
  hub.said();
  for await (const _chunk of stream.body) break;

  assert.deepEqual(hub.said(), [cancelLine("r1", 2)]);
  assert.equal(stream.isStopped, true);
  assert.equal(stream.write(Buffer.from("x")), false);
});

test("a request that was never sent in full is not cancelled: nothing runs", () => {
  const hub = Hub.registered();
  hub.session.open(OPENING).reset("cancelled");
  assert.deepEqual(hub.said(), []);

  const half = hub.session.open(OPENING);
  half.write(Buffer.from("abc"));
  assert.deepEqual(hub.said(), ["4 SYN"]);
  half.reset("cancelled");
  assert.deepEqual(hub.said(), ["4 FIN"]);
});

test("a slow reader loses its own stream above 4 MiB, the session and its neighbour live on", async () => {
  const hub = Hub.registered();
  const [slow, quick] = [hub.ask(), hub.ask({ requestId: "r2" })];
  hub.said();
  hub.receive(line(2, { status_code: 200 }));
  for (let count = 0; count < 128; count++) hub.receive(line(2, { body_chunk: CHUNK_OF_32_KIB }));
  assert.equal(slow.signal.aborted, false);
  assert.deepEqual(hub.said(), []);
  hub.receive(line(2, { body_chunk: CHUNK_OF_32_KIB }));

  await assert.rejects(textOf(slow.body), { code: "slow-consumer" });
  assert.deepEqual(hub.said(), [cancelLine("r1", 2)]);
  hub.receive(line(4, { status_code: 200, body_chunk: "aGk=", eof: true }));
  assert.equal(await textOf(quick.body), "hi");
});

test("what waits unread on all streams is bounded in sum: the largest goes", async () => {
  const hub = Hub.registered({ v1StoredBytes: 3 * 1024 * 1024 });
  const [large, ...others] = [1, 2, 3].map((number) => hub.ask({ requestId: `r${number}` }));
  for (const id of [2, 4, 6]) hub.receive(line(id, { status_code: 200 }));
  for (let count = 0; count < 60; count++) hub.receive(line(2, { body_chunk: CHUNK_OF_32_KIB }));
  for (let count = 0; count < 50; count++) {
    hub.receive(line(4, { body_chunk: CHUNK_OF_32_KIB }), line(6, { body_chunk: CHUNK_OF_32_KIB }));
  }

  assert.equal(large && codeOf(large), "slow-consumer");
  assert.ok(others.some((stream) => !stream.signal.aborted));
});

test("half a line counts as stored", () => {
  const hub = Hub.registered({ v1StoredBytes: 2 * 1024 * 1024 });
  const stream = hub.ask();
  const piece = Buffer.concat([smuxHeader(SMUX.push, 2, 32_768), Buffer.alloc(32_768, "x")]);
  for (let count = 0; count < 100; count++) hub.receive(piece);

  assert.equal(codeOf(stream), "slow-consumer");
});

test("data that nobody reads for 60 s ends its stream", () => {
  const hub = Hub.registered();
  const stream = hub.ask();
  hub.receive(line(2, { status_code: 200, body_chunk: "aGk=" }));
  for (let second = 0; second < 62; second++) {
    hub.world.pass(1000);
    hub.receive(line(CONTROL, { type: "ack" }));
    hub.session.tick();
  }

  assert.equal(codeOf(stream), "slow-consumer");
  assert.equal(hub.world.closed, undefined);
});

test("bodies above the limit are refused, known or not, and a half sent line is broken off", async () => {
  const hub = Hub.registered({ v1RequestBodyBytes: 10 });
  assert.throws(() => hub.session.open({ ...OPENING, bodyLength: 11 }), { code: "too-large" });
  const stream = hub.session.open(OPENING);
  stream.write(Buffer.alloc(10));
  assert.deepEqual(hub.said(), ["2 SYN"]);
  assert.equal(stream.write(Buffer.alloc(1)), false);

  await assert.rejects(stream.head, { code: "too-large" });
  assert.deepEqual(hub.said(), ["2 FIN"]);
});

test("two large bodies go at a time, the third when one is through, small ones never wait", () => {
  const hub = Hub.registered({ v1LargeBodyBytes: 4, sendQueueBytes: 1 });
  const large = [1, 2, 3].map((n) => hub.session.open({ ...OPENING, requestId: `r${n}`, bodyLength: 5 }));
  const small = hub.session.open({ ...OPENING, requestId: "small" });
  for (const stream of [...large, small]) stream.write(Buffer.from("abcd"));
  assert.deepEqual(hub.said(), ["2 SYN", "4 SYN", "8 SYN"]);

  large[0]?.end();
  assert.deepEqual(
    hub.said().map((text) => text.slice(0, 5)),
    ['2 {"r', "6 SYN"],
  );
});

test("a large body given up while it waits takes no turn, one given up in its turn passes it on", () => {
  const hub = Hub.registered({ v1LargeBodyBytes: 4 });
  const [first, , third] = [1, 2, 3, 4].map((n) => hub.session.open({ ...OPENING, requestId: `r${n}`, bodyLength: 5 }));
  assert.deepEqual(hub.said(), ["2 SYN", "4 SYN"]);
  third?.reset("cancelled");
  first?.reset("cancelled");

  assert.deepEqual(hub.said().toSorted(), ["2 FIN", "8 SYN"]);
});

test("a body of a hundred frames holds up neither another request nor a cancellation", () => {
  const hub = Hub.registered();
  const running = hub.ask();
  hub.said();
  hub.world.isTaking = false;
  const body = hub.session.open({ ...OPENING, requestId: "big" });
  body.write(Buffer.alloc(3 * 1024 * 1024));
  body.end();
  hub.world.run();
  running.reset("cancelled");
  hub.ask({ requestId: "small" });
  hub.world.sent.length = 0;
  hub.world.takeAll();
  hub.world.run();

  const [first, second] = hub.world.sent.map((message) => message.toString("latin1"));
  assert.match(first ?? "", /cancel_request/);
  assert.match(`${first}${second}`, /"request_id":"small"/);
  assert.ok(hub.world.sent.every((message) => message.length <= 64 * 1024 + 32_768 + 100));
});

test("a writer gets room again when the socket takes bytes", async () => {
  const hub = Hub.registered();
  hub.world.isTaking = false;
  const stream = hub.session.open(OPENING);
  assert.equal(stream.write(Buffer.alloc(300_000)), false);
  hub.world.run();
  const drained = stream.drained();
  hub.world.takeAll();
  hub.world.run();
  await drained;
  assert.equal(stream.write(Buffer.from("x")), true);
});

test("routes that v1 does not know are refused before anything is sent", () => {
  const hub = Hub.registered();
  const unsupported = { code: "unsupported", retrySafe: true };
  assert.throws(() => hub.session.open({ ...OPENING, path: "/v1/moderations" }), unsupported);
  assert.throws(() => hub.session.open({ ...OPENING, method: "GET" }), unsupported);
  assert.deepEqual(hub.said(), []);
});

test("no stream before a registration, while draining, or above the limit", () => {
  assert.throws(() => new Hub().session.open(OPENING), { code: "refused", retrySafe: true });
  const full = Hub.registered({ maxStreams: 1 });
  full.ask();
  assert.throws(() => full.session.open(OPENING), { code: "refused", retrySafe: true });
  const draining = Hub.registered();
  draining.session.goaway();
  assert.throws(() => draining.session.open(OPENING), { code: "refused" });
});

test("the lost session ends every stream, retry-safe when its request had not left in full", async () => {
  const hub = Hub.registered();
  const sent = hub.ask();
  const half = hub.session.open(OPENING);
  hub.session.close(new TunnelError("worker-lost"), { tells: false });

  await assert.rejects(sent.head, { code: "worker-lost", retrySafe: false });
  await assert.rejects(half.head, { code: "worker-lost", retrySafe: true });
  assert.equal(hub.ended.length, 1);
});

test("a complete answer stays readable when the session is lost", async () => {
  const hub = Hub.registered();
  const stream = hub.ask();
  hub.receive(line(2, { status_code: 200, body_chunk: "aGk=", eof: true }), Buffer.from("0200000000000000", "hex"));

  assert.equal(hub.ended[0]?.code, "protocol");
  assert.equal(await textOf(stream.body), "hi");
});

test("a worker that does not register in 30 s, or is silent for 45 s, is cut off", () => {
  const late = new Hub();
  late.receive(syn(CONTROL));
  late.world.pass(29_000);
  late.receive(line(CONTROL, { type: "ack" }));
  late.world.pass(1000);
  late.session.tick();
  assert.equal(late.world.closed, undefined);
  late.world.pass(1);
  late.session.tick();
  assert.deepEqual(late.world.closed, { how: "finished", code: "protocol" });

  const silent = Hub.registered();
  for (const ms of [20_000, 25_000]) {
    silent.world.pass(ms);
    silent.session.tick();
  }
  assert.equal(silent.world.closed, undefined);
  silent.world.pass(1);
  silent.session.tick();
  assert.deepEqual(silent.world.closed, { how: "destroyed" });
  assert.equal(silent.ended[0]?.code, "worker-lost");
});

test("a socket that takes no bytes for 30 s is cut off", () => {
  const hub = Hub.registered();
  hub.world.isTaking = false;
  hub.ask();
  for (const ms of [15_000, 15_001]) {
    hub.world.pass(ms);
    hub.receive(line(CONTROL, { type: "ack" }));
    hub.session.tick();
  }
  assert.deepEqual(hub.world.closed, { how: "destroyed" });
});

test("a worker that opens streams gets them closed, and too many end the session", () => {
  const hub = Hub.registered();
  hub.receive(syn(5), line(5, "ignored"), syn(CONTROL));
  assert.deepEqual(hub.said(), ["5 FIN"]);
  for (let id = 7; id < 40; id += 2) hub.receive(syn(id));
  assert.equal(hub.ended[0]?.code, "abuse");
});

test("too many control messages, too many bytes of them, a too long one and a closed control stream end the session", () => {
  const many = Hub.registered();
  for (let count = 0; count < 30; count++) many.receive(line(CONTROL, { type: "ack" }));
  assert.equal(many.ended[0]?.code, "abuse");

  const long = Hub.registered({ v1ControlLineBytes: 1000 });
  long.receive(line(CONTROL, "x".repeat(1001)));
  assert.equal(long.ended[0]?.code, "too-large");

  const heavy = Hub.registered();
  const message = line(CONTROL, { type: "ack", request_id: "x".repeat(250 * 1024) });
  heavy.receive(message, message, message);
  assert.equal(heavy.ended[0]?.code, "abuse");

  const closed = Hub.registered();
  closed.receive(fin(CONTROL));
  assert.equal(closed.ended[0]?.code, "worker-lost");
});

test("a hub that revokes a key says so, one that shuts down just closes", () => {
  const revoked = Hub.registered();
  revoked.session.close(new TunnelError("revoked", { message: "the key was revoked" }), { tells: true });
  assert.deepEqual(revoked.said(), ['3 {"type":"error","error":{"code":"revoked","message":"the key was revoked"}}']);

  const shut = Hub.registered();
  shut.session.close(new TunnelError("shutdown"), { tells: true });
  assert.deepEqual(shut.said(), []);
});

test("200 requests in sequence leave nothing behind", async () => {
  const hub = Hub.registered();
  for (let count = 1; count <= 200; count++) {
    const stream = hub.ask();
    const { id } = stream;
    assert.equal(id, count * 2);
    hub.receive(line(id, { status_code: 200, body_chunk: "aGk=" }), line(id, { eof: true }), fin(id));
    assert.equal(await textOf(stream.body), "hi");
  }
  assert.equal(hub.session.streamCount, 0);
});

test("whatever a worker sends, a session lives on or ends once with a clean error", () => {
  const json = fc.jsonValue();
  const types = fc.constantFrom("register", "ack", "heartbeat", "models_sync", "auth", "error");
  const control = fc.record({
    type: types,
    ack: json,
    register: json,
    heartbeat: json,
    models_sync: json,
    error: json,
  });
  const data = fc.record({ status_code: json, headers: json, body_chunk: json, eof: json, error: json });
  const known = [
    syn(3),
    syn(5),
    fin(2),
    fin(3),
    line(3, REGISTER),
    line(2, { status_code: 200 }),
    line(2, { eof: true }),
  ];
  const frame = fc.oneof(
    fc.constantFrom(...known),
    fc.json().map((text) => line(2, text)),
    fc.json().map((text) => line(3, text)),
    control.map((value) => line(3, value)),
    data.map((value) => line(2, value)),
    fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
  );
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 30 }), fc.integer({ min: 1, max: 100 }), (frames, size) => {
      const hub = Hub.registered();
      hub.ask();
      const bytes = Buffer.concat(frames);
      for (let at = 0; at < bytes.length; at += size) hub.receive(bytes.subarray(at, at + size));
      hub.world.run();
      assert.ok(hub.ended.length <= 1);
      for (const error of hub.ended) assert.notEqual(error.code, "internal", error.message);
    }),
  );
});
