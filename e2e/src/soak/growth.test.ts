import assert from "node:assert/strict";
import { test } from "node:test";

import { riseOf } from "./growth.ts";

function readings(...values: readonly number[]): { atMs: number; value: number }[] {
  return values.map((value, index) => ({ atMs: index * 1000, value }));
}

test("a steady climb counts for all of itself, a level line and a saw for nothing", () => {
  assert.equal(riseOf(readings(10, 20, 30, 40)), 30);
  assert.equal(riseOf(readings(7, 7, 7)), 0);
  assert.ok(Math.abs(riseOf(readings(5, 9, 5, 9, 5, 9, 5))) < 1);
});

test("one high reading at the end counts for less than all of itself", () => {
  assert.ok(riseOf(readings(10, 10, 10, 10, 10, 10, 10, 20)) < 6);
});

test("what falls rises by less than nothing, and too few readings do not rise", () => {
  assert.equal(riseOf(readings(30, 20, 10)), -20);
  assert.equal(riseOf(readings(5)), 0);
  assert.equal(riseOf([]), 0);
});
