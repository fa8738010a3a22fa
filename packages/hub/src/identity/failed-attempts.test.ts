import assert from "node:assert/strict";
import { test } from "node:test";

import { FAILED_ATTEMPTS, FailedAttempts } from "./failed-attempts.ts";

test("a network may fail ten times, then once in twelve seconds, and is told when", () => {
  let nowMs = 1_000;
  const failed = new FailedAttempts(() => nowMs);

  const first = Array.from({ length: 12 }, () => failed.count("192.0.2.1"));
  const other = failed.count("192.0.2.2");
  nowMs += 11_000;
  const early = failed.count("192.0.2.1");
  nowMs += 1_000;
  const due = failed.count("192.0.2.1");
  const again = failed.count("192.0.2.1");
  nowMs += 3_600_000;
  const later = Array.from({ length: 11 }, () => failed.count("192.0.2.1"));

  assert.deepEqual(first, [...Array<undefined>(10).fill(undefined), 12, 12]);
  assert.deepEqual([other, early, due, again], [undefined, 1, undefined, 12]);
  assert.deepEqual(later, [...Array<undefined>(10).fill(undefined), 12]);
});

test("ten thousand networks are remembered, the longest quiet one is forgotten", () => {
  const failed = new FailedAttempts(() => 0);
  for (let n = 0; n < FAILED_ATTEMPTS.burst; n += 1) failed.count("old");
  for (let n = 0; n < FAILED_ATTEMPTS.burst; n += 1) failed.count("older but busy");

  for (let n = 0; n < FAILED_ATTEMPTS.maxNetworks - 2; n += 1) failed.count(`2001:db8:0:${n}::/64`);
  const busy = failed.count("older but busy");
  failed.count("one more");

  assert.equal(failed.size, FAILED_ATTEMPTS.maxNetworks);
  assert.deepEqual([busy, failed.count("older but busy"), failed.count("old")], [12, 12, undefined]);
});
