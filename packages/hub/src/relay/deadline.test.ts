import assert from "node:assert/strict";
import { test } from "node:test";

import { AppError } from "../errors.ts";
import { Deadline } from "./deadline.ts";

const silent = (): AppError => new AppError("upstream_timeout");

test("a process that stood still gives an engine its time anew, and only once", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let nowMs = 0;
  t.mock.method(performance, "now", () => nowMs);
  const ends: string[] = [];
  const deadline = new Deadline(100_000, (error) => ends.push(error.code));
  const pass = (ms: number, stoodStillMs = 0): void => {
    nowMs += ms + stoodStillMs;
    t.mock.timers.tick(ms);
  };

  deadline.expect(10_000, silent);
  pass(10_000, 20_000);
  const afterStandStill = [...ends];
  pass(10_000);
  deadline.stop();

  assert.deepEqual(afterStandStill, []);
  assert.deepEqual(ends, ["upstream_timeout"]);
});

test("a process that stood still beyond the time for the whole request ends it", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let nowMs = 0;
  t.mock.method(performance, "now", () => nowMs);
  const ends: string[] = [];
  const deadline = new Deadline(15_000, (error) => ends.push(error.code));

  deadline.expect(10_000, silent);
  nowMs += 30_000;
  t.mock.timers.tick(10_000);
  deadline.stop();

  assert.deepEqual(ends, ["deadline"]);
});
