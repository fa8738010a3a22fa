import assert from "node:assert/strict";
import { test } from "node:test";

import { mapQueryModel } from "./query-model.ts";

const MAPPED = { upstreamOf: () => "org/m 7b", whenMissing: "org/m 7b" };
const SAME = { upstreamOf: () => "m", whenMissing: undefined };

for (const [query, expected] of [
  ["model=m", "model=org%2Fm%207b"],
  ["a=1&model=m&b=%20", "a=1&model=org%2Fm%207b&b=%20"],
  ["model=m&model=other", "model=org%2Fm%207b&model=org%2Fm%207b"],
  ["a=1;model=other", "a=1;model=org%2Fm%207b"],
  ["Mod%65l=other", "Mod%65l=org%2Fm%207b"],
  ["model", "model=org%2Fm%207b"],
  ["models=m&xmodel=m", "models=m&xmodel=m&model=org%2Fm%207b"],
  ["", "model=org%2Fm%207b"],
  ["%zz=1&model=%zz", "%zz=1&model=org%2Fm%207b"],
] as const) {
  test(`the engine reads its own name in "${query}"`, () => {
    assert.equal(mapQueryModel(query, MAPPED), expected);
  });
}

test("a query keeps its bytes when the name stays, but no other name passes", () => {
  assert.equal(mapQueryModel("x=%2f&model=m&y", SAME), "x=%2f&model=m&y");
  assert.equal(mapQueryModel("model=%6d", SAME), "model=%6d");
  assert.equal(mapQueryModel("model=m&model=other", SAME), "model=m&model=m");
  assert.equal(mapQueryModel("", SAME), "");
});
