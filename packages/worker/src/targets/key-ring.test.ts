import assert from "node:assert/strict";
import { test } from "node:test";

import { KeyRing } from "./key-ring.ts";

function ringOf(keys: string[]): { ring: KeyRing; clock: { ms: number }; next: () => string | undefined } {
  const clock = { ms: 1000 };
  const ring = new KeyRing({ keys, now: () => clock.ms });
  return { ring, clock, next: () => ring.next()?.header[1] };
}

test("keys are used in turn, as a bearer by default", () => {
  const { next } = ringOf(["a", "b"]);

  assert.deepEqual([next(), next(), next()], ["Bearer a", "Bearer b", "Bearer a"]);
});

test("another header has only the prefix that the owner gives", () => {
  const now = (): number => 0;

  assert.deepEqual(new KeyRing({ keys: ["k"], header: "X-Api-Key", now }).next()?.header, ["x-api-key", "k"]);
  assert.deepEqual(new KeyRing({ keys: ["k"], prefix: "Key ", now }).next()?.header, ["authorization", "Key k"]);
  assert.equal(new KeyRing({ keys: [], now }).next(), undefined);
});

test("a limited key rests for 30 s, or as long as the engine asks", () => {
  const { ring, clock, next } = ringOf(["a", "b"]);
  ring.next()?.report(429, undefined);
  ring.next()?.report(429, "2");

  clock.ms += 1999;
  assert.equal(next(), "Bearer b", "all rest: the one that is rested soonest");
  clock.ms += 1;
  assert.deepEqual([next(), next()], ["Bearer b", "Bearer b"]);
  clock.ms += 28_000;
  assert.deepEqual(new Set([next(), next()]), new Set(["Bearer a", "Bearer b"]));
});

test("a refused key rests for five minutes and a good answer wakes it", () => {
  const { ring, clock, next } = ringOf(["a", "b"]);
  const key = ring.next();
  key?.report(401, undefined);

  assert.deepEqual([next(), next()], ["Bearer b", "Bearer b"]);
  clock.ms += 300_000;
  assert.deepEqual(new Set([next(), next()]), new Set(["Bearer a", "Bearer b"]));
  key?.report(403, undefined);
  key?.report(200, undefined);
  assert.deepEqual(new Set([next(), next()]), new Set(["Bearer a", "Bearer b"]));
});
