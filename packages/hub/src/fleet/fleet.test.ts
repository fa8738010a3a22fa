import assert from "node:assert/strict";
import { test } from "node:test";

import { TunnelRefusal } from "@tokilake/tunnel";

import type { ChannelRequest, RequestBody } from "../channels/channel.ts";
import { testPrincipal } from "../identity/test-principal.ts";
import { SilentLog } from "../observe/silent-log.ts";
import { Dispatcher } from "../routing/dispatcher.ts";
import { OPERATOR_GROUP_ID } from "../store/access-schema.ts";
import { announced, FakeSession } from "./fake-session.ts";
import type { FleetTarget } from "./fleet-target.ts";
import { Fleet } from "./fleet.ts";

const NEVER = new AbortController().signal;
const WISH = {
  principal: testPrincipal("k"),
  groupIds: [OPERATOR_GROUP_ID],
  model: "m",
  method: "POST" as const,
  path: "/v1/chat/completions",
  tried: new Set<FleetTarget>(),
  isRetry: false,
  maxWaitMs: 30_000,
};
const SMALL: RequestBody = { held: [Buffer.from("{}")], length: 2 };

function fleetWith(...sessions: readonly FakeSession[]): {
  fleet: Fleet;
  dispatcher: Dispatcher;
  rooms: FleetTarget[];
} {
  const rooms: FleetTarget[] = [];
  const fleet = new Fleet({
    log: new SilentLog(),
    now: () => 0,
    groupsToServe: () => [OPERATOR_GROUP_ID],
    notServed: () => [],
    slugOf: () => undefined,
    claims: undefined,
    onRoom: (target) => rooms.push(target),
    onLost: () => {},
  });
  for (const session of sessions) fleet.add(session);
  return {
    fleet,
    rooms,
    dispatcher: new Dispatcher({ models: () => fleet.models, random: () => 0, patienceMs: () => 0 }),
  };
}

function targetsOf(fleet: Fleet, model = "m"): FleetTarget[] {
  return [...(fleet.models.in(OPERATOR_GROUP_ID)?.targetsOf(model) ?? [])];
}

async function ask(fleet: Fleet, body: RequestBody = SMALL): Promise<void> {
  const request: ChannelRequest = {
    requestId: "r",
    path: WISH.path,
    query: "",
    headers: [],
    model: "m",
    body,
    deadlineMs: 1000,
    connectMs: 1000,
  };
  await targetsOf(fleet)[0]
    ?.channel.send(request, NEVER)
    .catch(() => undefined);
}

test("sessions of one process lead to one target, whose slots are counted once", async () => {
  const { fleet, dispatcher } = fleetWith(new FakeSession(0), new FakeSession(1), new FakeSession(2));
  await dispatcher.acquire(WISH, NEVER);
  await dispatcher.acquire(WISH, NEVER);
  const third = dispatcher.acquire(WISH, NEVER);

  assert.deepEqual(
    targetsOf(fleet).map(({ inFlight, slots }) => [inFlight, slots]),
    [[2, 2]],
  );
  assert.equal(dispatcher.waiting, 1);
  dispatcher.release(targetsOf(fleet)[0] ?? assert.fail());
  await third;
});

test("another process of the same worker has targets of its own", () => {
  const { fleet } = fleetWith(new FakeSession(0), new FakeSession(0, { instanceId: "other" }));

  assert.equal(targetsOf(fleet).length, 2);
});

test("a session that is lost leaves the target to the others, the last one takes the models along", () => {
  const [first, second] = [new FakeSession(0), new FakeSession(1)];
  const { fleet } = fleetWith(first, second);
  const [target] = targetsOf(fleet);

  fleet.remove(first);
  const afterOne = targetsOf(fleet);
  fleet.remove(second);

  assert.deepEqual(afterOne, [target]);
  assert.deepEqual([targetsOf(fleet), fleet.models.in(OPERATOR_GROUP_ID), target?.isAccepting], [[], undefined, false]);
});

test("a slot that comes back finds the requests that still run counted", async () => {
  const old = new FakeSession(0);
  const { fleet, dispatcher } = fleetWith(old);
  await dispatcher.acquire(WISH, NEVER);
  fleet.add(new FakeSession(0));
  fleet.remove(old);

  assert.equal(targetsOf(fleet)[0]?.inFlight, 1);
});

