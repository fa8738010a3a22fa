import assert from "node:assert/strict";
import { test } from "node:test";

import { alignTable } from "./text-table.ts";

test("names stand left, numbers right, headings run over all columns", () => {
  const text = alignTable([
    ["a heading that is longer than the columns"],
    ["row", "goal", "nginx"],
    ["request", "0.97×", "12.53×"],
    ["chunk", "", "2×"],
  ]);

  assert.equal(
    text,
    "a heading that is longer than the columns\n" +
      "row       goal   nginx\n" +
      "request  0.97×  12.53×\n" +
      "chunk               2×\n",
  );
});
