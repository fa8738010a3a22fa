import assert from "node:assert/strict";
import { test } from "node:test";

import { chatBody, HttpExchange } from "../http-exchange.ts";
import { RawConnection } from "../raw-connection.ts";
import { System } from "../system.ts";
import { assertWholeStream, openStreams } from "./endings.ts";

const FIN = 0x80;
const OPCODE = { continuation: 0, text: 1, binary: 2, reserved: 3, close: 8, ping: 9 } as const;

/** A WebSocket frame of a client (RFC 6455 §5.2), its mask all zero. */
function frame(first: number, payload: Uint8Array, options: { mask?: boolean } = {}): Buffer {
  const mask = options.mask === false ? 0 : 0x80;
  const length = Buffer.alloc(payload.length < 126 ? 1 : 3);
  if (payload.length < 126) length[0] = mask | payload.length;
  else {
    length[0] = mask | 126;
    length.writeUInt16BE(payload.length, 1);
  }
  return Buffer.concat([Buffer.from([first]), length, Buffer.alloc(mask === 0 ? 0 : 4), payload]);
}

/** The head of a binary frame that announces a length of 64 bits. */
function hugeFrame(length: bigint): Buffer {
  const head = Buffer.alloc(14);
  head[0] = FIN | OPCODE.binary;
  head[1] = 0x80 | 127;
  head.writeBigUInt64BE(length, 2);
  return head;
}

const CASES: readonly (readonly [what: string, bytes: Buffer, codes: readonly number[]])[] = [
  ["a message of a mebibyte and one byte", hugeFrame(1024n * 1024n + 1n), [1009]],
  ["a length of 2^62", hugeFrame(2n ** 62n), [1009]],
  ["a length of 2^63", hugeFrame(2n ** 63n), [1002, 1009]],
  ["a text message", frame(FIN | OPCODE.text, Buffer.from("hello")), [1003]],
  ["a reserved bit", frame(FIN | 0x40 | OPCODE.binary, Buffer.from("x")), [1002]],
  ["a reserved kind of frame", frame(FIN | OPCODE.reserved, Buffer.from("x")), [1002]],
  ["a frame without a mask", frame(FIN | OPCODE.binary, Buffer.from("x"), { mask: false }), [1002]],
  ["a continuation of nothing", frame(FIN | OPCODE.continuation, Buffer.from("x")), [1002]],
  ["a ping of 200 bytes", frame(FIN | OPCODE.ping, Buffer.alloc(200)), [1002]],
  ["a close frame with the code 999", frame(FIN | OPCODE.close, Buffer.from([0x03, 0xe7])), [1002]],
  ["a close frame of one byte", frame(FIN | OPCODE.close, Buffer.from([3])), [1002]],
  [
    "100,000 empty fragments",
    Buffer.concat([
      frame(OPCODE.binary, Buffer.alloc(0)),
      ...Array.from({ length: 100_000 }, () => frame(OPCODE.continuation, Buffer.alloc(0))),
    ]),
    [1008],
  ],
];

test("F30: WebSocket frames that break its rules end their own connection, each with its code, and touch no other", async (t) => {
  await using system = await System.start(t);
  const { access, hub } = system;
  const running = await openStreams(access, 3, () => chatBody({ tokens: 150, intervalMs: 20 }, { stream: true }));

  for (const [what, bytes, codes] of CASES) {
    await t.test(`F30: ${what}: closes with ${codes.join(" or ")}`, async () => {
      using connection = await RawConnection.open(hub.port);
      connection.write(
        `GET /api/tokilake/connect HTTP/1.1\r\nhost: hub\r\nauthorization: Bearer ${system.workerKey}\r\n` +
          "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n" +
          "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-protocol: tokilake.v2\r\n\r\n",
      );
      await connection.until("HTTP/1.1 101 ");
      await connection.until("\r\n\r\n");

      connection.write(bytes);
      await connection.closed();

      assert.ok(codes.includes(closeCodeIn(connection.received)), `close code ${closeCodeIn(connection.received)}`);
    });
  }

  for (const exchange of running) await assertWholeStream(exchange, 150);
  assert.equal((await HttpExchange.whole(access, { body: chatBody() })).status, 200);
});

/** The code of the close frame that ends what a server sent, unmasked and short. */
function closeCodeIn(received: string): number {
  const bytes = Buffer.from(received, "latin1");
  let at = bytes.indexOf("\r\n\r\n") + 4;
  while (at + 2 <= bytes.length) {
    const first = bytes[at] ?? 0;
    const short = bytes[at + 1] ?? 0;
    const start = at + (short === 126 ? 4 : 2);
    const length = short === 126 ? bytes.readUInt16BE(at + 2) : short;
    if ((first & 0x0f) === OPCODE.close) return length >= 2 ? bytes.readUInt16BE(start) : 1005;
    at = start + length;
  }
  return NaN;
}
