import assert from "node:assert/strict";
import { test } from "node:test";

import { parseOptions } from "../options.ts";
import type { Sheet } from "../rows/figures.ts";
import { HUB_SHEET } from "../rows/hub-figures.ts";
import { TUNNEL_SHEET } from "../rows/tunnel-figures.ts";
import type { FinishedRun } from "./finished-run.ts";
import { benchmarksPage } from "./page.ts";
import { Results } from "./results.ts";

const MACHINE = { cores: 2, processor: "P", memoryGigabytes: 8, kernel: "6", node: "v24", commit: "c", canPin: true };

test("a run replaces the sections that it measured and leaves the others as they were", () => {
  const both = benchmarksPage(runOf([HUB_SHEET, "cpu-request", 66], [TUNNEL_SHEET, "cpu-tunnel-request", 33]), "");

  const page = benchmarksPage(runOf([TUNNEL_SHEET, "cpu-tunnel-request", 36]), both);

  assert.equal(page, both.replaceAll("33.0", "36.0").replaceAll("0.87×", "0.95×"));
  assert.match(page, /\| CPU per request, µs \| ≤ 60 \| 66\.0 \[66\.0\] \|/);
  assert.match(page, /\*\*CPU per request: 36\.0 µs\*\*, goal 38: reached/);
});

test("a page that does not exist yet gets only what was measured", () => {
  const page = benchmarksPage(runOf([HUB_SHEET, "cpu-request", 66]), "");

  assert.match(page, /^## The hub$/m);
  assert.doesNotMatch(page, /tunnel alone/);
});

function runOf(...measured: (readonly [Sheet, figure: string, value: number])[]): FinishedRun {
  const options = parseOptions([]);
  assert.ok(options !== undefined);
  const sheets = measured.map(([sheet, figure, value]) => {
    const results = new Results();
    results.record(figure, sheet.subject, { round: 1, value, foreignCores: 0 });
    return { sheet, results, systems: [sheet.subject], missing: [], minutes: 1 };
  });
  return { options, machine: MACHINE, args: [], startedAt: new Date(0), sheets };
}
