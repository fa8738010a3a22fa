import assert from "node:assert/strict";
import { test } from "node:test";

import { formatCredits, MAX_CREDITS, parseCredits } from "./credits.ts";

test("credits are read and written exactly", () => {
  const cases: readonly (readonly [text: string, amount: bigint])[] = [
    ["0", 0n],
    ["1.5", 1_500_000_000n],
    ["0.000000001", 1n],
    ["20", 20_000_000_000n],
    ["9007199.254740991", MAX_CREDITS],
  ];

  for (const [text, amount] of cases) {
    assert.equal(parseCredits(text), amount, text);
    assert.equal(formatCredits(amount), text);
  }
  assert.equal(parseCredits("01.50"), 1_500_000_000n);
  assert.equal(formatCredits(-1n), "-0.000000001");
});

test("what is no amount, or more than the database keeps, is refused", () => {
  for (const text of [
    "",
    "-1",
    "+1",
    "1e3",
    "1.",
    ".5",
    "1,5",
    "0.0000000001",
    " 1",
    "1 ",
    "9007199.254740992",
    "NaN",
  ]) {
    assert.equal(parseCredits(text), undefined, text);
  }
});
