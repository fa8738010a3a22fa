import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { TunnelError } from "../tunnel-error.ts";
import { encodeGoaway, encodePing, encodeReset, encodeStop } from "./control-frame.ts";
import { decodeGoaway, decodeReset } from "./control-frame.ts";
import { encodeFrame, FLAG, FRAME, FrameCursor, writeCredit } from "./frame.ts";
import { encodeOpening, encodeResponseHead, encodeTrailers } from "./head-codec.ts";
import { decodeHubMessage, encodeHello, encodeHubMessage, encodeWorkerMessage } from "./session-message.ts";

// The bytes of docs/protocol.md. A worker in another language is tested against the same ones.

test("HELLO is type 1 on stream 0 with a JSON object", () => {
  const hello = encodeHello({ role: "worker", software: "w/1", initialWindowBytes: 262_144, maxStreams: 256 }, "g-1");

  assert.equal(hello.toString(), '{"v":2,"role":"worker","sw":"w/1","win":262144,"streams":256,"caps":["g-1"]}');
  assert.equal(encodeFrame(FRAME.hello, 0, 0, hello).toString("hex").slice(0, 16), "0100004c00000000");
});

test("OPEN is type 2 with the request's head as JSON", () => {
  const json = encodeOpening({
    requestId: "r1",
    target: "t",
    method: "GET",
    path: "/v1/models",
    query: "",
    headers: [["accept", "*/*"]],
    priority: "interactive",
  });

  assert.equal(json, '{"k":"http","id":"r1","t":"t","m":"GET","p":"/v1/models","q":"","h":[["accept","*/*"]],"cls":1}');
  const frame = encodeFrame(FRAME.open, FLAG.end, 2, Buffer.from(json));
  assert.equal(frame.toString("hex").slice(0, 16), "0201005f00000002");
});

test("HEAD is type 3 with status and headers as JSON", () => {
  const json = encodeResponseHead({ status: 200, headers: [["content-type", "text/plain"]] });

  assert.equal(json, '{"s":200,"h":[["content-type","text/plain"]]}');
  assert.equal(encodeFrame(FRAME.head, 0, 2, Buffer.from(json)).toString("hex").slice(0, 16), "0300002d00000002");
});

test("DATA is type 4: eight header bytes and the payload, END is flag 1", () => {
  assert.equal(encodeFrame(FRAME.data, FLAG.end, 2, Buffer.from("hi")).toString("hex"), "0401000200000002" + "6869");
});

test("TRAILERS is type 5 with a JSON object", () => {
  const frame = encodeFrame(FRAME.trailers, FLAG.end, 2, Buffer.from(encodeTrailers({ a: 1 })));

  assert.equal(frame.toString("hex"), "0501000700000002" + "7b2261223a317d");
});

test("CREDIT is type 6 with an absolute u64 offset", () => {
  const frame = Buffer.alloc(16);

  assert.equal(writeCredit(frame, 0, 4, 2 ** 32 + 5), 16);

  assert.equal(frame.toString("hex"), "0600000800000004" + "0000000100000005");
});

test("RESET is type 7 with code, bits and text", () => {
  const frame = encodeReset(2, "refused", { retrySafe: true, message: "busy" });

  assert.equal(frame.toString("hex"), "0700000800000002" + "00020100" + "62757379");
});

test("STOP is type 8 with a code", () => {
  assert.equal(encodeStop(2, "too-large").toString("hex"), "0800000200000002" + "0008");
});

test("PING is type 9 with eight bytes, its answer has flag 8", () => {
  const payload = Buffer.from("0000000000000007", "hex");

  assert.equal(encodePing(payload, { isAnswer: false }).toString("hex"), "0900000800000000" + "0000000000000007");
  assert.equal(encodePing(payload, { isAnswer: true }).toString("hex"), "0908000800000000" + "0000000000000007");
});

test("GOAWAY is type 10 with last id, code, grace, reconnect delay and text", () => {
  const frame = encodeGoaway({ lastId: 6, code: "shutdown", graceMs: 30_000, reconnectAfterMs: 250, message: "bye" });

  assert.equal(
    frame.toString("hex"),
    "0a00001300000000" + "00000006" + "00160000" + "00007530" + "000000fa" + "627965",
  );
});

