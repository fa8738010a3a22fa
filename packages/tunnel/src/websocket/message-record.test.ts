import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import {
  closeReason,
  encodeClose,
  encodeMessage,
  type MessageRecord,
  RecordReader,
  WEBSOCKET_LIMITS,
} from "./message-record.ts";

const MESSAGES = fc.array(fc.record({ data: fc.uint8Array({ maxLength: 300 }), isText: fc.boolean() }), {
  maxLength: 20,
});
const CODES = fc.oneof(
  fc.constant(undefined),
  fc.constantFrom(1000, 1001, 1003, 1008, 1011, 1014),
  fc.integer({ min: 3000, max: 4999 }),
);

/** `bytes` in pieces of the given lengths, in turn. */
function cut(bytes: Buffer, lengths: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const length = lengths[turn % lengths.length] ?? 1;
    pieces.push(bytes.subarray(at, at + length));
    at += length;
  }
  return pieces;
}

function plain(record: MessageRecord): unknown {
  return record.is === "close" ? record : { ...record, data: Buffer.from(record.data).toString("hex") };
}

test("messages and their close come out as they went in, however the bytes are cut", () => {
  const lengths = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 10 });
  fc.assert(
    fc.property(MESSAGES, CODES, fc.string({ maxLength: 40 }), lengths, (messages, code, text, pieces) => {
      const reason = code === undefined ? "" : closeReason(text.toWellFormed());
      const sent: MessageRecord[] = messages.map((message) => ({ is: "message", ...message }));
      sent.push({ is: "close", close: { code, reason } });
      const bytes = Buffer.concat(
        sent.map((each) => (each.is === "close" ? encodeClose(each.close) : encodeMessage(each.data, each.isText))),
      );

      const reader = new RecordReader();
      const read = cut(bytes, pieces).flatMap((piece) => [...reader.push(piece)]);

      assert.deepEqual(read.map(plain), sent.map(plain));
      assert.equal(reader.isBetweenRecords, true);
    }),
  );
});

test("the bytes of a record are its kind, its length and its payload", () => {
  assert.equal(encodeMessage(Buffer.from("hi"), true).toString("hex"), "01000000026869");
  assert.equal(encodeMessage(Buffer.from([0, 255]), false).toString("hex"), "020000000200ff");
  assert.equal(encodeMessage(Buffer.alloc(0), true).toString("hex"), "0100000000");
  assert.equal(encodeClose({ code: 1001, reason: "bye" }).toString("hex"), "080000000503e9627965");
  assert.equal(encodeClose({ code: undefined, reason: "" }).toString("hex"), "0800000000");
});

test("a message that is cut is not a message", () => {
  const reader = new RecordReader();

  assert.deepEqual([...reader.push(encodeMessage(Buffer.from("hello"), true).subarray(0, 9))], []);

  assert.equal(reader.isBetweenRecords, false);
});

test("a message over the limit is refused by its length alone, and so is a longer close", () => {
  const header = Buffer.from("0200000000", "hex");
  header.writeUInt32BE(WEBSOCKET_LIMITS.maxMessageBytes + 1, 1);

  assert.throws(() => [...new RecordReader().push(header)], { code: "too-large" });
  assert.throws(() => [...new RecordReader().push(Buffer.from("080000007e", "hex"))], { code: "too-large" });
  assert.throws(() => encodeMessage(Buffer.alloc(WEBSOCKET_LIMITS.maxMessageBytes + 1), false), { code: "too-large" });
});

test("the longest message passes, and its announced length alone takes no memory", () => {
  const data = Buffer.alloc(WEBSOCKET_LIMITS.maxMessageBytes, 7);
  const bytes = encodeMessage(data, false);

  const reader = new RecordReader();
  const before = process.memoryUsage().arrayBuffers;
  assert.deepEqual([...reader.push(bytes.subarray(0, 100))], []);
  const grown = process.memoryUsage().arrayBuffers - before;
  const [record] = cut(bytes.subarray(100), [65_535]).flatMap((piece) => [...reader.push(piece)]);

  assert.ok(grown < 1024 * 1024, `${grown} bytes`);
  assert.ok(record?.is === "message" && data.equals(record.data));
});

for (const [what, hex] of [
  ["an unknown kind", "0300000000"],
  ["a close with half a code", "080000000103"],
  ["a close with a code that stands for none", "080000000203ee"],
  ["a close with a code below 1000", "080000000203e7"],
  ["a message behind a close", "08000000000100000000"],
] as const) {
  test(`${what} breaks the protocol`, () => {
    assert.throws(() => [...new RecordReader().push(Buffer.from(hex, "hex"))], { code: "protocol" });
  });
}

test("a reason is cut between characters so that a close frame can carry it", () => {
  assert.equal(closeReason("é".repeat(100)), "é".repeat(61));
  assert.equal(closeReason("a".repeat(123)), "a".repeat(123));
  assert.equal(closeReason("a".repeat(122) + "€"), "a".repeat(122));
});

test("a code that no close frame may carry is left out", () => {
  for (const code of [999, 1004, 1005, 1006, 1015, 2999, 5000]) {
    assert.equal(encodeClose({ code, reason: "x" }).toString("hex"), "0800000000");
  }
});
