import assert from "node:assert/strict";
import { test } from "node:test";

import { HUB_SHEET } from "../rows/hub-figures.ts";
import { TUNNEL_SHEET } from "../rows/tunnel-figures.ts";
import { formatRatio, formatValue } from "./numbers.ts";
import { Results } from "./results.ts";
import { loadCells, ratioCells, valueCells } from "./tables.ts";
import { alignTable } from "./text-table.ts";

test("numbers are shown with two or three digits that matter", () => {
  const shown = [0.1234, 2.999, 9.1, 58.34, 961.4, 20_133.7, -0.04].map((value) => formatValue(value));

  assert.deepEqual(shown, ["0.12", "3.00", "9.1", "58.3", "961", "20,134", "-0.04"]);
});

test("a ratio to nothing is a dash", () => {
  assert.equal(formatRatio(12, 10), "1.20×");
  assert.equal(formatRatio(120, 10), "12×");
  assert.equal(formatRatio(1, 0), "–");
  assert.equal(formatRatio(1, -0.2), "–");
  assert.equal(formatRatio(undefined, 1), "–");
  assert.equal(formatRatio(1, undefined), "–");
});

test("the table has ratios to the goal and to each peer, then values, then the load", () => {
  const measured = { sheet: HUB_SHEET, results: sampleResults(), systems: ["tokilake", "nginx", "portkey"] };

  const text = alignTable([...ratioCells(measured), ...valueCells(measured), ...loadCells(measured)]);

  assert.match(text, /^CPU per request +1\.10× over +3\.00× +0\.07×$/m);
  assert.match(text, /^added latency, p50 +1\.25× over +2\.50× +–$/m);
  assert.match(text, /^CPU per request, µs +≤ 60 +66\.0 \[60\.0\] +22\.0 \[22\.0\] +961 \[961\]$/m);
  assert.match(text, /^whole latency, p50, ms +0\.20 +0\.70 +0\.40 +–$/m);
});

test("where more is better, less falls short of the goal; where there is no goal, none is missed", () => {
  const results = new Results();
  for (const [figure, value] of [
    ["bulk-100", 0.7],
    ["bulk-0", 4],
    ["bulk-ramp-100", 900],
  ] as const) {
    results.record(figure, "v2", { round: 1, value, foreignCores: 0 });
  }
  results.record("bulk-ramp-100", "direct", { round: 1, value: 300, foreignCores: 0 });
  const measured = { sheet: TUNNEL_SHEET, results, systems: ["v2", "direct"] };

  const text = alignTable([...ratioCells(measured), ...valueCells(measured)]);

  assert.match(text, /^one bulk stream, 100 ms round trip +0\.87× short +–$/m);
  assert.match(text, /^one bulk stream, 0 ms round trip +5\.00× +–$/m);
  assert.match(text, /^one bulk stream, 0 ms round trip, Gbit\/s +≥ 0\.8 +4\.0 \[4\.0\] +–$/m);
  assert.match(text, /^ramp to 0\.8 Gbit\/s, 100 ms +– +3\.00×$/m);
});

test("nothing measured is nothing shown", () => {
  const nothing = { sheet: HUB_SHEET, results: new Results(), systems: ["tokilake", "nginx"] };

  assert.deepEqual([...ratioCells(nothing), ...valueCells(nothing), ...loadCells(nothing)], []);
});

function sampleResults(): Results {
  const results = new Results();
  for (const [figure, system, ...values] of [
    ["cpu-request", "tokilake", 60, 66, 70],
    ["cpu-request", "nginx", 22],
    ["cpu-request", "portkey", 961],
    ["latency-p50", "direct", 0.2, 0.2, 0.2],
    ["latency-p50", "tokilake", 0.7, 0.7, 0.7],
    ["latency-p50", "nginx", 0.4, 0.4, 0.4],
  ] as const) {
    for (const [index, value] of values.entries()) {
      results.record(figure, system, { round: index + 1, value, foreignCores: 0 });
    }
  }
  return results;
}
