import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { bytesField, fieldOf, LineReader, parseLine } from "./json-lines.ts";

function linesOf(chunks: readonly Buffer[], maxBytes: number): string[] {
  const reader = new LineReader(maxBytes);
  const lines: string[] = [];
  for (const chunk of chunks) reader.push(chunk, (line) => lines.push(line.toString()));
  return lines;
}

test("lines come whole however the bytes are cut, blank ones not at all", () => {
  const bytes = Buffer.from('{"a":"é\\u003c"}\n\n  \r\n{"b":1}\r\n{"half":');
  fc.assert(
    fc.property(fc.array(fc.nat(bytes.length)), (cuts) => {
      let at = 0;
      const chunks = [...cuts.toSorted((a, b) => a - b), bytes.length].map((cut) => bytes.subarray(at, (at = cut)));
      assert.deepEqual(linesOf(chunks, 100), ['{"a":"é\\u003c"}', '{"b":1}\r']);
    }),
  );
});

test("a line of exactly the limit is read, one byte more is refused", () => {
  const line = "x".repeat(64);

  assert.equal(linesOf([Buffer.from(line), Buffer.from("\n")], 64).length, 1);
  assert.equal(linesOf([Buffer.from(`${line}\n`)], 64).length, 1);
  assert.throws(() => linesOf([Buffer.from(line), Buffer.from("x")], 64), { code: "too-large" });
  assert.throws(() => linesOf([Buffer.from(`${line}x\n`)], 64), { code: "too-large" });
});

test("a line that comes byte by byte is stored in at most twice its own size", () => {
  const reader = new LineReader(1024 * 1024);
  for (let count = 0; count < 100_000; count++) reader.push(Buffer.from("x"), () => {});

  assert.ok(reader.heldBytes >= 100_000 && reader.heldBytes <= 200_000, `${reader.heldBytes}`);
});

test("a reader that is closed in the middle of a chunk tells no further line", () => {
  const reader = new LineReader(100);
  const lines: string[] = [];
  reader.push(Buffer.from("1\n2\n3"), (line) => {
    lines.push(line.toString());
    reader.close();
  });
  reader.push(Buffer.from("\n4\n"), (line) => lines.push(line.toString()));

  assert.deepEqual(lines, ["1"]);
  assert.equal(reader.heldBytes, 0);
});

test("keys are read without regard to case, an exact one first", () => {
  assert.equal(fieldOf({ Request_ID: "a" }, "request_id"), "a");
  assert.equal(fieldOf({ REQUEST_ID: "a", request_id: "b" }, "request_id"), "b");
  assert.equal(fieldOf({}, "constructor"), undefined);
});

test("what is no JSON object is a protocol error", () => {
  for (const text of ["[]", "1", "null", "{", "x"]) {
    assert.throws(() => parseLine(Buffer.from(text)), { code: "protocol" }, text);
  }
});

test("base64 is read with its padding, and nothing else passes for it", () => {
  assert.equal(bytesField({ body: "aGk=" }, "body")?.toString(), "hi");
  assert.equal(bytesField({ body: "" }, "body"), undefined);
  assert.equal(bytesField({}, "body"), undefined);
  for (const body of ["aGk", "a*k=", "aG k", 7])
    assert.throws(() => bytesField({ body }, "body"), { code: "protocol" });
});
