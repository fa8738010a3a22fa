import assert from "node:assert/strict";
import { test } from "node:test";

import { ago, table } from "./table.ts";

test("columns are as wide as their widest cell, and no line ends in blanks", () => {
  assert.equal(
    table(
      ["ID", "NAME"],
      [
        ["key_1", "a"],
        ["k", "laptop"],
      ],
    ),
    "ID     NAME\nkey_1  a\nk      laptop\n",
  );
});

test("how long ago is said in the largest unit that fits", () => {
  const minute = 60_000;
  const cases = [59_999, minute, 59 * minute, 60 * minute, 47 * 60 * minute, 48 * 60 * minute];

  assert.deepEqual(
    cases.map((age) => ago(0, age)),
    ["just now", "1 min ago", "59 min ago", "1 h ago", "47 h ago", "2 d ago"],
  );
});
