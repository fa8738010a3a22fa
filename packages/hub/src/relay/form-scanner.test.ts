import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { boundaryOf, FormScanner, MULTIPART_LIMITS, MultipartError } from "./form-scanner.ts";

const NAMES = new Set(["model", "stream"]);

function part(name: string, value: string, more = ""): string {
  return `--b\r\nContent-Disposition: form-data; name="${name}"${more}\r\n\r\n${value}\r\n`;
}

function scan(form: string, cuts: readonly number[] = []): FormScanner {
  const scanner = new FormScanner("b", NAMES);
  const bytes = Buffer.from(form);
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length];
  for (let i = 1; i < places.length; i += 1) scanner.push(bytes.subarray(places[i - 1], places[i]));
  scanner.finish();
  return scanner;
}

test("wanted fields are found before and behind a file, however the form is cut", () => {
  const file = part("file", "--not-b\r\n--\r\nmodel\r\n\r\n", '; filename="a.wav"\r\nContent-Type: audio/wav');
  const form = `${part("stream", "true")}${file}${part("prompt", "hm")}${part("model", "größer/m")}--b--\r\n`;
  fc.assert(
    fc.property(fc.array(fc.nat(), { maxLength: 12 }), (cuts) => {
      assert.deepEqual(
        [...scan(form, cuts).fields],
        [
          ["stream", "true"],
          ["model", "größer/m"],
        ],
      );
    }),
  );
});

test("a form byte by byte is the same form", () => {
  const form = `${part("file", "x".repeat(100))}${part("model", "m")}--b--`;
  const scanner = new FormScanner("b", NAMES);

  for (const byte of Buffer.from(form)) scanner.push(Uint8Array.of(byte));

  assert.equal(scanner.fields.get("model"), "m");
});

test("an empty field is empty, with and without a line end of its own", () => {
  assert.equal(scan(`${part("model", "")}--b--`).fields.get("model"), "");
  assert.equal(scan('--b\r\ncontent-disposition: form-data; name="model"\r\n\r\n--b--').fields.get("model"), "");
});

test("a field that is not whole yet is not given", () => {
  const scanner = new FormScanner("b", NAMES);

  scanner.push(Buffer.from('--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nhalf'));

  assert.equal(scanner.fields.size, 0);
});

test("what stands behind the end is not looked at", () => {
  assert.equal(scan(`--b--\r\n${part("model", "m")}`).fields.size, 0);
});

test("what is no form, has a field twice or too much of anything is refused", () => {
  const { maxParts, maxPartHeadBytes, maxFieldBytes } = MULTIPART_LIMITS;
  const many = (count: number): string => `${part("n", "").repeat(count)}--b--`;
  assert.throws(() => scan("{}"), MultipartError);
  assert.throws(() => scan("x".repeat(maxPartHeadBytes + 1)), /does not start with the boundary/);
  assert.throws(() => scan(`${part("model", "a")}${part("model", "b")}--b--`), /twice/);
  assert.doesNotThrow(() => scan(many(maxParts)));
  assert.throws(() => scan(many(maxParts + 1)), /more than 100 parts/);
  assert.equal(scan(`${part("model", "m".repeat(maxFieldBytes))}--b--`).fields.get("model")?.length, maxFieldBytes);
  assert.throws(() => scan(`${part("model", "m".repeat(maxFieldBytes + 1))}--b--`), /too long/);
  assert.throws(() => scan(`--b\r\n${"x".repeat(maxPartHeadBytes + 1)}`), /head is too long/);
});

test("a boundary is read with and without quotes", () => {
  assert.equal(boundaryOf('multipart/form-data; boundary="a b"'), "a b");
  assert.equal(boundaryOf("multipart/form-data; charset=x; boundary=ab"), "ab");
  assert.equal(boundaryOf("multipart/form-data"), undefined);
});
