import assert from "node:assert/strict";
import { test } from "node:test";

import { LabelLimit } from "./label-limit.ts";

test("the first values stay, later ones are other", () => {
  const labels = new LabelLimit(2);

  assert.deepEqual(
    ["a", "b", "c", "a", "b", "d"].map((value) => labels.value(value)),
    ["a", "b", "other", "a", "b", "other"],
  );
});

test("a value too long for a label is other and takes no place", () => {
  const labels = new LabelLimit(1);

  assert.equal(labels.value("x".repeat(129)), "other");
  assert.equal(labels.value("x".repeat(128)), "x".repeat(128));
});
