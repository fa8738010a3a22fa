import assert from "node:assert/strict";
import { test } from "node:test";

import * as fc from "fast-check";

import { Pool } from "./pool.ts";

test("a pool holds what a set holds, whatever was added and removed", () => {
  const step = fc.record({ adds: fc.boolean(), item: fc.nat(8) });
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const pool = new Pool<number>();
      const set = new Set<number>();
      for (const { adds, item } of steps) {
        if (adds) pool.add(item);
        else pool.delete(item);
        if (adds) set.add(item);
        else set.delete(item);
      }

      assert.deepEqual(new Set(pool), set);
      assert.equal(pool.size, set.size);
    }),
  );
});

test("a sample is taken from what is there, by chance", () => {
  const pool = new Pool<string>();
  for (const item of ["a", "b", "c", "d"]) pool.add(item);
  const chances = [0, 0.99, 0.5];

  assert.deepEqual(
    pool.sample(3, () => chances.shift() ?? 0),
    ["a", "d", "c"],
  );
  assert.deepEqual(
    new Pool<string>().sample(2, () => 0),
    [],
  );
});
