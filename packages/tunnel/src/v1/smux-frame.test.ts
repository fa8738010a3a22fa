import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { SMUX, type SmuxFrameEvents, smuxHeader, SmuxParser } from "./smux-frame.ts";

/** What a parser told, with the pieces of one payload joined. */
class Told implements SmuxFrameEvents {
  readonly frames: (readonly [kind: string, id: number, payload?: string])[] = [];

  onOpen(id: number): void {
    this.frames.push(["open", id]);
  }

  onPush(id: number, piece: Buffer): void {
    const last = this.frames.at(-1);
    const text = piece.toString();
    if (last?.[0] === "push" && last[1] === id) this.frames.splice(-1, 1, ["push", id, (last[2] ?? "") + text]);
    else this.frames.push(["push", id, text]);
  }

  onClose(id: number): void {
    this.frames.push(["close", id]);
  }
}

test("headers have the bytes of smux version 1", () => {
  assert.equal(smuxHeader(SMUX.open, 3).toString("hex"), "0100000003000000");
  assert.equal(smuxHeader(SMUX.open, 2).toString("hex"), "0100000002000000");
  assert.equal(smuxHeader(SMUX.push, 3, 0x1234).toString("hex"), "0102341203000000");
  assert.equal(smuxHeader(SMUX.close, 2).toString("hex"), "0101000002000000");
  assert.equal(smuxHeader(SMUX.nop, 0).toString("hex"), "0103000000000000");
});

test("the vectors of the original are read, whatever the cuts", () => {
  const vectors = ["0100000003000000", "0102060003000000", "7b2261227d0a", "0103000000000000", "0102000003000000"];
  const bytes = Buffer.from(`${vectors.join("")}0101000002000000`, "hex");
  fc.assert(
    fc.property(fc.array(fc.nat(bytes.length)), (cuts) => {
      const told = new Told();
      const parser = new SmuxParser(told);
      let at = 0;
      for (const cut of [...cuts.toSorted((a, b) => a - b), bytes.length]) {
        parser.push(bytes.subarray(at, cut));
        at = cut;
      }
      assert.deepEqual(told.frames, [
        ["open", 3],
        ["push", 3, '{"a"}\n'],
        ["close", 2],
      ]);
    }),
  );
});

test("a payload up to the length field's 65,535 bytes is read", () => {
  const told = new Told();
  new SmuxParser(told).push(Buffer.concat([smuxHeader(SMUX.push, 2, 65_535), Buffer.alloc(65_535, "x")]));

  assert.equal(told.frames[0]?.[2]?.length, 65_535);
});

for (const [what, hex] of [
  ["version 2", "0200000003000000"],
  ["a window update", "0104080003000000"],
  ["an unknown command", "0105000003000000"],
  ["SYN with a payload", "0100010003000000"],
  ["FIN with a payload", "0101010003000000"],
  ["NOP with a payload", "0103010003000000"],
] as const) {
  test(`${what} is a protocol error`, () => {
    assert.throws(() => new SmuxParser(new Told()).push(Buffer.from(hex, "hex")), { code: "protocol" });
  });
}

test("any bytes are frames or a protocol error", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        new SmuxParser(new Told()).push(Buffer.from(bytes));
      } catch (error) {
        assert.equal((error as { code?: unknown }).code, "protocol");
      }
    }),
  );
});
