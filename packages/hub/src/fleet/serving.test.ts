import assert from "node:assert/strict";
import { test } from "node:test";

import type { Channel } from "../channels/channel.ts";
import { testPrincipal } from "../identity/test-principal.ts";
import { SilentLog } from "../observe/silent-log.ts";
import { OPERATOR_GROUP_ID } from "../store/access-schema.ts";
import { Catalogue } from "./catalogue.ts";
import { FleetTarget } from "./fleet-target.ts";
import { FleetWorker } from "./fleet-worker.ts";
import { CLAIM_PACE, type ModelClaims, Serving } from "./serving.ts";

type Asked = Parameters<ModelClaims["claim"]>[0];
type Claimed = Awaited<ReturnType<ModelClaims["claim"]>>;

const CHANNEL: Channel = {
  send: () => Promise.reject(new Error("not used")),
  connect: () => Promise.reject(new Error("not used")),
};

/** One worker with the models `a` and `b`, whose claims are answered by the test. */
function someServing(groupIds: string[]) {
  const catalogue = new Catalogue(() => 0);
  const log = new SilentLog();
  const claims: { asked: Asked; answer: PromiseWithResolvers<Claimed> }[] = [];
  const lost: string[] = [];
  const serving = new Serving(catalogue, {
    log,
    groupsToServe: () => [...groupIds],
    notServed: () => [],
    slugOf: () => undefined,
    claims: {
      claim: (asked) => {
        const answer = Promise.withResolvers<Claimed>();
        claims.push({ asked, answer });
        return answer.promise;
      },
    },
    onRoom: () => {},
    onLost: (_target, groupId) => lost.push(groupId),
  });
  const worker = new FleetWorker("pc", testPrincipal("wk", { kind: "worker", userId: "ada" }));
  const target = new FleetTarget("engine", worker, CHANNEL);
  target.announced = new Set(["a", "b"]);
  worker.targets.set("engine", target);
  const served = (groupId: string): string => [...(catalogue.in(groupId)?.models ?? [])].toSorted().join();
  const allow = async (n: number, ...allowed: string[]): Promise<void> => {
    claims[n]?.answer.resolve({ allowed, taken: [], tooMany: [], misleading: [] });
    await settled();
  };
  return { serving, worker, target, catalogue, log, claims, lost, served, allow };
}

async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

test("a worker's names are routed to when they are claimed, and at once where whoever runs the hub serves", async () => {
  const { serving, worker, served, allow, claims } = someServing([OPERATOR_GROUP_ID, "g"]);

  serving.decide(worker);
  const before = [served(OPERATOR_GROUP_ID), served("g")];
  await allow(0, "a");

  assert.deepEqual(before, ["a,b", ""]);
  assert.equal(served("g"), "a");
  assert.deepEqual(
    claims.map(({ asked }) => asked),
    [{ groupId: "g", ownerId: "ada", models: ["a", "b"] }],
  );
});

test("while a new list is claimed, what was allowed and is still there goes on", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const { serving, worker, target, served, allow } = someServing(["g"]);
  serving.decide(worker);
  await allow(0, "a", "b");

  target.announced = new Set(["b", "c"]);
  serving.decide(worker);
  const meanwhile = served("g");
  context.mock.timers.tick(CLAIM_PACE.spacingMs);
  await allow(1, "b", "c");

  assert.deepEqual([meanwhile, served("g")], ["b", "b,c"]);
});

test("an answer to an older question changes nothing", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const { serving, worker, served, allow, claims } = someServing(["g"]);
  serving.decide(worker);
  serving.decide(worker);
  context.mock.timers.tick(CLAIM_PACE.spacingMs);

  await allow(1, "a");
  await allow(0, "a", "b");

  assert.deepEqual([served("g"), claims.length], ["a", 2]);
});

test("whoever announces anew all the time is asked about four times a second, and for the last of it", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const { serving, worker, target, claims } = someServing(["g"]);

  for (let n = 0; n < 100; n += 1) {
    target.announced = new Set([`m${n}`]);
    serving.decide(worker);
  }
  const atOnce = claims.length;
  context.mock.timers.tick(CLAIM_PACE.spacingMs);

  assert.equal(atOnce, 1);
  assert.deepEqual(
    claims.map(({ asked }) => asked.models),
    [["m0"], ["m99"]],
  );
});

test("names that could not be claimed are asked for again, unless their worker is gone", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const { serving, worker, served, allow, claims, log } = someServing(["g"]);
  serving.decide(worker);

  claims[0]?.answer.reject(new Error("no database"));
  await settled();
  context.mock.timers.tick(CLAIM_PACE.retryMs);
  await allow(1, "a");
  const afterwards = served("g");
  serving.decide(worker);
  context.mock.timers.tick(CLAIM_PACE.spacingMs);
  claims[2]?.answer.reject(new Error("no database"));
  await settled();
  serving.forget(worker);
  context.mock.timers.tick(60_000);

  assert.equal(afterwards, "a");
  assert.deepEqual([claims.length, served("g")], [3, ""]);
  assert.deepEqual(log.messages, Array(2).fill("model names could not be claimed; trying again"));
});

test("a group that is lost is left at once, and what runs there is told; nothing stays behind in the catalogue", async () => {
  const groupIds = ["g", "h"];
  const { serving, worker, target, served, allow, lost, catalogue } = someServing(groupIds);
  serving.decide(worker);
  await allow(0, "a", "b");
  await allow(1, "a");
  target.inFlight = 1;

  groupIds.splice(0, 1);
  serving.decide(worker);

  assert.deepEqual([served("g"), served("h"), lost], ["", "a", ["g"]]);
  assert.equal(catalogue.in("g"), undefined);
  catalogue.remove(target);
  assert.equal(catalogue.in("h"), undefined);
  assert.deepEqual(target.groupIds, []);
});

test("groups where all models are served share one set", async () => {
  const { serving, worker, target, allow } = someServing(["g", "h"]);
  serving.decide(worker);
  await allow(0, "a", "b");
  await allow(1, "a", "b");

  assert.equal(target.modelsIn("g"), target.announced);
  assert.equal(target.modelsIn("h"), target.announced);
});