test("a session that drains gets no stream while another takes them, and a target without any takes none", async () => {
  const [first, second] = [new FakeSession(0), new FakeSession(1)];
  const { fleet } = fleetWith(first, second);

  first.isAccepting = false;
  await ask(fleet);
  const whileOne = targetsOf(fleet)[0]?.isAccepting;
  second.isAccepting = false;
  await ask(fleet);

  assert.deepEqual([first.opened.length, second.opened.length, whileOne], [0, 1, true]);
  assert.equal(targetsOf(fleet)[0]?.isAccepting, false);
});

test("a new session beside one that drains gives room to those who wait", () => {
  const first = new FakeSession(0);
  const { fleet, rooms } = fleetWith(first);
  first.isAccepting = false;
  rooms.length = 0;

  fleet.add(new FakeSession(1));

  assert.deepEqual(rooms, targetsOf(fleet));
});

test("uploads go to the highest slot, the rest to the others in turn", async () => {
  const sessions = [new FakeSession(0), new FakeSession(2), new FakeSession(1)];
  const { fleet } = fleetWith(...sessions);

  for (let n = 0; n < 4; n += 1) await ask(fleet);
  await ask(fleet, { held: [], length: undefined, rest: () => Promise.resolve(undefined) });
  await ask(fleet, { held: [Buffer.alloc(1)], length: 1024 * 1024 + 1 });

  assert.deepEqual(
    sessions.map((session) => session.opened.map(({ priority }) => priority)),
    [
      ["interactive", "interactive"],
      ["bulk", "bulk"],
      ["interactive", "interactive"],
    ],
  );
});

test("with one session all streams share it, and a full one passes them on to the next", async () => {
  const [first, second] = [new FakeSession(0), new FakeSession(1)];
  const { fleet } = fleetWith(first);
  await ask(fleet, { held: [], length: undefined, rest: () => Promise.resolve(undefined) });
  fleet.add(second);
  first.isFull = true;
  await ask(fleet);

  assert.deepEqual(
    [first, second].map((session) => session.opened.map(({ priority }) => priority)),
    [["bulk"], ["interactive"]],
  );
});

test("the last announcement of any session counts, also after the session that brought the first is gone", () => {
  const [first, second] = [new FakeSession(0), new FakeSession(1)];
  const { fleet } = fleetWith(first, second);

  fleet.update(second, announced(["n"]));
  fleet.remove(second);
  fleet.update(first, { kind: "load", targets: [{ name: "e", running: 1 }] });

  assert.deepEqual([...(fleet.models.in(OPERATOR_GROUP_ID)?.models ?? [])], ["n"]);
  assert.equal(targetsOf(fleet, "n")[0]?.reported?.running, 1);
});

test("a worker's name stays its owner's while one of its sessions is open", () => {
  const [first, second] = [new FakeSession(0), new FakeSession(1)];
  const { fleet } = fleetWith(first, second);
  const stranger = testPrincipal("other", { kind: "worker" });

  fleet.remove(first);
  assert.throws(() => fleet.admit(stranger, first.registration), { code: "name-taken" });
  fleet.remove(second);
  fleet.admit(stranger, first.registration);
});

test("the workers of one key announce 50,000 models together; a list that is too many is refused or changes nothing", () => {
  const list = (worker: number, length: number): string[] => Array.from({ length }, (_, n) => `w${worker}-m${n}`);
  const sessions = Array.from(
    { length: 10 },
    (_, n) => new FakeSession(0, { workerId: `w${n}`, models: list(n, 5_000) }),
  );
  const { fleet } = fleetWith(...sessions);
  const [first = assert.fail()] = sessions;
  const late = new FakeSession(0, { workerId: "late", models: ["one-more"] });
  const other = testPrincipal("other", { kind: "worker" });

  assert.throws(
    () => fleet.admit(late.identity, late.registration),
    (error) => error instanceof TunnelRefusal && error.code === "too-many-models" && error.retryAfterMs === 60_000,
  );
  fleet.admit(other, late.registration);
  fleet.admit(first.identity, { ...first.registration, slot: 1 });
  fleet.update(first, announced(list(0, 4_999)));
  fleet.admit(late.identity, late.registration);
  fleet.add(late);
  fleet.update(first, announced([...list(0, 4_999), "x"]));
  assert.deepEqual(targetsOf(fleet, "x"), []);
  fleet.remove(sessions[1] ?? assert.fail());
  fleet.update(first, announced([...list(0, 4_999), "x"]));

  assert.equal(targetsOf(fleet, "x").length, 1);
});
