import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { JsonModelFilter } from "./json-model.ts";

function rewritten(chunks: readonly (string | Uint8Array)[], upstream = "inner", whenMissing?: string): string {
  const filter = new JsonModelFilter({ upstreamOf: () => upstream, whenMissing });
  const out = [...chunks.flatMap((chunk) => filter.push(Buffer.from(chunk))), ...filter.finish()];
  const text = Buffer.concat(out).toString();
  const before = chunks.reduce((sum, chunk) => sum + Buffer.byteLength(chunk), 0);
  assert.equal(filter.growth, Buffer.byteLength(text) - before);
  return text;
}

test("only the name's bytes change, wherever it stands", () => {
  const body = '\n{ "a": [1, {"model": "no"}], "s": "\\"model\\": \\"no\\"", "model" :\t"outer" , "z": 1.0e5 }\n';

  assert.equal(rewritten([body]), body.replace('"outer"', '"inner"'));
});

test("each spelling of a second model key is replaced, as some parser would take it", () => {
  assert.equal(
    rewritten(['{"model":"a","Model":"b","mod\\u0065l":"c","x":{},"model":"d"}']),
    '{"model":"inner","Model":"inner","mod\\u0065l":"inner","x":{},"model":"inner"}',
  );
});

test("a body that names the engine's own model passes byte for byte, escapes included", () => {
  const body = '{"model":"inn\\u0065r","temperature":1.00}';

  assert.equal(rewritten([body]), body);
});

test("a body without a model gets one only when it is mapped", () => {
  assert.equal(rewritten(['{"a":1 }'], "inner", "inner"), '{"a":1 ,"model":"inner"}');
  assert.equal(rewritten(["{}"], "inner", "inner"), '{"model":"inner"}');
  assert.equal(rewritten(["{}"]), "{}");
});

test("a model that is not a string stays for the engine to refuse", () => {
  for (const body of ['{"model":null}', '{"model":{"model":"x"}}', '{"model":["x"],"a":"b"}', '{"model":1}']) {
    assert.equal(rewritten([body]), body);
  }
});

test("a name is written as JSON, so that it cannot add a key", () => {
  assert.equal(rewritten(['{"model":"a"}'], 'x","stream":"'), '{"model":"x\\",\\"stream\\":\\""}');
});

for (const body of [
  "",
  "[]",
  '"model"',
  "{",
  '{"model"',
  '{"model":"a"',
  '{"a" 1}',
  "{1:2}",
  '{"a":,}',
  '{"a":}',
  '{"a":"b""model":"c"}',
  '{"a":1"model":"c"}',
  '{"a":1 {"model":"c"}}',
  '{"model":"\\q"}',
]) {
  test(`a body that some parser could read otherwise is refused: ${body}`, () => {
    assert.throws(() => rewritten([body]), { name: "BodyProblem" });
  });
}

test("UTF-16, which Python reads as JSON too, is refused", () => {
  assert.throws(() => rewritten([Buffer.from('{"model":"hidden"}', "utf16le")]), { name: "BodyProblem" });
});

test("a name of 4 KiB is read, a longer one is refused", () => {
  assert.equal(rewritten([`{"model":"${"n".repeat(4096)}"}`]), '{"model":"inner"}');
  assert.throws(() => rewritten([`{"model":"${"n".repeat(4097)}"}`]), { name: "BodyProblem" });
});

const anyObject = fc.dictionary(fc.oneof(fc.constantFrom("model", "messages"), fc.string()), fc.jsonValue(), {
  maxKeys: 6,
});

test("any JSON object split anywhere parses to the same value with the new name", () => {
  fc.assert(
    fc.property(anyObject, fc.string(), fc.integer({ min: 1, max: 9 }), fc.nat(2), (value, name, size, indent) => {
      const bytes = Buffer.from(JSON.stringify(value, undefined, indent));
      const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
        bytes.subarray(at * size, (at + 1) * size),
      );

      const after: unknown = JSON.parse(rewritten(chunks, name));

      const expected = Object.fromEntries(
        Object.entries(value).map(([key, item]) =>
          key.toLowerCase() === "model" && typeof item === "string" ? [key, name] : [key, item],
        ),
      );
      assert.deepEqual(after, JSON.parse(JSON.stringify(expected)));
    }),
    { numRuns: 400 },
  );
});
