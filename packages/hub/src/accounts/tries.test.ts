import assert from "node:assert/strict";
import { test } from "node:test";

import { TRIES, Tries } from "./tries.ts";

const TOO_MANY = { code: "rate_limit_exceeded" };

test("so many tries in a row, then one each time a piece of the budget is earned back", () => {
  let now = 1000;
  const tries = new Tries(() => now);
  for (let count = 0; count < 10; count += 1) tries.take(["sign-in to", "ann"]);

  assert.throws(() => tries.take(["sign-in to", "ann"]), { ...TOO_MANY, retryAfter: 90 });
  now += 45_000;
  assert.throws(() => tries.take(["sign-in to", "ann"]), { ...TOO_MANY, retryAfter: 45 });
  now += 45_000;
  tries.take(["sign-in to", "ann"]);
  assert.throws(() => tries.take(["sign-in to", "ann"]), TOO_MANY);
  tries.take(["sign-in to", "ben"]);
  tries.take(["sign-in on device", "ann"]);
});

test("a try that one budget refuses is counted in no other", () => {
  const tries = new Tries(() => 1000);
  for (let count = 0; count < 10; count += 1) tries.take(["sign-in to", "ann"]);

  for (let count = 0; count < 40; count += 1) {
    assert.throws(() => tries.take(["sign-in from", "here"], ["sign-in to", "ann"]), TOO_MANY);
  }
  for (let count = 0; count < 30; count += 1) tries.take(["sign-in from", "here"]);
  assert.throws(() => tries.take(["sign-in from", "here"]), TOO_MANY);
});

test("a try that succeeds is taken back, once", () => {
  const tries = new Tries(() => 1000);
  for (let count = 0; count < 4; count += 1) tries.take(["code of", "ann"]);
  const giveBack = tries.take(["code of", "ann"]);
  assert.throws(() => tries.take(["code of", "ann"]), TOO_MANY);

  giveBack();
  giveBack();

  tries.take(["code of", "ann"]);
  assert.throws(() => tries.take(["code of", "ann"]), TOO_MANY);
});

test("only so many are counted, and whoever has nothing to earn back is not counted at all", () => {
  const tries = new Tries(() => 1000);
  tries.take(["sign-in to", "ann"])();
  assert.equal(tries.size, 0);

  for (let count = 0; count < TRIES.maxCounted + 10; count += 1) tries.take(["sign-in to", `user ${count}`]);

  assert.equal(tries.size, TRIES.maxCounted);
});
