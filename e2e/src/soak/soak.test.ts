import assert from "node:assert/strict";
import { test } from "node:test";

import { runSoak } from "./run-soak.ts";

const SKIP = process.platform !== "linux" && "it reads /proc";

test(
  "fifteen seconds of streams of workers that come and go leave nothing behind, and every answer is whole",
  { skip: SKIP },
  async (t) => {
    const answer = { tokens: 20, everyMs: 100 };
    const shape = { minutes: 1 / 4, streams: 150, workers: 30, changeEveryMs: 500, answer };

    const result = await runSoak(shape, (line) => t.diagnostic(line));

    assert.deepEqual(result.problems, []);
    assert.ok(result.counts.complete > 100);
    assert.ok(result.workersLeft > 20);
  },
);
