import assert from "node:assert/strict";
import { test } from "node:test";

import { Results } from "./results.ts";

test("values are summarized by figure and system", () => {
  const results = new Results();
  results.record("cpu", "nginx", { round: 1, value: 20, foreignCores: 0 });
  results.record("cpu", "nginx", { round: 2, value: 30, foreignCores: 0 });
  results.record("cpu", "hub", { round: 1, value: 99, foreignCores: 0 });

  assert.deepEqual(results.summary("cpu", "nginx"), {
    median: 25,
    min: 20,
    max: 30,
    kept: 2,
    total: 2,
    foreignCores: 0,
  });
  assert.equal(results.summary("cpu", "portkey"), undefined);
});

test("what is added is taken within a round, and a round counts when both halves of it were clean", () => {
  const results = new Results();
  for (const [round, direct, hub, foreignCores] of [
    [1, 1, 3, 0],
    [2, 10, 11, 0],
    [3, 2, 90, 0.5],
  ] as const) {
    results.record("latency", "direct", { round, value: direct, foreignCores });
    results.record("latency", "hub", { round, value: hub, foreignCores: 0 });
  }
  results.record("latency", "hub", { round: 4, value: 1, foreignCores: 0 });

  const added = results.addedSummary("latency", "hub", "direct");

  assert.deepEqual(added, { median: 1.5, min: 1, max: 2, kept: 2, total: 3, foreignCores: 0 });
});
