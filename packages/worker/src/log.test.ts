import assert from "node:assert/strict";
import { test } from "node:test";

import { createLog } from "./log.ts";

function linesOf(env: NodeJS.ProcessEnv, isTerminal: boolean): string[] {
  const lines: string[] = [];
  const now = (): Date => new Date(2026, 0, 1, 13, 5, 9);
  const log = createLog({ env, isTerminal, write: (line) => lines.push(line), now });
  log.debug({}, "d");
  log.info({ target: "t", none: undefined, ms: 3 }, "i");
  log.warn({ err: new Error("why") }, "w");
  log.error({}, "e");
  return lines;
}

test("people get short lines, with what went wrong at their front", () => {
  assert.deepEqual(linesOf({}, true), [
    "13:05:09  i  (target=t, ms=3)\n",
    "13:05:09  warn: w  (err=why)\n",
    "13:05:09  error: e\n",
  ]);
});

test("machines get JSON, also on a terminal when asked", () => {
  for (const lines of [linesOf({}, false), linesOf({ TOKIAME_LOG_FORMAT: "json" }, true)]) {
    assert.deepEqual(
      lines.map((line) => /"msg":"(.)"/.exec(line)?.[1]),
      ["i", "w", "e"],
    );
  }
});

for (const [env, count] of [
  [{ TOKIAME_LOG_LEVEL: "trace" }, 4],
  [{ LOG_LEVEL: "debug" }, 4],
  [{ TOKIAME_LOG_LEVEL: "crit", LOG_LEVEL: "debug" }, 1],
  [{ TOKIAME_LOG_LEVEL: "warn" }, 2],
  [{ TOKIAME_LOG_LEVEL: "loud" }, 3],
] as const) {
  test(`${JSON.stringify(env)} shows ${count} of four levels`, () => {
    assert.equal(linesOf(env, true).length, count);
  });
}
