import assert from "node:assert/strict";
import { test } from "node:test";

import { parseWrk, wrkScript } from "./wrk.ts";

test("a body with quotes, newlines and other languages is the same in Lua", () => {
  const script = wrkScript({ port: 1, path: "/", headers: { authorization: "Bearer k" } }, '{"a":"é\n\\"}');

  assert.match(script, /^wrk\.body = "\{\\034a\\034:\\034\\195\\169\\010\\092\\034\}"$/m);
  assert.match(script, /^wrk\.headers\["authorization"\] = "Bearer k"$/m);
});

test("wrk's result is the line that the script prints", () => {
  const output = "Running 4s test\n  Requests/sec:  100.00\nRESULT 40123 4001234 2\n";

  assert.deepEqual(parseWrk(output), { requests: 40_123, elapsedMs: 4001.234, errors: 2 });
  assert.throws(() => parseWrk("unable to connect"), /no result: unable to connect/);
});
