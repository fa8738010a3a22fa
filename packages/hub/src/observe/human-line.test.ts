import assert from "node:assert/strict";
import { test } from "node:test";

import { humanLine } from "./human-line.ts";

const time = new Date(2026, 0, 2, 3, 4, 5).getTime();

test("a line for eyes has the time, the message and the fields", () => {
  assert.equal(
    line({ time, level: "info", workerId: "gaming-pc", models: 2, message: "worker joined" }),
    "03:04:05 worker joined workerId=gaming-pc models=2\n",
  );
});

test("a level other than info is shown", () => {
  assert.equal(line({ time, level: "warn", message: "careful" }), "03:04:05 warn careful\n");
});

test("a value with blanks or control characters is quoted, so that it cannot move the cursor", () => {
  assert.equal(
    line({ time, level: "info", model: "a \u001b[2Jb", list: ["x y"], message: "m" }),
    '03:04:05 m model="a \\u001b[2Jb" list=["x y"]\n',
  );
});

test("the stack of an error is shown when it is logged as one", () => {
  const error = { type: "Error", message: "oh no", stack: "Error: oh no\n    at a.ts:1\n    at b.ts:2" };

  assert.equal(
    line({ time, level: "error", error, message: "failed" }),
    '03:04:05 error failed error="oh no"\n    at a.ts:1\n    at b.ts:2\n',
  );
  assert.equal(line({ time, level: "warn", error, message: "failed" }), '03:04:05 warn failed error="oh no"\n');
});

test("what is no JSON is shown as it came", () => {
  assert.equal(humanLine("plain\n", { colour: false }), "plain\n");
});

test("with colour, the words are the same", () => {
  const text = humanLine(JSON.stringify({ time, level: "error", message: "bad" }), { colour: true });

  assert.ok(text.endsWith(" \u001b[31merror\u001b[39m bad\n"), JSON.stringify(text));
});

function line(entry: object): string {
  return humanLine(JSON.stringify(entry), { colour: false });
}
