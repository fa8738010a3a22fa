import assert from "node:assert/strict";
import { test } from "node:test";

import type { Channel } from "../channels/channel.ts";
import { Catalogue, REMEMBERED } from "./catalogue.ts";
import { FleetTarget } from "./fleet-target.ts";

const CHANNEL: Channel = {
  send: () => Promise.reject(new Error("not used")),
  connect: () => Promise.reject(new Error("not used")),
};

function someTarget(): FleetTarget {
  return new FleetTarget("engine", { workerId: "w", userId: undefined, isAccepting: true }, CHANNEL);
}

test("a model is remembered in the groups where it was, for ten minutes", () => {
  let nowMs = 0;
  const catalogue = new Catalogue(() => nowMs);
  const target = someTarget();
  catalogue.set(target, "g", new Set(["m"]));
  catalogue.remove(target);
  const remembered = (): boolean[] => ["g", "h"].map((groupId) => catalogue.isRemembered(groupId, "m"));

  const soon = remembered();
  nowMs = REMEMBERED.forMs;
  const atTheEnd = remembered();
  nowMs += 1;

  assert.deepEqual(
    [soon, atTheEnd, remembered()],
    [
      [true, false],
      [true, false],
      [false, false],
    ],
  );
});

test("what is served is not remembered, and what another target still has did not leave", () => {
  const catalogue = new Catalogue(() => 0);
  const [one, other] = [someTarget(), someTarget()];
  catalogue.remember("g", ["m"]);
  const atTheStart = catalogue.isRemembered("g", "m");
  for (const target of [one, other]) catalogue.set(target, "g", new Set(["m"]));
  catalogue.remember("g", ["m"]);
  catalogue.remove(one);

  assert.deepEqual([atTheStart, catalogue.isRemembered("g", "m")], [true, false]);
});

test("no more than 5,000 models are remembered, the last ones", () => {
  const catalogue = new Catalogue(() => 0);
  const names = Array.from({ length: REMEMBERED.maxModels + 1 }, (_, n) => `m${n}`);

  catalogue.remember("g", names);

  assert.deepEqual(
    ["m0", "m1", `m${REMEMBERED.maxModels}`].map((model) => catalogue.isRemembered("g", model)),
    [false, true, true],
  );
});
