import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { VARIABLES, readConfig } from "./config.ts";
import { COUNTERS, GAUGES } from "./observe/metrics.ts";
import { PrometheusMetrics } from "./observe/prometheus-metrics.ts";

const PAGE = readFileSync(new URL("../../../docs/operating.md", import.meta.url), "utf8");

test("docs/operating.md has every setting, and no other", () => {
  // Those of providers have a name in them.
  const named = PAGE.match(/TOKILAKE_[A-Z0-9_]*[A-Z0-9]/g)?.filter((name) => !name.startsWith("TOKILAKE_OIDC"));
  assert.deepEqual(new Set(named), new Set(VARIABLES));
});

test("docs/operating.md gives the defaults that the program has", () => {
  const defaults = Object.fromEntries(
    [...PAGE.matchAll(/^\| `(TOKILAKE_\w+)`.*? \| `([^`]+)` \|/gm)].map(([, name = "", value = ""]) => [name, value]),
  );

  const { TOKILAKE_DATABASE_URL: _url, ...numbersAndWords } = defaults;
  assert.deepEqual(readConfig(numbersAndWords), readConfig({}));
});

test("docs/operating.md has every metric, and no other", async () => {
  using metrics = new PrometheusMetrics("0");
  const names = [...Object.keys(GAUGES), ...Object.keys(COUNTERS)];
  metrics.read(Object.fromEntries(names.map((name) => [name, () => 0])));
  const { text } = await metrics.render();

  const shown = [...text.matchAll(/^# HELP (\S+)/gm)].map(([, name]) => name);
  assert.deepEqual(new Set(PAGE.match(/\b(tokilake|tunnel|process|nodejs)_[a-z0-9_]+/g)), new Set(shown));
});
