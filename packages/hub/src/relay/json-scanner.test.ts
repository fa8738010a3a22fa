import assert from "node:assert/strict";
import { test } from "node:test";

import * as fc from "fast-check";

import { JsonScanner, JsonSyntaxError, MAX_FIELD_BYTES, MAX_JSON_DEPTH } from "./json-scanner.ts";

const WATCHED = new Set(["model", "stream"]);

function scan(chunks: readonly Uint8Array[]): Record<string, unknown> {
  const scanner = new JsonScanner(WATCHED);
  for (const chunk of chunks) scanner.push(chunk);
  return Object.fromEntries([...scanner.finish()].map(([name, field]) => [name, JSON.parse(field.text)]));
}

function scanText(text: string): Record<string, unknown> {
  return scan([Buffer.from(text)]);
}

/** `bytes` cut at the given places. */
function split(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length];
  return places.slice(1).map((end, index) => bytes.subarray(places[index], end));
}

test("the watched fields are found wherever they stand, with their place in bytes", () => {
  const text = '{ "messages":[{"model":"no"}], "model" : "llama3:8b","stream":true }';
  const scanner = new JsonScanner(WATCHED);

  scanner.push(Buffer.from(text));

  assert.deepEqual(
    [...scanner.finish()],
    [
      ["model", { start: 41, end: 52, text: '"llama3:8b"' }],
      ["stream", { start: 62, end: 66, text: "true" }],
    ],
  );
  assert.equal(scanner.insertAt, 1);
});

test("a field's name may be written with escapes, its value with any character", () => {
  assert.deepEqual(scanText('{"mod\\u0065l":"m\\u00fcller/ü"}'), { model: "müller/ü" });
});

test("any object, split anywhere, gives the same fields as JSON.parse", () => {
  const values = fc.record(
    { model: fc.jsonValue(), stream: fc.jsonValue(), other: fc.jsonValue(), a: fc.jsonValue() },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(values, fc.array(fc.nat()), fc.constantFrom(0, 2), (value, cuts, indent) => {
      const text = JSON.stringify(value, null, indent);
      const { model, stream } = JSON.parse(text) as { model?: unknown; stream?: unknown };

      const found = scan(split(Buffer.from(text), cuts));

      assert.deepEqual(found, { ...("model" in value && { model }), ...("stream" in value && { stream }) });
    }),
  );
});

test("what JSON.parse takes and refuses, the scanner takes and refuses", () => {
  const damage = fc.record({
    at: fc.nat(),
    remove: fc.nat(3),
    insert: fc.constantFrom("", ...Array.from('{}[]",:-+.eE01tfn\\u \n\u0001x')),
  });
  fc.assert(
    fc.property(
      fc.dictionary(fc.constantFrom("model", "b"), fc.jsonValue()),
      fc.array(damage, { maxLength: 3 }),
      fc.array(fc.nat()),
      (value, damages, cuts) => {
        let text = JSON.stringify(value);
        for (const { at, remove, insert } of damages) {
          const place = at % (text.length + 1);
          text = text.slice(0, place) + insert + text.slice(place + remove);
        }
        fc.pre(!hasTwice(text));

        assert.equal(
          isTaken(() => scan(split(Buffer.from(text), cuts))),
          isTaken(() => asObject(text)),
          text,
        );
      },
    ),
    { numRuns: 2_000 },
  );
});

test("numbers follow the grammar of RFC 8259", () => {
  for (const good of ["0", "-0", "10", "1.5", "1e5", "1E+5", "-1.25e-10", "1e309"]) {
    assert.deepEqual(scanText(`{"a":${good}}`), {});
  }
  for (const bad of ["01", "+1", "1.", ".5", "1e", "1e+", "-", "0x1", "1_0", "NaN", "Infinity"]) {
    assert.throws(() => scanText(`{"a":${bad}}`), JsonSyntaxError, bad);
  }
});

test("a truncated body, one with something behind it, and one that is no object say what is wrong", () => {
  assert.throws(() => scanText(""), /it is empty/);
  assert.throws(() => scanText('{"model":"a"'), /ends too early, after 12 bytes/);
  assert.throws(() => scanText('{"model":"a"} x'), /unexpected character at byte 14/);
  assert.throws(() => scanText('["model"]'), /must be an object/);
});

test("a watched field that is there twice is refused, as two parsers would pick different ones", () => {
  assert.throws(() => scanText('{"model":"a","model":"b"}'), /"model" twice/);
  assert.deepEqual(scanText('{"other":1,"other":2}'), {});
});

test("nesting is allowed up to the limit and refused one past it", () => {
  const nested = (depth: number): string => `{"a":${"[".repeat(depth - 1)}${"]".repeat(depth - 1)}}`;

  assert.deepEqual(scanText(nested(MAX_JSON_DEPTH)), {});
  assert.throws(() => scanText(nested(MAX_JSON_DEPTH + 1)), /nested more than 512 deep/);
});

test("a watched value is kept up to the limit and refused one past it, also when it comes in pieces", () => {
  const body = (bytes: number): Buffer => Buffer.from(`{"model":"${"x".repeat(bytes - 2)}"}`);

  assert.equal(scan(split(body(MAX_FIELD_BYTES), [5_000, 10_000]))["model"], "x".repeat(MAX_FIELD_BYTES - 2));
  assert.throws(() => scan(split(body(MAX_FIELD_BYTES + 1), [5_000, 10_000])), /too long/);
});

function asObject(text: string): unknown {
  const value: unknown = JSON.parse(text);
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new SyntaxError("no object");
  return value;
}

function isTaken(read: () => unknown): boolean {
  try {
    read();
    return true;
  } catch (thrown) {
    if (thrown instanceof SyntaxError || thrown instanceof JsonSyntaxError) return false;
    throw thrown;
  }
}

/** Whether damage made a watched key stand there twice, which the scanner refuses on purpose. */
function hasTwice(text: string): boolean {
  return text.split('"model"').length > 2;
}
