import assert from "node:assert/strict";
import { test } from "node:test";

import { WIRE_LIMITS } from "../limits.ts";
import { ControlAssembler } from "./control-assembler.ts";

test("a message in pieces of one byte takes no more memory than its bytes, and is whole in the end", () => {
  const messages: Buffer[] = [];
  const assembler = new ControlAssembler((message) => messages.push(Buffer.from(message)));
  const text = Buffer.alloc(WIRE_LIMITS.controlBytes, "0123456789");
  let most = 0;
  for (let at = 0; at < text.length - 1; at += 1) {
    assembler.add(text.subarray(at, at + 1), false);
    most = Math.max(most, assembler.heldBytes);
  }
  assembler.add(text.subarray(-1), true);
  assembler.add(Buffer.from("next"), true);

  assert.equal(most, WIRE_LIMITS.controlBytes);
  assert.deepEqual(messages, [text, Buffer.from("next")]);
  assert.equal(assembler.heldBytes, 0);
});
