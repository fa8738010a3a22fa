import assert from "node:assert/strict";
import { test } from "node:test";

import { BODY_MEMORY, BodyMemory } from "./body-memory.ts";

const MIB = 1024 * 1024;

test("one sender holds only so much at a time, and nobody else notices", () => {
  const memory = new BodyMemory();
  const places = [1, 2, 3, 4].map(() => memory.placeFor("ada"));
  for (const place of places) place.take(MIB);
  const one = memory.placeFor("ada");

  assert.throws(() => one.take(1), { code: "rate_limit_exceeded", retryAfter: 1 });
  memory.placeFor("bob").take(MIB);
  places[0]?.[Symbol.dispose]();
  one.take(MIB);

  assert.equal(memory.heldBytes, 5 * MIB);
});

test("all senders together hold only so much, and what ended is given back once", () => {
  const memory = new BodyMemory();
  const senders = Array.from({ length: BODY_MEMORY.inAllBytes / BODY_MEMORY.perCallerBytes }, (_, index) =>
    memory.placeFor(`sender ${index}`),
  );
  for (const place of senders) place.take(BODY_MEMORY.perCallerBytes);

  assert.throws(() => memory.placeFor("one more").take(1), { code: "overloaded" });

  for (const place of [...senders, ...senders]) place[Symbol.dispose]();
  assert.equal(memory.heldBytes, 0);
});