test("CONTROL is type 11 with one JSON object", () => {
  const registration = { workerId: "pc", instanceId: "i", slot: 0, software: "w/1", details: {} };

  assert.equal(
    encodeWorkerMessage({ type: "register", registration }).toString(),
    '{"type":"register","workerId":"pc","instanceId":"i","slot":0,"software":"w/1","details":{}}',
  );
  assert.equal(
    encodeWorkerMessage({ type: "update", details: { a: 1 } }).toString(),
    '{"type":"update","details":{"a":1}}',
  );
  assert.equal(
    encodeHubMessage({ type: "registered", sessionId: "s", generation: 3 }).toString(),
    '{"type":"registered","session":"s","generation":3}',
  );
  assert.equal(encodeHubMessage({ type: "move", afterMs: 40 }).toString(), '{"type":"move","afterMs":40}');
  assert.equal(
    encodeHubMessage({ type: "notice", details: { a: 1 } }).toString(),
    '{"type":"notice","details":{"a":1}}',
  );
  assert.equal(
    encodeHubMessage({ type: "refused", code: "name-taken", message: "no", isFatal: true }).toString(),
    '{"type":"refused","code":"name-taken","message":"no","fatal":true}',
  );
});

test("a worker passes over messages of a hub that it does not know", () => {
  assert.equal(decodeHubMessage(Buffer.from('{"type":"later","details":{"a":1}}')), undefined);
  assert.deepEqual(decodeHubMessage(Buffer.from('{"type":"notice","details":{"a":1},"later":2}')), {
    type: "notice",
    details: { a: 1 },
  });
});

interface Read {
  type: number;
  flags: number;
  streamId: number;
  payload: string;
}

function readAll(message: Buffer): Read[] {
  const cursor = new FrameCursor();
  const frames: Read[] = [];
  cursor.open(message);
  while (cursor.next()) {
    const { type, flags, streamId } = cursor;
    frames.push({ type, flags, streamId, payload: cursor.payload().toString("hex") });
  }
  return frames;
}

const anyFrame = fc.record({
  type: fc.integer({ min: 0, max: 255 }),
  flags: fc.integer({ min: 0, max: 255 }),
  streamId: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  payload: fc.uint8Array({ maxLength: 300 }),
});

test("any frames, any number of them in a message, are read as they were written", () => {
  fc.assert(
    fc.property(fc.array(anyFrame, { maxLength: 20 }), (frames) => {
      const message = Buffer.concat(
        frames.map(({ type, flags, streamId, payload }) => encodeFrame(type, flags, streamId, payload)),
      );
      assert.deepEqual(
        readAll(message),
        frames.map((frame) => ({ ...frame, payload: Buffer.from(frame.payload).toString("hex") })),
      );
    }),
  );
});

test("a message that is cut anywhere inside a frame is a protocol error", () => {
  fc.assert(
    fc.property(fc.array(anyFrame, { minLength: 1, maxLength: 4 }), fc.nat(), (frames, seed) => {
      const encoded = frames.map((frame) => encodeFrame(frame.type, frame.flags, frame.streamId, frame.payload));
      const message = Buffer.concat(encoded);
      const cut = seed % message.length;
      const borders = encoded.map((_, index) => Buffer.concat(encoded.slice(0, index)).length);
      if (borders.includes(cut)) {
        readAll(message.subarray(0, cut));
        return;
      }
      assert.throws(
        () => readAll(message.subarray(0, cut)),
        (error) => error instanceof TunnelError && error.code === "protocol",
      );
    }),
  );
});

test("RESET and GOAWAY survive a round trip, and long texts are cut between characters", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", maxLength: 400 }), fc.boolean(), (message, retrySafe) => {
      const cursor = new FrameCursor();
      cursor.open(encodeReset(9, "target-reset", { message, retrySafe }));
      assert.ok(cursor.next());
      const error = decodeReset(cursor);
      assert.equal(error.code, "target-reset");
      assert.equal(error.retrySafe, retrySafe);
      assert.ok(Buffer.byteLength(error.message) <= 256 + "target-reset: ".length);
      assert.ok(`target-reset: ${message}`.startsWith(error.message) || !message.isWellFormed());
    }),
  );
  const goaway = { lastId: 4, code: "superseded" as const, graceMs: 5000, reconnectAfterMs: 1, message: "a" };
  const cursor = new FrameCursor();
  cursor.open(encodeGoaway(goaway));
  assert.ok(cursor.next());
  assert.deepEqual(decodeGoaway(cursor), goaway);
});
