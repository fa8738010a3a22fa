import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { TUNNEL_LIMITS, type TunnelLimits } from "../limits.ts";
import { TUNNEL_ERROR_NUMBERS, TunnelError } from "../tunnel-error.ts";
import type { StreamOpening } from "../tunnel-stream.ts";
import { encodeGoaway, encodePing, encodeReset, encodeStop } from "../wire/control-frame.ts";
import { encodeFrame, FLAG, FRAME, FrameCursor, writeCredit } from "../wire/frame.ts";
import { encodeHello } from "../wire/session-message.ts";
import { MemoryPool } from "./memory-pool.ts";
import type { MuxStream } from "./mux-stream.ts";
import { Mux } from "./mux.ts";
import { SlabAllocator } from "./slab.ts";

const OPENING: StreamOpening = {
  requestId: "r",
  target: "t",
  method: "POST",
  path: "/x",
  query: "",
  headers: [],
  priority: "interactive",
};
const OPEN_JSON = '{"k":"http","id":"r","t":"t","m":"POST","p":"/x","q":"","h":[],"cls":1}';
const HEAD_JSON = '{"s":200,"h":[]}';

interface Sent {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

/** One mux whose peer is the test: writes any bytes, reads what was answered. */
class Bench {
  readonly mux: Mux;
  readonly sent: Sent[] = [];
  readonly streams: MuxStream[] = [];
  readonly controls: string[] = [];
  nowMs = 1000;
  isStuck = false;
  finished: TunnelError | undefined;
  isDestroyed = false;
  #tasks: (() => void)[] = [];

