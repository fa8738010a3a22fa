import assert from "node:assert/strict";
import { test } from "node:test";

import { StopScanner } from "./stop-scanner.ts";

test("a stop string cut into single characters never reaches the reader", () => {
  const scanner = new StopScanner(["STOP"]);

  const shown = Array.from("a STO STOP", (piece) => scanner.push(piece));

  assert.equal(shown.map(({ text }) => text).join(""), "a STO ");
  assert.equal(shown[9]?.isStopped, true);
});

test("text that only looked like a stop string is given at the end", () => {
  const scanner = new StopScanner(["END"]);

  assert.deepEqual(scanner.push("the EN"), { text: "the ", isStopped: false });
  assert.equal(scanner.end(), "EN");
});

test("the first of several stop strings counts", () => {
  assert.deepEqual(new StopScanner(["c", "b"]).push("abc"), { text: "a", isStopped: true });
});

test("without stop strings nothing is held back", () => {
  assert.deepEqual(new StopScanner([]).push("abc"), { text: "abc", isStopped: false });
});
