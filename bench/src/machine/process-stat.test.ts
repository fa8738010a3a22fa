import assert from "node:assert/strict";
import { test } from "node:test";

import { parseProcessStat, parseResidentBytes, parseSystemStat } from "./process-stat.ts";

test("CPU ticks are found behind a name with spaces and brackets", () => {
  const line =
    "4242 (a (b) c) S 1 4242 4242 0 -1 4194304 1000 0 0 0 1234 66 7 3 20 0 11 0 5000 1000000 2000 18446744073709551615 1 1";

  assert.deepEqual(parseProcessStat(line), { ownTicks: 1300, childTicks: 10 });
});

test("a line that is no process is an error, not a zero", () => {
  assert.throws(() => parseProcessStat("4242 (cut"), RangeError);
});

test("busy ticks of the machine leave out idle, waiting and stolen time", () => {
  const text = "cpu  100 20 30 9000 500 4 6 77 0 0\ncpu0 50 10 15 4500 250 2 3 0 0 0\n";

  assert.deepEqual(parseSystemStat(text), { busyTicks: 160, stolenTicks: 77 });
  assert.throws(() => parseSystemStat("intr 1 2 3\n"), RangeError);
});

test("resident memory is given in bytes", () => {
  assert.equal(parseResidentBytes("Name:\tnode\nVmHWM:\t  90000 kB\nVmRSS:\t   65536 kB\n"), 67_108_864);
  assert.throws(() => parseResidentBytes("Name:\tkthreadd\n"), RangeError);
});
