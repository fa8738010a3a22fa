import assert from "node:assert/strict";
import { test } from "node:test";

import { poissonArrivals } from "./arrivals.ts";

test("arrivals come at the rate asked, in order, as irregularly as chance", () => {
  const arrivals = poissonArrivals(1000, 20_000, 1);

  assert.ok(arrivals.length > 19_500 && arrivals.length < 20_500, `${arrivals.length} arrivals`);
  assert.deepEqual(arrivals.toSorted(), arrivals);
  const gaps = Array.from(arrivals.subarray(1), (time, index) => time - (arrivals[index] ?? 0));
  const short = gaps.filter((gap) => gap < 1).length / gaps.length;
  assert.ok(Math.abs(short - 0.632) < 0.02, `${short} of the gaps are shorter than the mean`);
});

test("the same seed gives the same arrivals", () => {
  assert.deepEqual(poissonArrivals(100, 500, 7), poissonArrivals(100, 500, 7));
  assert.notDeepEqual(poissonArrivals(100, 500, 7), poissonArrivals(100, 500, 8));
});
