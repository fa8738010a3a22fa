import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";

import { limitsPage } from "./limits-page.ts";

test("docs/limits.md has every limit as the code has it (else: node scripts/limits-page.ts)", async () => {
  const page = readFileSync(join(dirname(import.meta.dirname), "docs/limits.md"), "utf8");

  assert.equal(page, await limitsPage());
});

test("no limit of the page is without its reason", async () => {
  const rows = (await limitsPage()).split("\n").filter((line) => line.startsWith("| `"));

  assert.deepEqual(
    rows.filter((row) => row.endsWith("|  |")),
    [],
  );
});
