import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";

import type { NotServed } from "../identity/not-served.ts";
import { testPrincipal } from "../identity/test-principal.ts";
import { SilentLog } from "../observe/silent-log.ts";
import { OPERATOR_GROUP_ID } from "../store/access-schema.ts";
import { announced, FakeSession } from "./fake-session.ts";
import { Fleet } from "./fleet.ts";
import { NOTICE_LIMITS } from "./served-notice.ts";
import type { ModelClaims } from "./serving.ts";

type Claimed = Awaited<ReturnType<ModelClaims["claim"]>>;

const NOTHING: Claimed = { allowed: [], taken: [], tooMany: [], misleading: [] };

/**
 * A fleet whose clock, groups (ids with their slugs) and keepers of names are the test's. Whoever is not named as the keeper of a name
 * keeps it; the worker's key is not for models that begin with "private".
 */
function someFleet(context: TestContext) {
  let nowMs = 0;
  context.mock.timers.enable({ apis: ["setTimeout"] });
  context.mock.method(performance, "now", () => nowMs);
  const groups = new Map<string, string>();
  const taken = new Set<string>();
  const notServed: NotServed[] = [];
  const log = new SilentLog();
  const state = { isDatabaseUp: true };
  const fleet = new Fleet({
    log,
    now: () => 0,
    groupsToServe: (_worker, named) =>
      [...groups]
        .filter(([id, slug]) => named === undefined || named.includes(id) || named.includes(slug))
        .map(([id]) => id),
    notServed: () => notServed,
    slugOf: (groupId) => groups.get(groupId),
    claims: {
      claim: ({ models }) => {
        if (!state.isDatabaseUp) return Promise.reject(new Error("no database"));
        const isTaken = (model: string): boolean => taken.has(model);
        return Promise.resolve({
          ...NOTHING,
          allowed: models.filter((model) => !isTaken(model)),
          taken: models.filter(isTaken),
        });
      },
    },
    onRoom: () => {},
    onLost: () => {},
  });
  const principal = testPrincipal("k", {
    kind: "worker",
    userId: "ada",
    allowsModel: (model) => !model.startsWith("private"),
  });
  const session = (slot: number, models: readonly string[]): FakeSession =>
    Object.assign(new FakeSession(slot, { models }), { identity: principal });
  const pass = async (ms: number): Promise<void> => {
    nowMs += ms;
    context.mock.timers.tick(ms);
    await settled();
  };
  return { fleet, groups, taken, notServed, log, state, session, pass };
}

async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

function served(...groups: object[]): object {
  return { kind: "served", groups };
}

test("a worker is told what it serves where, and what not and why, when that is found out", async (context) => {
  const { fleet, groups, taken, notServed, log, session } = someFleet(context);
  groups.set("group_1", "friends").set(OPERATOR_GROUP_ID, "operator");
  taken.add("b");
  notServed.push({ group: "nowhere", slug: undefined, why: "not-allowed" });
  notServed.push({ group: "group_2", slug: "open-house", why: "not-approved" });
  const worker = session(0, ["a", "b", "private-1"]);

  fleet.add(worker);
  const atOnce = [...worker.notices];
  await settled();

  const kept = { why: "not-allowed-by-key", count: 1, models: ["private-1"] };
  assert.deepEqual(atOnce, []);
  assert.deepEqual(worker.notices, [
    served(
      { group: "friends", served: 1, refused: [{ why: "taken", count: 1, models: ["b"] }, kept] },
      { group: "nowhere", why: "not-allowed" },
      { group: "open-house", why: "not-approved" },
      { group: "operator", served: 2, refused: [kept] },
    ),
  ]);
  assert.deepEqual(log.messages, ["a worker offers models that it may not serve there"]);
});

