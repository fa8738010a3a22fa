import assert from "node:assert/strict";
import { test } from "node:test";

import { HistogramTally, histogramText } from "./histogram-tally.ts";

test("a value counts in its bucket and in all above, a bound belongs to its own bucket", () => {
  const tally = new HistogramTally([1, 2]);

  for (const value of [0.5, 1, 1.5, 9]) tally.observe(value);

  assert.deepEqual(tally.lines("t", 'a="b"'), [
    't_bucket{le="1",a="b"} 2',
    't_bucket{le="2",a="b"} 3',
    't_bucket{le="+Inf",a="b"} 4',
    't_sum{a="b"} 12',
    't_count{a="b"} 4',
  ]);
});

test("a label's value cannot begin another line or label", () => {
  const family = { name: "t", help: "Help.", label: "model", buckets: [] };

  const text = histogramText(family, [['a"} 1\nx\\', new HistogramTally([])]]);

  assert.equal(
    text,
    [
      "# HELP t Help.",
      "# TYPE t histogram",
      't_bucket{le="+Inf",model="a\\"} 1\\nx\\\\"} 0',
      't_sum{model="a\\"} 1\\nx\\\\"} 0',
      't_count{model="a\\"} 1\\nx\\\\"} 0',
      "",
    ].join("\n"),
  );
});
