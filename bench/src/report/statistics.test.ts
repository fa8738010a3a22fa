import assert from "node:assert/strict";
import { test } from "node:test";

import { median, percentile, summarize } from "./statistics.ts";

test("the median of an odd number is the one in the middle, of an even number the mean of two", () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([1, 9, 5, 7]), 6);
  assert.equal(median([3]), 3);
});

test("a percentile lies between its two neighbours", () => {
  const sorted = Float64Array.of(0, 10, 20, 30, 40);

  assert.equal(percentile(sorted, 0), 0);
  assert.equal(percentile(sorted, 0.99), 39.6);
  assert.equal(percentile(sorted, 1), 40);
});

test("no values have no median", () => {
  assert.throws(() => median([]), RangeError);
});

test("rounds with foreign load are left out when enough others remain", () => {
  const samples = [
    { value: 10, foreignCores: 0.1 },
    { value: 99, foreignCores: 0.26 },
    { value: 12, foreignCores: 0.25 },
    { value: 11, foreignCores: 0 },
    { value: 98, foreignCores: 0.9 },
  ];

  assert.deepEqual(summarize(samples), { median: 11, min: 10, max: 12, kept: 3, total: 5, foreignCores: 0.25 });
});

test("all rounds count when too few are clean", () => {
  const samples = [
    { value: 10, foreignCores: 0.1 },
    { value: 30, foreignCores: 0.4 },
    { value: 20, foreignCores: 0.4 },
  ];

  assert.deepEqual(summarize(samples), { median: 20, min: 10, max: 30, kept: 3, total: 3, foreignCores: 0.4 });
  assert.equal(summarize([]), undefined);
});
