import assert from "node:assert/strict";
import { test } from "node:test";

import { type Candidate, chooseLeastLoaded, hasFreeSlot } from "./choose.ts";

function candidate(slots: number | undefined, inFlight: number, reported?: Candidate["reported"]): Candidate {
  return { slots, inFlight, reported };
}

test("the one with the least work per slot is chosen", () => {
  const small = candidate(1, 1);
  const large = candidate(8, 4);

  assert.equal(
    chooseLeastLoaded([small, large], () => 0),
    large,
  );
});

test("between equals a coin decides", () => {
  const a = candidate(2, 0);
  const b = candidate(2, 0);

  assert.equal(
    chooseLeastLoaded([a, b], () => 0),
    a,
  );
  assert.equal(
    chooseLeastLoaded([a, b], () => 0.99),
    b,
  );
});

test("what an owner runs on the engine, and what waits there, counts as work", () => {
  const used = candidate(4, 0, { running: 2, waiting: 1 });
  const ours = candidate(4, 2, { running: 2, waiting: 0 });

  assert.equal(
    chooseLeastLoaded([used, ours], () => 0),
    ours,
  );
});

test("without candidates there is none", () => {
  assert.equal(
    chooseLeastLoaded([], () => 0),
    undefined,
  );
});

test("a target is full at its slots, and never when it does not say", () => {
  assert.deepEqual([candidate(2, 1), candidate(2, 2), candidate(undefined, 500)].map(hasFreeSlot), [true, false, true]);
});
