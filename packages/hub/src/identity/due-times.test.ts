import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";

import { DueTimes } from "./due-times.ts";

interface Item {
  readonly name: string;
  atMs: number | undefined;
}

function dueTimes(context: TestContext): { times: DueTimes<Item>; told: string[]; tick: (ms: number) => void } {
  context.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const told: string[] = [];
  const times = new DueTimes<Item>({
    now: Date.now,
    dueAtMs: (item) => item.atMs,
    onDue: (item) => told.push(item.name),
  });
  return { times, told, tick: (ms) => context.mock.timers.tick(ms) };
}

test("each item is told when its time comes, in the order of times", (context) => {
  const { times, told, tick } = dueTimes(context);
  const order = [5, 1, 9, 3, 7, 2, 8, 6, 4];
  for (const at of order) times.add({ name: `${at}`, atMs: at * 1_000 });

  tick(999);
  const early = told.join("");
  tick(1);
  const first = told.join("");
  tick(8_000);

  assert.deepEqual([early, first, told.join("")], ["", "1", "123456789"]);
  assert.equal(times.size, 0);
});

test("an item whose time was changed is told at the new one, and one that is never due is not told", (context) => {
  const { times, told, tick } = dueTimes(context);
  const later: Item = { name: "later", atMs: 1_000 };
  const earlier: Item = { name: "earlier", atMs: 9_000 };
  const never: Item = { name: "never", atMs: 3_000 };
  for (const item of [later, earlier, never]) times.add(item);
  later.atMs = 5_000;
  earlier.atMs = 2_000;
  never.atMs = undefined;
  for (const item of [later, earlier, never]) times.add(item);

  tick(2_000);
  const soon = [...told];
  tick(20_000);

  assert.deepEqual([soon, told], [["earlier"], ["earlier", "later"]]);
});

test("a time that is past already is told at once", (context) => {
  const { times, told, tick } = dueTimes(context);
  tick(5_000);

  times.add({ name: "past", atMs: 1_000 });
  tick(0);

  assert.deepEqual(told, ["past"]);
});

test("a time beyond the longest sleep of a timer is waited for", (context) => {
  const { times, told, tick } = dueTimes(context);
  const yearMs = 365 * 24 * 3600 * 1000;
  times.add({ name: "far", atMs: yearMs });

  tick(yearMs - 1);
  const before = told.length;
  tick(1);

  assert.deepEqual([before, told], [0, ["far"]]);
});

test("changing one item's time again and again holds no more than a bounded number of entries", (context) => {
  const { times, told, tick } = dueTimes(context);
  const item: Item = { name: "busy", atMs: 0 };

  for (let n = 1; n <= 10_000; n += 1) {
    item.atMs = n;
    times.add(item);
  }
  const held = times.size;
  tick(10_000);

  assert.ok(held <= 1_025, `${held}`);
  assert.deepEqual(told, ["busy"]);
});
