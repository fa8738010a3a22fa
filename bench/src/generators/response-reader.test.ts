import assert from "node:assert/strict";
import { test } from "node:test";

import { ResponseReader } from "./response-reader.ts";

const RESPONSES =
  "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello" +
  "HTTP/1.1 404 Not Found\r\ncontent-length:0\r\n\r\n" +
  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
  "6\r\ndata: \r\n1A;extension=1\r\n0123456789abcdef0123456789\r\n0\r\nTrailer: x\r\n\r\n" +
  "HTTP/1.1 503 Down\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n";

const READ = [
  "200",
  "hello",
  "end",
  "404",
  "end",
  "200",
  "data: 0123456789abcdef0123456789",
  "end",
  "503",
  "no",
  "end",
];

test("responses with a length and with chunks follow each other on a connection", () => {
  assert.deepEqual(readIn(RESPONSES.length), READ);
});

test("responses that come byte by byte are read alike", () => {
  assert.deepEqual(readIn(1), READ);
  assert.deepEqual(readIn(7), READ);
});

test("what is no HTTP/1.1 response, or has no known end, is an error", () => {
  const reader = () => new ResponseReader({ head() {}, body() {}, end() {} });

  assert.throws(() => reader().read(Buffer.from("SSH-2.0-x\r\n\r\n")), /Not an HTTP/);
  assert.throws(() => reader().read(Buffer.from("HTTP/1.1 200 OK\r\n\r\n")), /without length/);
  assert.throws(() => reader().read(Buffer.alloc(70_000, "x")), /does not end/);
});

/** What a reader tells of RESPONSES when it gets them in pieces of `size` bytes; neighbouring body pieces joined. */
function readIn(size: number): string[] {
  const told: string[] = [];
  let text = "";
  const reader = new ResponseReader({
    head: (status) => told.push(String(status)),
    body: (bytes, start, end) => (text += bytes.toString("latin1", start, end)),
    end() {
      if (text !== "") told.push(text);
      text = "";
      told.push("end");
    },
  });
  for (let at = 0; at < RESPONSES.length; at += size) reader.read(Buffer.from(RESPONSES.slice(at, at + size)));
  return told;
}
