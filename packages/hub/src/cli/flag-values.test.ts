import assert from "node:assert/strict";
import { test } from "node:test";

import { durationOf, expiryOf } from "./flag-values.ts";

test("an end is a day, a time of a zone, or how long from now", () => {
  assert.equal(expiryOf(undefined, 5), undefined);
  assert.equal(expiryOf("2030-12-31", 0), Date.UTC(2030, 11, 31));
  assert.equal(expiryOf("2030-12-31T10:00Z", 0), Date.UTC(2030, 11, 31, 10));
  assert.equal(expiryOf("2028-02-29T23:30-02:00", 0), Date.UTC(2028, 2, 1, 1, 30));
  assert.equal(expiryOf("90m", 5), 5 + 90 * 60_000);
  assert.equal(durationOf("overlap", "2d"), 2 * 86_400_000);
});

test("a day that no calendar has is not taken for another one", () => {
  for (const text of [
    "2030-02-30",
    "2030-11-31T10:00Z",
    "2030-13-01",
    "2030-12-31 (x)",
    "2030-12-31T25:00Z",
    "30",
    "1e3d",
  ])
    assert.throws(() => expiryOf(text, 0), { name: "UsageError" }, text);
});