  constructor(role: "hub" | "worker", limits: Partial<TunnelLimits> = {}, peerWindowBytes = 262_144) {
    this.mux = new Mux({
      role,
      limits: { ...TUNNEL_LIMITS, ...limits },
      pool: new MemoryPool(TUNNEL_LIMITS.poolBytes),
      slabs: new SlabAllocator(),
      environment: { now: () => this.nowMs, random: () => 0.5, schedule: (task) => void this.#tasks.push(task) },
      carrier: {
        send: (message, onSent) => {
          this.#record(Buffer.from(message));
          if (!this.isStuck) this.#tasks.push(onSent);
        },
        finish: (error) => {
          this.finished = error;
        },
        destroy: () => {
          this.isDestroyed = true;
        },
      },
      events: {
        onHello: () => {},
        onStream: (stream) => this.streams.push(stream),
        onControl: (payload) => this.controls.push(payload.toString()),
        onGoaway: () => {},
        onIdle: () => {},
        onEnd: () => {},
      },
    });
    this.mux.start("test");
    this.hello(role === "hub" ? "worker" : "hub", peerWindowBytes);
    this.flush();
  }

  hello(role: "hub" | "worker", initialWindowBytes = 262_144): void {
    const hello = encodeHello({ role, software: "t", initialWindowBytes, maxStreams: 256 }, "g");
    this.mux.receive(encodeFrame(FRAME.hello, 0, 0, hello));
  }

  /** Sends one frame to the mux, then lets it answer. */
  give(type: number, streamId: number, payload: string | Uint8Array = "", flags = 0): this {
    this.mux.receive(Buffer.from(encodeFrame(type, flags, streamId, Buffer.from(payload))));
    this.flush();
    return this;
  }

  giveRaw(message: Uint8Array): this {
    this.mux.receive(Buffer.from(message));
    this.flush();
    return this;
  }

  flush(): void {
    for (let task = this.#tasks.shift(); task !== undefined; task = this.#tasks.shift()) task();
  }

  credit(streamId: number, maxOffset: number): this {
    const frame = Buffer.alloc(16);
    writeCredit(frame, 0, streamId, maxOffset);
    return this.giveRaw(frame);
  }

  /** Why the session ended; undefined while it lives. */
  get endCode(): string | undefined {
    return this.mux.ended?.code;
  }

  /** The code of the last RESET of a stream. */
  resetOf(streamId: number): number | undefined {
    const frame = this.sent.findLast((sent) => sent.type === FRAME.reset && sent.streamId === streamId);
    return frame?.payload.readUInt16BE(0);
  }

  /** The code of the GOAWAY that ended the session; undefined while it lives. */
  get goawayCode(): number | undefined {
    if (this.mux.ended === undefined) return undefined;
    return this.sent.findLast((sent) => sent.type === FRAME.goaway)?.payload.readUInt16BE(4);
  }

  types(): number[] {
    return this.sent.map((frame) => frame.type);
  }

  #record(message: Buffer): void {
    const cursor = new FrameCursor();
    cursor.open(message);
    while (cursor.next()) {
      const { type, flags, streamId } = cursor;
      this.sent.push({ type, flags, streamId, payload: cursor.payload() });
    }
  }
}

function numberOf(code: keyof typeof TUNNEL_ERROR_NUMBERS): number {
  return TUNNEL_ERROR_NUMBERS[code];
}

/** A hub with one stream that got its response head. */
function hubWithStream(limits: Partial<TunnelLimits> = {}): { bench: Bench; stream: MuxStream } {
  const bench = new Bench("hub", limits);
  const stream = bench.mux.open(OPENING);
  bench.flush();
  bench.give(FRAME.head, 2, HEAD_JSON);
  return { bench, stream };
}

const MALFORMED_HEADS: readonly [string, string][] = [
  ["no JSON", "{"],
  ["an array", "[]"],
  ["a header name in upper case", '{"s":200,"h":[["Content-Type","x"]]}'],
  ["a header name with a colon", '{"s":200,"h":[[":status","x"]]}'],
  ["a header value with CR LF", '{"s":200,"h":[["a","x\\r\\nb: c"]]}'],
  ["a header value with NUL", '{"s":200,"h":[["a","x\\u0000"]]}'],
  ["a header value that is a number", '{"s":200,"h":[["a",1]]}'],
  ["a status that is no number", '{"s":"200","h":[]}'],
  ["a status of 99", '{"s":99,"h":[]}'],
  ["no headers", '{"s":200}'],
];
for (const [name, json] of MALFORMED_HEADS) {
  test(`a HEAD with ${name} resets its stream with "protocol" and leaves the session alone`, async () => {
    const bench = new Bench("hub");
    const stream = bench.mux.open(OPENING);
    bench.flush();

    bench.give(FRAME.head, 2, json);

    assert.equal(bench.resetOf(2), numberOf("protocol"));
    await assert.rejects(stream.head, { code: "protocol" });
    assert.equal(bench.mux.ended, undefined);
  });
}

const MALFORMED_OPENS: readonly [string, string, keyof typeof TUNNEL_ERROR_NUMBERS][] = [
  ["a path that does not start with a slash", OPEN_JSON.replace('"/x"', '"http://evil/"'), "protocol"],
  ["a path with a line break", OPEN_JSON.replace('"/x"', '"/x\\n"'), "protocol"],
  ["a query with a space", OPEN_JSON.replace('"q":""', '"q":"a b"'), "protocol"],
  ["a method in lower case", OPEN_JSON.replace("POST", "post"), "protocol"],
  ["a negative length", OPEN_JSON.replace('"cls":1', '"cls":1,"len":-1'), "protocol"],
  ["an unknown kind", OPEN_JSON.replace('"http"', '"tcp"'), "unsupported"],
  ["a path of 9 KiB", OPEN_JSON.replace('"/x"', `"/${"x".repeat(9000)}"`), "too-large"],
  ["129 headers", OPEN_JSON.replace("[]", JSON.stringify(Array.from({ length: 129 }, () => ["a", "b"]))), "too-large"],
  ["a header value of 17 KiB", OPEN_JSON.replace("[]", JSON.stringify([["a", "b".repeat(17_000)]])), "too-large"],
];
for (const [name, json, code] of MALFORMED_OPENS) {
  test(`an OPEN with ${name} is reset with "${code}" and never served`, () => {
    const bench = new Bench("worker");

    bench.give(FRAME.open, 2, json);

    assert.equal(bench.resetOf(2), numberOf(code));
    assert.equal(bench.streams.length, 0);
    assert.equal(bench.mux.ended, undefined);
  });
}

test("an opening that the peer would refuse is refused before it is sent", () => {
  const { mux } = new Bench("hub");

  assert.throws(() => mux.open({ ...OPENING, path: "x" }), { code: "protocol" });
  assert.throws(() => mux.open({ ...OPENING, headers: [["A", "b"]] }), { code: "protocol" });
  assert.throws(() => mux.open({ ...OPENING, headers: [["a", "b\r\nc: d"]] }), { code: "protocol" });
  assert.equal(mux.streamCount, 0);
});

const SESSION_FAULTS: readonly [string, (bench: Bench) => void, keyof typeof TUNNEL_ERROR_NUMBERS][] = [
  ["a cut header", (bench) => bench.giveRaw(Buffer.from("0400", "hex")), "protocol"],
  ["a cut payload", (bench) => bench.giveRaw(Buffer.from("04000005000000026869", "hex")), "protocol"],
  ["HELLO twice", (bench) => bench.hello("hub"), "protocol"],
  ["DATA for a stream never opened", (bench) => bench.give(FRAME.data, 8, "x"), "protocol"],
  ["RESET for a stream never opened", (bench) => bench.giveRaw(encodeReset(8, "cancelled")), "protocol"],
  ["OPEN with an id of the wrong side", (bench) => bench.give(FRAME.open, 3, OPEN_JSON), "protocol"],
  ["OPEN with stream 0", (bench) => bench.give(FRAME.open, 0, OPEN_JSON), "protocol"],
  ["an id used twice", (bench) => bench.give(FRAME.open, 4, OPEN_JSON).give(FRAME.open, 4, OPEN_JSON), "protocol"],
  [
    "an id lower than before",
    (bench) => bench.give(FRAME.open, 4, OPEN_JSON).give(FRAME.open, 2, OPEN_JSON),
    "protocol",
  ],
  ["an unknown critical frame type", (bench) => bench.give(0x90, 0, "x"), "unsupported"],
  ["a PING of seven bytes", (bench) => bench.give(FRAME.ping, 0, "1234567"), "protocol"],
  ["CREDIT of 2^53", (bench) => bench.give(FRAME.open, 2, OPEN_JSON).credit(2, 2 ** 53), "protocol"],
  [
    "CREDIT of 2^64 - 1",
    (bench) => bench.give(FRAME.open, 2, OPEN_JSON).give(FRAME.credit, 2, Buffer.alloc(8, 0xff)),
    "protocol",
  ],
  [
    "CONTROL of more than 256 KiB",
    (bench) => {
      for (let count = 0; count < 5; count++) bench.give(FRAME.control, 0, Buffer.alloc(60_000, "x"), FLAG.more);
    },
    "abuse",
  ],
  [
    "a flood of PINGs",
    (bench) => {
      for (let count = 0; count < 30; count++) bench.giveRaw(encodePing(Buffer.alloc(8), { isAnswer: false }));
    },
    "abuse",
  ],
  [
    "a flood of CREDITs",
    (bench) => {
      bench.give(FRAME.open, 2, OPEN_JSON);
      for (let count = 0; count < 200; count++) bench.credit(2, 1_000_000);
    },
    "abuse",
  ],
  [
    "a flood of unknown frames",
    (bench) => {
      for (let count = 0; count < 200; count++) bench.give(0x40, 0, "x");
    },
    "abuse",
  ],
  [
    "a flood of empty DATA",
    (bench) => {
      bench.give(FRAME.open, 2, OPEN_JSON);
      for (let count = 0; count < 11; count++) bench.give(FRAME.data, 2);
    },
    "abuse",
  ],
  [
    "a flood of streams that must be refused",
    (bench) => {
      for (let id = 2; id < 300; id += 2) bench.give(FRAME.open, id, "{}");
    },
    "abuse",
  ],
  [
    "a flood of RESETs",
    (bench) => {
      for (let id = 2; id < 12_000; id += 2)
        bench.give(FRAME.open, id, OPEN_JSON).giveRaw(encodeReset(id, "cancelled"));
    },
    "abuse",
  ],
  [
    "a flood of frames for closed streams",
    (bench) => {
      bench.give(FRAME.open, 2, OPEN_JSON).giveRaw(encodeReset(2, "cancelled"));
      for (let count = 0; count < 5000; count++) bench.giveRaw(encodeStop(2, "cancelled"));
    },
    "abuse",
  ],
];
for (const [name, act, code] of SESSION_FAULTS) {
  test(`${name} ends the session with GOAWAY "${code}"`, () => {
    const bench = new Bench("worker");

    act(bench);

    assert.equal(bench.goawayCode, numberOf(code));
    assert.equal(bench.finished?.code, code);
  });
}

test("the first frame must be HELLO", () => {
  const bench = new Bench("worker");
  bench.mux.peer = undefined;

  bench.give(FRAME.open, 2, OPEN_JSON);

  assert.equal(bench.goawayCode, numberOf("protocol"));
});

test("a worker may not open streams: a hub refuses, retry-safe", () => {
  const bench = new Bench("hub");

  bench.give(FRAME.open, 1, OPEN_JSON);

  assert.equal(bench.resetOf(1), numberOf("refused"));
  assert.equal(bench.sent.findLast((frame) => frame.type === FRAME.reset)?.payload[2], 1);
});

test("an unknown frame that is not critical is ignored", () => {
  const bench = new Bench("worker");

  bench.give(0x40, 12, "x");

  assert.equal(bench.mux.ended, undefined);
});

test("a stream beyond the limit is refused, retry-safe, the one at the limit is served", () => {
  const bench = new Bench("worker", { maxStreams: 2 });

  bench.give(FRAME.open, 2, OPEN_JSON).give(FRAME.open, 4, OPEN_JSON).give(FRAME.open, 6, OPEN_JSON);

  assert.equal(bench.streams.length, 2);
  assert.equal(bench.resetOf(6), numberOf("refused"));
});

test("CREDIT that is zero, lower, or for a closed stream is ignored", () => {
  const { bench, stream } = hubWithStream();

  bench.credit(2, 0).credit(2, 100);
  stream.reset("cancelled");
  bench.credit(2, 1_000_000);

  assert.equal(bench.mux.ended, undefined);
});

test("data is sent up to the credit, to the byte, and goes on with the next CREDIT", () => {
  const { bench, stream } = hubWithStream();
  const sentData = (): number =>
    bench.sent.filter((frame) => frame.type === FRAME.data).reduce((sum, frame) => sum + frame.payload.length, 0);

  stream.write(Buffer.alloc(300_000));
  bench.flush();
  assert.equal(sentData(), 262_144);
  bench.credit(2, 262_145);
  assert.equal(sentData(), 262_145);
  bench.credit(2, 400_000);

  assert.equal(sentData(), 300_000);
});

test("a peer with the smallest window may give credit for each quarter of it, however fast", () => {
  const win = 1024;
  const bench = new Bench("hub", {}, win);
  const stream = bench.mux.open(OPENING);
  const total = 500_000;
  stream.write(Buffer.alloc(total));
  bench.flush();
  for (let consumed = win / 4; consumed + win < total; consumed += win / 4) bench.credit(stream.id, consumed + win);

  assert.equal(bench.endCode, undefined);
  assert.ok(stream.send.sentBytes > total - win);
});

test("one byte beyond credit resets the stream with flow-control; the third time ends the session", () => {
  const { bench } = hubWithStream({ initialWindowBytes: 1024 });
  bench.mux.open(OPENING);
  bench.mux.open(OPENING);
  bench.flush();
  bench.give(FRAME.head, 4, HEAD_JSON).give(FRAME.head, 6, HEAD_JSON);

  bench.give(FRAME.data, 2, Buffer.alloc(1024));
  assert.equal(bench.resetOf(2), undefined);
  bench.give(FRAME.data, 2, "x");
  assert.equal(bench.resetOf(2), numberOf("flow-control"));
  bench.give(FRAME.data, 4, Buffer.alloc(1025));
  assert.equal(bench.mux.ended, undefined);
  bench.give(FRAME.data, 6, Buffer.alloc(1025));

  assert.equal(bench.goawayCode, numberOf("flow-control"));
});

test("data under way when a stream was reset is no fault; more than its credit is", () => {
  const { bench, stream } = hubWithStream({ initialWindowBytes: 1024 });
  stream.reset("cancelled");

  bench.give(FRAME.data, 2, Buffer.alloc(1024));
  assert.equal(bench.mux.ended, undefined);
  bench.give(FRAME.data, 2, "x");

  assert.equal(bench.goawayCode, numberOf("protocol"));
});

const STREAM_FAULTS: readonly [string, (bench: Bench) => void][] = [
  ["HEAD twice", (bench) => bench.give(FRAME.head, 2, HEAD_JSON)],
  ["DATA after END", (bench) => bench.give(FRAME.data, 2, "x", FLAG.end).give(FRAME.data, 2, "y")],
  ["TRAILERS after END", (bench) => bench.give(FRAME.data, 2, "x", FLAG.end).give(FRAME.trailers, 2, "{}", FLAG.end)],
  ["TRAILERS that are no object", (bench) => bench.give(FRAME.trailers, 2, "[1]", FLAG.end)],
];
for (const [name, act] of STREAM_FAULTS) {
  test(`${name} resets the stream with "protocol"`, () => {
    const { bench } = hubWithStream();

    act(bench);

    assert.equal(bench.resetOf(2), numberOf("protocol"));
    assert.equal(bench.mux.ended, undefined);
  });
}

test("DATA before HEAD resets the stream with protocol", () => {
  const bench = new Bench("hub");
  bench.mux.open(OPENING);
  bench.flush();

  bench.give(FRAME.data, 2, "x");

  assert.equal(bench.resetOf(2), numberOf("protocol"));
});

test("a body for HEAD or with status 204 resets the stream with protocol", () => {
  const bench = new Bench("hub");
  bench.mux.open({ ...OPENING, method: "HEAD" });
  bench.mux.open(OPENING);
  bench.flush();

  bench.give(FRAME.head, 2, HEAD_JSON).give(FRAME.data, 2, "x");
  bench.give(FRAME.head, 4, '{"s":204,"h":[]}').give(FRAME.data, 4, "x");

  assert.equal(bench.resetOf(2), numberOf("protocol"));
  assert.equal(bench.resetOf(4), numberOf("protocol"));
});

test("eight interim heads are ignored, the ninth resets the stream", async () => {
  const bench = new Bench("hub");
  const stream = bench.mux.open(OPENING);
  bench.flush();

  for (let count = 0; count < 8; count++) bench.give(FRAME.head, 2, '{"s":103,"h":[]}');
  assert.equal(bench.resetOf(2), undefined);
  bench.give(FRAME.head, 2, '{"s":103,"h":[]}');

  assert.equal(bench.resetOf(2), numberOf("protocol"));
  await assert.rejects(stream.head, { code: "protocol" });
});

test("101 is the answer to a WebSocket handshake, and a fault for any other request", async () => {
  const bench = new Bench("hub");
  const socket = bench.mux.open({ ...OPENING, kind: "ws" });
  const plain = bench.mux.open(OPENING);
  bench.flush();

  bench.give(FRAME.head, 2, '{"s":101,"h":[["sec-websocket-protocol","realtime"]]}').give(FRAME.data, 2, "x");
  bench.give(FRAME.head, 4, '{"s":101,"h":[]}');

  assert.deepEqual(await socket.head, { status: 101, headers: [["sec-websocket-protocol", "realtime"]] });
  assert.equal(bench.resetOf(2), undefined);
  await assert.rejects(plain.head, { code: "protocol" });
  assert.equal(bench.resetOf(4), numberOf("protocol"));
});

test("a stream that is reset before its OPEN left is never heard of by the peer", () => {
  const bench = new Bench("hub");
  const stream = bench.mux.open(OPENING);
  stream.write(Buffer.from("x"));

  stream.reset("cancelled");
  bench.flush();

  assert.ok(!bench.types().includes(FRAME.open) && !bench.types().includes(FRAME.reset));
});

test("a STOP asked for before OPEN left follows the OPEN", () => {
  const bench = new Bench("hub");
  const stream = bench.mux.open(OPENING);

  stream.stop("cancelled");
  bench.flush();

  const types = bench.types();
  assert.ok(types.indexOf(FRAME.stop) > types.indexOf(FRAME.open) && types.includes(FRAME.open));
});

test("a request without a body is one frame: OPEN with END", () => {
  const bench = new Bench("hub");
  bench.mux.open(OPENING).end();
  bench.flush();

  const frames = bench.sent.filter((frame) => frame.streamId === 2);
  assert.deepEqual(
    frames.map(({ type, flags }) => [type, flags]),
    [[FRAME.open, FLAG.end]],
  );
});

test("STOP ends our direction: queued bytes are dropped, later writes too, the other direction goes on", async () => {
  const { bench, stream } = hubWithStream();
  stream.write(Buffer.alloc(300_000));
  bench.flush();
  const waiting = stream.drained();

  bench.giveRaw(encodeStop(2, "too-large"));
  await waiting;

  assert.equal(stream.isStopped, true);
  assert.equal(stream.write(Buffer.from("more")), true);
  stream.end();
  bench.flush();
  const last = bench.sent.findLast((frame) => frame.streamId === 2);
  assert.deepEqual([last?.type, last?.flags, last?.payload.length], [FRAME.data, FLAG.end, 0]);
  bench.give(FRAME.data, 2, "answer", FLAG.end);
  assert.equal(Buffer.from((await stream.receive.next()).value ?? []).toString(), "answer");
});

test("a RESET from the peer fails head, body, drained and signal alike, with its bits", async () => {
  const bench = new Bench("hub");
  const stream = bench.mux.open(OPENING);
  stream.write(Buffer.alloc(400_000));
  const waiting = stream.drained();
  bench.flush();

  bench.giveRaw(encodeReset(2, "target-unreachable", { retrySafe: true, message: "no route" }));

  const expected = { code: "target-unreachable", retrySafe: true, isLocal: false };
  await assert.rejects(stream.head, expected);
  await assert.rejects(stream.receive.next(), expected);
  await assert.rejects(waiting, expected);
  assert.equal(stream.signal.aborted, true);
  assert.equal(stream.write(Buffer.from("x")), false);
});

test("a complete answer stays readable when the session is lost before the request's end", async () => {
  const { bench, stream } = hubWithStream();
  bench.give(FRAME.data, 2, "all of it", FLAG.end);

  bench.mux.close(new TunnelError("worker-lost"), { tells: false });

  assert.equal(Buffer.from((await stream.receive.next()).value ?? []).toString(), "all of it");
  assert.equal((await stream.receive.next()).done, true);
});

test("a reset after the stream closed drops what was not read, and the reader is told", async () => {
  const { bench, stream } = hubWithStream();
  stream.end();
  bench.flush();
  bench.give(FRAME.data, 2, "first").give(FRAME.data, 2, "second", FLAG.end);
  assert.equal(stream.isClosed, true);

  stream.reset("cancelled");

  await assert.rejects(stream.receive.next(), { code: "cancelled" });
  assert.equal(bench.mux.lingering.size, 0);
});

test("a reset after the body was read to its end changes nothing", async () => {
  const { bench, stream } = hubWithStream();
  bench.give(FRAME.data, 2, "all", FLAG.end);
  await stream.receive.next();

  stream.reset("cancelled");

  assert.equal((await stream.receive.next()).done, true);
});

test("when the session is lost, only a stream of which nothing left is retry-safe", async () => {
  const bench = new Bench("hub");
  const known = bench.mux.open(OPENING);
  bench.flush();
  const unknown = bench.mux.open(OPENING);

  bench.mux.close(new TunnelError("worker-lost"), { tells: false });

  await assert.rejects(known.head, { code: "worker-lost", retrySafe: false });
  await assert.rejects(unknown.head, { code: "worker-lost", retrySafe: true });
  assert.throws(() => bench.mux.open(OPENING), { code: "refused", retrySafe: true });
});

test("GOAWAY fails only the streams above its last id, retry-safe, and takes no new ones", async () => {
  const { bench, stream } = hubWithStream();
  const above = bench.mux.open(OPENING);
  bench.flush();

  bench.giveRaw(encodeGoaway({ lastId: 2, code: "shutdown", graceMs: 1000, reconnectAfterMs: 0, message: "" }));

  await assert.rejects(above.head, { code: "refused", retrySafe: true, isLocal: false });
  assert.equal(stream.isClosed, false);
  assert.equal(bench.mux.isAccepting, false);
  assert.throws(() => bench.mux.open(OPENING), { code: "refused", retrySafe: true });
});

test("after our GOAWAY an OPEN that crossed it is refused, retry-safe", () => {
  const bench = new Bench("worker");
  bench.give(FRAME.open, 2, OPEN_JSON);
  bench.mux.goaway({ code: "shutdown", graceMs: 1000, reconnectAfterMs: 0, message: "" });

  bench.give(FRAME.open, 4, OPEN_JSON);

  assert.equal(bench.resetOf(4), numberOf("refused"));
  assert.equal(bench.streams.length, 1);
});

test("a PING is answered before any data, also while megabytes wait", () => {
  const { bench, stream } = hubWithStream();
  bench.isStuck = true;
  bench.credit(2, 10_000_000);
  stream.write(Buffer.alloc(2_000_000));
  bench.flush();
  const waiting = bench.sent.reduce((sum, frame) => sum + frame.payload.length, 0);
  assert.ok(waiting < 300_000, "the carrier got too much");
  bench.isStuck = false;
  bench.sent.length = 0;

  bench.giveRaw(encodePing(Buffer.from("12345678"), { isAnswer: false }));
  stream.reset("cancelled");
  bench.mux.close(new TunnelError("shutdown"), { tells: true });

  assert.equal(bench.sent[0]?.type, FRAME.ping);
  assert.equal(bench.sent[0]?.payload.toString(), "12345678");
});

test("interactive streams go in turns, and bulk gets a fifth", () => {
  const bench = new Bench("hub", { interactiveBytesPerSecond: 1e9 });
  const streams = [OPENING, OPENING, { ...OPENING, priority: "bulk" as const }].map((opening) =>
    bench.mux.open(opening),
  );
  bench.flush();
  for (const stream of streams) bench.credit(stream.id, 1e9);
  bench.sent.length = 0;

  for (const stream of streams) stream.write(Buffer.alloc(4_000_000));
  bench.flush();

  const data = bench.sent.filter((frame) => frame.type === FRAME.data);
  const firstMegabytes = data.slice(0, 300);
  const bulk = firstMegabytes.filter((frame) => frame.streamId === 6).reduce((sum, f) => sum + f.payload.length, 0);
  const total = firstMegabytes.reduce((sum, frame) => sum + frame.payload.length, 0);
  assert.ok(bulk / total > 0.18 && bulk / total < 0.25, `bulk got ${bulk / total}`);
  assert.ok(firstMegabytes.every((frame) => frame.payload.length <= 16 * 1024));
  const order = firstMegabytes.slice(0, 8).map((frame) => frame.streamId);
  assert.ok(order.includes(2) && order.includes(4) && order.includes(6), `order ${order.join()}`);
});

test("an interactive stream that sends a megabyte lets small ones pass", () => {
  const bench = new Bench("hub");
  const [large, small] = [bench.mux.open(OPENING), bench.mux.open(OPENING)];
  bench.flush();
  bench.credit(2, 1e9).credit(4, 1e9);
  large.write(Buffer.alloc(1_000_000));
  bench.flush();

  assert.equal(large.send.isDemoted, true);
  assert.equal(small.send.isDemoted, false);
});

test("a peer that is silent is dead within 35 s, one that says anything is not", () => {
  const silent = new Bench("hub");
  const alive = new Bench("hub");

  for (let second = 1; second <= 35; second++) {
    for (const bench of [silent, alive]) bench.nowMs += 1000;
    alive.give(0x40, 0, "");
    silent.mux.tick();
    alive.mux.tick();
    silent.flush();
    alive.flush();
  }

  assert.equal(silent.mux.ended?.code, "worker-lost");
  assert.equal(silent.isDestroyed, true);
  assert.equal(alive.mux.ended, undefined);
  // One at the start and one each 15 s.
  assert.equal(alive.types().filter((type) => type === FRAME.ping).length, 3);
});

test("after a suspend of an hour the peer gets ten seconds to answer", () => {
  const bench = new Bench("hub");
  bench.mux.tick();

  bench.nowMs += 3_600_000;
  bench.mux.tick();
  assert.equal(bench.mux.ended, undefined);
  bench.nowMs += 11_000;
  bench.mux.tick();

  assert.equal(bench.endCode, "worker-lost");
});

test("a carrier that takes no bytes for 30 s is dead, although the peer talks", () => {
  const { bench, stream } = hubWithStream();
  bench.isStuck = true;
  stream.write(Buffer.alloc(1000));
  bench.flush();

  for (let second = 1; second <= 32; second++) {
    bench.nowMs += 1000;
    bench.give(0x40, 0, "");
    bench.mux.tick();
  }

  assert.equal(bench.mux.ended?.code, "worker-lost");
});

test("a reader that takes nothing for 60 s while data waits loses its stream, one that waits for data does not", () => {
  const { bench } = hubWithStream();
  const waiting = bench.mux.open(OPENING);
  bench.flush();
  void waiting.receive.next();
  bench.give(FRAME.data, 2, "nobody reads this");

  for (let second = 1; second <= 62; second++) {
    bench.nowMs += 1000;
    bench.give(0x40, 0, "");
    bench.mux.tick();
    bench.flush();
  }

  assert.equal(bench.resetOf(2), numberOf("slow-consumer"));
  assert.equal(waiting.isClosed, false);
});

test("an answer that nobody reads is given up too after its stream closed", async () => {
  const { bench, stream } = hubWithStream();
  stream.end();
  bench.flush();
  bench.give(FRAME.data, 2, "nobody reads this", FLAG.end);
  assert.equal(bench.mux.streamCount, 0);
  assert.equal(bench.mux.lingering.size, 1);

  for (let second = 1; second <= 62; second++) {
    bench.nowMs += 1000;
    bench.give(0x40, 0, "");
    bench.mux.tick();
  }

  assert.equal(bench.mux.lingering.size, 0);
  await assert.rejects(stream.receive.next(), { code: "slow-consumer" });
});

test("a peer that gives no credit for two minutes loses the stream", () => {
  const { bench, stream } = hubWithStream();
  stream.write(Buffer.alloc(300_000));
  bench.flush();

  for (let second = 1; second <= 122; second++) {
    bench.nowMs += 1000;
    bench.give(0x40, 0, "");
    bench.mux.tick();
    bench.flush();
  }

  assert.equal(bench.resetOf(2), numberOf("idle"));
});

test("a CONTROL message in pieces is joined", () => {
  const bench = new Bench("hub");

  bench.give(FRAME.control, 0, '{"type":', FLAG.more).give(FRAME.control, 0, '"x"}');

  assert.deepEqual(bench.controls, ['{"type":"x"}']);
});

test("a CONTROL message of 256 KiB survives the way through two muxes", () => {
  const [hub, worker] = [new Bench("hub"), new Bench("worker")];
  const payload = Buffer.alloc(256 * 1024, "x");

  assert.equal(worker.mux.sendControl(payload), true);
  assert.equal(worker.mux.sendControl(payload), false, "a second one must wait");
  worker.flush();
  for (const frame of worker.sent.filter((sent) => sent.type === FRAME.control)) {
    hub.give(frame.type, frame.streamId, frame.payload, frame.flags);
  }

  assert.equal(hub.controls[0]?.length, 256 * 1024);
});

test("a head that nobody awaits does not end the process", async () => {
  const { bench } = hubWithStream();
  const stream = bench.mux.open(OPENING);
  const { head } = stream;
  assert.ok(head instanceof Promise);

  stream.reset("cancelled");
  await new Promise((resolve) => {
    setImmediate(resolve);
  });

  assert.equal(stream.isClosed, true);
});

test("a writer that ignores false loses its stream at the bound", () => {
  const { bench, stream } = hubWithStream({ maxSendQueueBytes: 1_000_000 });

  assert.equal(stream.write(Buffer.alloc(2_000_000)), false);
  assert.equal(stream.isClosed, false);
  stream.write(Buffer.alloc(1));
  bench.flush();

  assert.equal(bench.resetOf(2), numberOf("internal"));
});

const frameBytes = fc
  .record({
    type: fc.oneof({ weight: 8, arbitrary: fc.integer({ min: 0, max: 0x0c }) }, fc.integer({ min: 0, max: 255 })),
    flags: fc.integer({ min: 0, max: 15 }),
    streamId: fc.oneof({ weight: 8, arbitrary: fc.integer({ min: 0, max: 9 }) }, fc.nat(2 ** 32 - 1)),
    payload: fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc
        .constantFrom(HEAD_JSON, OPEN_JSON, "{}", "", "\0\0\0\0\0\0\0\u0009", '{"type":"update"}')
        .map((text) => Buffer.from(text)),
    ),
  })
  .map(({ type, flags, streamId, payload }) => encodeFrame(type, flags, streamId, payload));

for (const role of ["hub", "worker"] as const) {
  test(`whatever frames a ${role} gets, it lives on or ends with a clean protocol error`, () => {
    const input = fc.oneof(
      {
        weight: 9,
        arbitrary: fc.array(frameBytes, { maxLength: 25 }).map((frames) => frames.map((f) => Buffer.from(f))),
      },
      fc.array(
        fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
        { maxLength: 5 },
      ),
    );
    const codes = new Set<string>();
    fc.assert(
      fc.property(input, (messages) => {
        const bench = new Bench(role);
        if (role === "hub") {
          for (let count = 0; count < 3; count++) bench.mux.open(OPENING).write(Buffer.from("x"));
          bench.flush();
        }
        for (const message of messages) bench.giveRaw(message);
        const { ended } = bench.mux;
        codes.add(ended?.code ?? "alive");
        assert.ok(
          ended === undefined || ["protocol", "abuse", "unsupported", "flow-control"].includes(ended.code),
          ended?.message,
        );
        assert.ok(bench.mux.streams.size <= 256);
        assert.equal(ended === undefined, bench.goawayCode === undefined);
      }),
      { numRuns: 1500 },
    );
    assert.ok(codes.has("alive") && codes.has("protocol") && codes.has("unsupported"), [...codes].join());
  });
}
