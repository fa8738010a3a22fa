import assert from "node:assert/strict";
import { test } from "node:test";

import type { Channel } from "../channels/channel.ts";
import { AppError } from "../errors.ts";
import { Catalogue } from "../fleet/catalogue.ts";
import { FleetTarget } from "../fleet/fleet-target.ts";
import { testPrincipal } from "../identity/test-principal.ts";
import { Dispatcher } from "./dispatcher.ts";

const NEVER = new AbortController().signal;
const CHANNEL: Channel = {
  send: () => Promise.reject(new Error("not used")),
  connect: () => Promise.reject(new Error("not used")),
};

function dispatcherOf(models: Catalogue, patienceMs = 0): Dispatcher {
  return new Dispatcher({ models: () => models, random: Math.random, patienceMs: () => patienceMs });
}

function fleetOf(count: number, slots: number): { targets: FleetTarget[]; dispatcher: Dispatcher; models: Catalogue } {
  const models = new Catalogue(() => 0);
  const targets = Array.from({ length: count }, (_, n) => {
    const owner = { isAccepting: true, workerId: `w${n}`, userId: undefined };
    const target = new FleetTarget("engine", owner, CHANNEL);
    target.slots = slots;
    models.set(target, "g", new Set(["m"]));
    return target;
  });
  return { targets, dispatcher: dispatcherOf(models), models };
}

const WISH = {
  principal: testPrincipal("k", { groupIds: ["g"] }),
  groupIds: ["g"],
  model: "m",
  method: "POST" as const,
  path: "/v1/chat/completions",
  tried: new Set<FleetTarget>(),
  isRetry: false,
  maxWaitMs: 30_000,
};

test("every slot of many workers is used before anybody waits", async () => {
  const { targets, dispatcher } = fleetOf(200, 2);

  for (let n = 0; n < 400; n += 1) await dispatcher.acquire(WISH, NEVER);

  assert.ok(targets.every((target) => target.inFlight === 2));
});

test("with many workers the load stays even, though few are looked at", async () => {
  const { targets, dispatcher } = fleetOf(1_000, 100);

  for (let n = 0; n < 10_000; n += 1) await dispatcher.acquire(WISH, NEVER);

  const most = Math.max(...targets.map((target) => target.inFlight));
  assert.ok(most <= 14, `${most} on one, 10 on average`);
});

test("a request that tried all candidates gets none", async () => {
  const { targets, dispatcher } = fleetOf(2, 1);

  assert.equal(await dispatcher.acquire({ ...WISH, tried: new Set(targets), isRetry: true }, NEVER), undefined);
});

test("a newcomer does not overtake those who wait", async () => {
  const { targets, dispatcher } = fleetOf(1, 1);
  const target = targets[0] ?? assert.fail();
  await dispatcher.acquire(WISH, NEVER);
  const order: string[] = [];
  const first = dispatcher.acquire(WISH, NEVER).then(() => order.push("first"));
  const second = dispatcher.acquire(WISH, NEVER).then(() => order.push("second"));

  dispatcher.release(target);
  await first;
  dispatcher.release(target);
  await second;

  assert.deepEqual(order, ["first", "second"]);
  assert.equal(target.inFlight, 1);
});

test("a group that is lost while the request waits does not serve it, the other one does", async () => {
  const { targets, dispatcher, models } = fleetOf(1, 1);
  const target = targets[0] ?? assert.fail();
  await dispatcher.acquire(WISH, NEVER);
  models.set(target, "h", new Set(["m"]));
  const groupIds = ["g", "h"];
  const waiting = dispatcher.acquire(
    { ...WISH, groupIds: ["g", "h"], principal: { groupIds, pins: undefined } },
    NEVER,
  );

  groupIds.shift();
  dispatcher.release(target);

  assert.equal((await waiting)?.groupId, "h");
});

test("a model that left is offline for a while, then unknown, as long as another is there", async () => {
  let nowMs = 0;
  const models = new Catalogue(() => nowMs);
  const dispatcher = dispatcherOf(models);
  const owner = { isAccepting: true, workerId: "w", userId: undefined };
  const target = new FleetTarget("engine", owner, CHANNEL);
  models.set(target, "g", new Set(["m", "other"]));
  models.set(target, "g", new Set(["other"]));
  const codeNow = async (): Promise<string> => {
    const thrown: unknown = await dispatcher.acquire(WISH, NEVER).catch((error: unknown) => error);
    return thrown instanceof AppError ? thrown.code : "none";
  };

  const soon = await codeNow();
  nowMs = 10 * 60_000 + 1;
  const later = await codeNow();

  assert.deepEqual([soon, later], ["no_worker", "model_not_found"]);
});

test("while workers are expected, a request waits for the first of its model, and after that is told why there is none", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const models = new Catalogue(() => 0);
  const dispatcher = dispatcherOf(models, 5_000);
  const target = new FleetTarget("engine", { isAccepting: true, workerId: "w", userId: undefined }, CHANNEL);

  const served = dispatcher.acquire(WISH, NEVER);
  const unserved = dispatcher.acquire({ ...WISH, model: "other" }, NEVER);
  models.set(target, "g", new Set(["m"]));
  dispatcher.offer(target);
  t.mock.timers.tick(5_000);

  assert.deepEqual(await served, { target, groupId: "g" });
  assert.equal(target.inFlight, 1);
  await assert.rejects(unserved, (error) => error instanceof AppError && error.code === "model_not_found");
});

test("a target that refuses for want of room gets nothing more for a moment, or until a request of ours ends there", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { targets, dispatcher } = fleetOf(1, 3);
  const target = targets[0] ?? assert.fail();
  const served: string[] = [];
  const ask = (name: string): void => void dispatcher.acquire(WISH, NEVER).then(() => served.push(name));
  for (let n = 0; n < 3; n += 1) await dispatcher.acquire(WISH, NEVER);
  const settled = (): Promise<void> => new Promise(setImmediate);

  // Two are refused, the third runs and ends.
  for (let n = 0; n < 2; n += 1) {
    dispatcher.rest(target);
    dispatcher.release(target);
  }
  ask("after the end");
  await settled();
  const whileResting = [...served];
  dispatcher.release(target);
  await settled();
  dispatcher.rest(target);
  dispatcher.release(target);
  ask("after a moment");
  await settled();
  const beforeTheMoment = [...served];
  t.mock.timers.tick(250);
  await settled();

  assert.deepEqual(whileResting, []);
  assert.deepEqual(beforeTheMoment, ["after the end"]);
  assert.deepEqual(served, ["after the end", "after a moment"]);
});
