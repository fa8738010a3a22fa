import assert from "node:assert/strict";
import { test } from "node:test";

import { EventCounter } from "./event-counter.ts";

const BODY = 'data: {"a":1}\n\ndata: 2\ndata: 3\n\n: comment\n\n\n\ndata: [DONE]\n\ndata: cut\n';

test("an event ends with an empty line, however its bytes come", () => {
  for (const size of [1, 2, 3, 5, 8, BODY.length]) {
    const counter = new EventCounter();

    for (let at = 0; at < BODY.length; at += size) {
      const piece = Buffer.from(`<${BODY.slice(at, at + size)}\n`);
      counter.read(piece, 1, piece.length - 1);
    }

    assert.equal(counter.count, 5, `in pieces of ${size} bytes`);
  }
});
