import assert from "node:assert/strict";
import { test } from "node:test";

import { AppError } from "../errors.ts";
import { QUEUE_LIMITS, SlotQueue } from "./slot-queue.ts";

interface Target {
  modelsIn(groupId: string): ReadonlySet<string> | undefined;
}

const WAIT = { groupIds: ["g"], maxWaitMs: QUEUE_LIMITS.maxWaitMs };
const ANY = { ...WAIT, model: "m", accepts: () => true };
const NEVER = new AbortController().signal;
const TARGET = targetIn("g");

function targetIn(...groupIds: readonly string[]): Target {
  return { modelsIn: (groupId) => (groupIds.includes(groupId) ? new Set(["m", "n"]) : undefined) };
}

function codeOf(code: string): (error: unknown) => boolean {
  return (error) => error instanceof AppError && error.code === code;
}

test("who waited longest for any of the target's models is served first", async () => {
  const queue = new SlotQueue<Target>();
  const served: string[] = [];
  const wait = (name: string, model: string): Promise<unknown> =>
    queue.wait({ ...WAIT, model, accepts: () => true }, NEVER).then(() => served.push(name));
  const waits = [wait("first", "n"), wait("second", "m"), wait("third", "n")];

  while (queue.offer(TARGET));
  await Promise.all(waits);

  assert.deepEqual(served, ["first", "second", "third"]);
  assert.equal(queue.size, 0);
});

test("a slot that nobody wants is not taken", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const queue = new SlotQueue<Target>();
  const picky = queue.wait({ ...WAIT, model: "m", accepts: () => false }, NEVER);
  picky.catch(() => {});
  const foreign = queue.wait({ ...WAIT, model: "other", accepts: () => true }, NEVER);
  foreign.catch(() => {});

  assert.equal(queue.offer(TARGET), false);
  assert.equal(queue.size, 2);
});

test("a slot that is free in the very turn in which somebody stops waiting is not given to him", async () => {
  const queue = new SlotQueue<Target>();
  const leaving = new AbortController();
  const left = queue.wait(ANY, leaving.signal);
  left.catch(() => {});
  const next = queue.wait(ANY, NEVER);

  leaving.abort(new AppError("client_closed"));
  const isGiven = queue.offer(TARGET);
  const isGivenAgain = queue.offer(TARGET);
  await next;

  assert.deepEqual([isGiven, isGivenAgain], [true, false]);
  await assert.rejects(left, codeOf("client_closed"));
  await assert.rejects(queue.wait(ANY, leaving.signal), codeOf("client_closed"));
  assert.equal(queue.size, 0);
});

test("who stops waiting leaves the queue with the reason", async () => {
  const queue = new SlotQueue<Target>();
  const client = new AbortController();
  const waiting = queue.wait(ANY, client.signal);

  client.abort(new AppError("client_closed"));

  await assert.rejects(waiting, codeOf("client_closed"));
  assert.equal(queue.hasWaiters("g", "m"), false);
});

test("a wait ends after its time", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const queue = new SlotQueue<Target>();
  const waiting = queue.wait(ANY, NEVER);

  t.mock.timers.tick(QUEUE_LIMITS.maxWaitMs);

  await assert.rejects(waiting, codeOf("worker_busy"));
});

test("the queue is full at its limit, and one more is refused at once", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const queue = new SlotQueue<Target>();
  const waiting = Array.from({ length: QUEUE_LIMITS.maxWaiting }, () => queue.wait(ANY, new AbortController().signal));

  await assert.rejects(queue.wait(ANY, NEVER), codeOf("worker_busy"));
  while (queue.offer(TARGET));
  await Promise.all(waiting);
});

test("who may be served in two groups waits in both, and is served once", async () => {
  const queue = new SlotQueue<Target>();
  const both = queue.wait({ ...ANY, groupIds: ["g", "h"] }, NEVER);
  const inSecond = queue.wait({ ...ANY, groupIds: ["h"] }, NEVER);
  const waiting = [queue.hasWaiters("g", "m"), queue.hasWaiters("h", "m"), queue.hasWaiters("i", "m"), queue.size];
  const target = targetIn("h");

  assert.equal(queue.offer(targetIn("i")), false);
  assert.equal(queue.offer(target), true);
  assert.equal(queue.offer(targetIn("g")), false);
  assert.equal(queue.offer(targetIn("g", "h")), true);

  assert.deepEqual(waiting, [true, true, false, 2]);
  assert.deepEqual(await both, { target, groupId: "h" });
  assert.equal((await inSecond).groupId, "h");
  assert.deepEqual([queue.size, queue.hasWaiters("g", "m"), queue.hasWaiters("h", "m")], [0, false, false]);
});

test("a target that serves both groups is taken in the one that the request names first", async () => {
  const queue = new SlotQueue<Target>();
  const waiting = queue.wait({ ...ANY, groupIds: ["h", "g"] }, NEVER);

  queue.offer(targetIn("g", "h"));

  assert.equal((await waiting).groupId, "h");
});
