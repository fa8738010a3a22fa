import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { MultipartModelFilter, multipartBoundary } from "./multipart-model.ts";

function rewritten(boundary: string, chunks: readonly Uint8Array[], whenMissing?: string): Buffer {
  const filter = new MultipartModelFilter(boundary, { upstreamOf: () => "inner", whenMissing });
  const out = Buffer.concat([...chunks.flatMap((chunk) => filter.push(chunk)), ...filter.finish()]);
  assert.equal(filter.growth, out.length - Buffer.concat(chunks).length);
  return out;
}

function part(headers: string, content: string): string {
  return `--b\r\nContent-Disposition: form-data; ${headers}\r\n\r\n${content}\r\n`;
}

const FILE = part('name="file"; filename="model"', 'binary --b \r\n-- "model"');

test("only the field named model changes", () => {
  const body = (name: string): string =>
    `${FILE}${part('name="model"', name)}${part('name="modelx"', "outer")}--b--\r\n`;

  assert.equal(rewritten("b", [Buffer.from(body("outer"))]).toString(), body("inner"));
});

test("the field is known in every spelling, and each one is replaced", () => {
  const body = `${part("name=model", "a")}${part('NAME="Model"', "b")}${part('name="mo\\del"', "c")}--b--`;

  assert.equal(
    rewritten("b", [Buffer.from(body)])
      .toString()
      .match(/inner/g)?.length,
    3,
  );
});

test("a missing field is added before the closing delimiter when the model is mapped", () => {
  const body = `${FILE}--b--\r\n`;

  assert.equal(
    rewritten("b", [Buffer.from(body)], "inner").toString(),
    `${FILE.slice(0, -2)}\r\n${part('name="model"', "inner")}--b--\r\n`,
  );
  assert.equal(rewritten("b", [Buffer.from("--b--")], "inner").toString(), `${part('name="model"', "inner")}--b--`);
  assert.equal(rewritten("b", [Buffer.from(body)]).toString(), body);
});

for (const [why, body] of [
  ["it is cut", FILE],
  ["a delimiter has company on its line", "--b hello\r\n\r\n--b--"],
  ["a field is named in the extended way", `${part("name*=utf-8''model", "x")}--b--`],
  ["a name is endless", `${part('name="model"', "x".repeat(5000))}--b--`],
  ["content starts like a delimiter", `--b\r\n\r\n${part('name="model"', "x")}--b--`],
  ["headers are endless", `--b\r\nX: ${"x".repeat(17_000)}`],
] as const) {
  test(`a multipart body is refused when ${why}`, () => {
    assert.throws(() => rewritten("b", [Buffer.from(body)]), { name: "BodyProblem" });
  });
}

test("the boundary is read from the content type, quoted or not", () => {
  assert.equal(multipartBoundary('multipart/form-data; charset=utf-8; boundary="a b"'), "a b");
  assert.equal(multipartBoundary("Multipart/Form-Data;boundary=--x"), "--x");
  assert.equal(multipartBoundary("multipart/mixed; boundary=x"), undefined);
  assert.equal(multipartBoundary("multipart/form-data"), undefined);
});

test("any split of any file gives the same bytes", () => {
  const pieces = fc.constantFrom("\r\n", "--b", "--", "b", "x", "\n", "\r");
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 20 }), fc.integer({ min: 1, max: 12 }), (content, size) => {
      const file = content.join("");
      fc.pre(!`\r\n${file}`.includes("\r\n--b"));
      const form = (name: string): Buffer =>
        Buffer.from(`${part('name="f"', file)}${part('name="model"', name)}${part('name="g"', "")}--b--\r\ntail`);
      const bytes = form("outer");
      const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
        bytes.subarray(at * size, (at + 1) * size),
      );

      assert.equal(rewritten("b", chunks).toString(), form("inner").toString());
    }),
    { numRuns: 400 },
  );
});