test("a worker is told again when something changed, and not otherwise", async (context) => {
  const { fleet, groups, taken, log, session, pass } = someFleet(context);
  groups.set("group_1", "friends");
  taken.add("a");
  const worker = session(0, ["a"]);
  fleet.add(worker);
  await settled();

  for (const change of [() => {}, () => fleet.decideGroup("group_1"), () => fleet.update(worker, announced(["a"]))]) {
    change();
    await pass(NOTICE_LIMITS.spacingMs);
  }
  const before = worker.notices.splice(0).length;
  taken.clear();
  fleet.decideGroup("group_1");
  await pass(NOTICE_LIMITS.spacingMs);

  assert.equal(before, 1);
  assert.deepEqual(worker.notices, [served({ group: "friends", served: 1, refused: [] })]);
  assert.equal(log.messages.length, 1);
});

test("notices are a second apart, and the last one counts", async (context) => {
  const { fleet, groups, session, pass } = someFleet(context);
  groups.set("group_1", "friends");
  const worker = session(0, ["a"]);
  fleet.add(worker);
  await settled();

  for (const models of [["a", "b"], ["a", "b", "c"], ["a"], ["a", "b", "c", "d"]]) {
    fleet.update(worker, announced(models));
    await pass(NOTICE_LIMITS.spacingMs / 8);
  }
  const early = worker.notices.length;
  await pass(NOTICE_LIMITS.spacingMs / 2);

  assert.equal(early, 1);
  assert.deepEqual(worker.notices.slice(1), [served({ group: "friends", served: 4, refused: [] })]);
});

test("nothing is told while names cannot be claimed, nor of a worker that is gone", async (context) => {
  const { fleet, groups, state, session, pass } = someFleet(context);
  groups.set("group_1", "friends");
  const [one, two] = [session(0, ["a"]), session(0, ["a"])];
  state.isDatabaseUp = false;

  fleet.add(one);
  await pass(0);
  const before = one.notices.length;
  state.isDatabaseUp = true;
  await pass(1_000);
  fleet.remove(one);
  fleet.add(two);
  fleet.remove(two);
  await pass(10_000);

  assert.deepEqual([before, one.notices.length, two.notices.length], [0, 1, 0]);
});

test("a worker is told on one of its sessions, and anew on another when that one is gone", async (context) => {
  const { fleet, groups, session, pass } = someFleet(context);
  groups.set("group_1", "friends");
  const [first, second] = [session(0, ["a"]), session(1, ["a"])];

  fleet.add(first);
  fleet.add(second);
  await pass(NOTICE_LIMITS.spacingMs);
  const before = [first.notices.length, second.notices.length];
  fleet.remove(first);
  await pass(NOTICE_LIMITS.spacingMs);

  assert.deepEqual([before, second.notices.length], [[1, 0], 1]);
});

test("a worker of version 1 is told nothing, the log is told once", async (context) => {
  const { fleet, groups, taken, log, session, pass } = someFleet(context);
  groups.set("group_1", "friends");
  taken.add("a");
  const worker = Object.assign(session(0, ["a"]), { version: 1 as const });

  fleet.add(worker);
  for (let n = 0; n < 3; n += 1) {
    fleet.decideGroup("group_1");
    await pass(NOTICE_LIMITS.spacingMs);
  }

  assert.deepEqual([worker.notices, log.messages.length], [[], 1]);
});

test("a group that a worker names by its slug stays the one that it means, and is called so", async (context) => {
  const { fleet, groups, session, pass } = someFleet(context);
  groups.set("group_1", "friends");
  const worker = session(0, ["a"]);
  const named = (models: readonly string[]): object => ({ ...announced(models), groups: ["friends"] });
  fleet.add(worker);
  fleet.update(worker, named(["a"]));
  await pass(NOTICE_LIMITS.spacingMs);

  // Somebody else may take the slug now.
  groups.set("group_1", "pals").set("group_2", "friends");
  fleet.update(worker, named(["a", "b"]));
  await pass(NOTICE_LIMITS.spacingMs);

  assert.deepEqual(worker.notices.at(-1), served({ group: "friends", served: 2, refused: [] }));
  assert.deepEqual([...(fleet.models.in("group_1")?.models ?? [])], ["a", "b"]);
  assert.equal(fleet.models.in("group_2"), undefined);
});
