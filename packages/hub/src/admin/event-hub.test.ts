import assert from "node:assert/strict";
import { test } from "node:test";

import { EVENT_LIMITS, EventHub, type HubEvent, type Viewer } from "./event-hub.ts";

const ADA: Viewer = {
  userId: "user_ada",
  seesAll: false,
  groupIds: new Set(["group_1", "group_2"]),
  ownedGroupIds: new Set(["group_1"]),
  rights: "user",
};

function openHub(): EventHub {
  return new EventHub("run", (thrown) => {
    throw thrown;
  });
}

function subscriber(viewer: Viewer = ADA, lastEventId?: string) {
  return { viewer, refresh: async () => viewer, lastEventId };
}

function event(type: string, about: Partial<HubEvent> = {}): HubEvent {
  return { type, data: { n: 1 }, userIds: [], groupIds: [], ...about };
}

async function next(stream: AsyncIterator<string>): Promise<string | undefined> {
  const { done, value } = await stream.next();
  return done === true ? undefined : value;
}

test("a stream begins with ready, and tells events with ids in their order", async () => {
  using hub = openHub();
  const stream = hub.subscribe(subscriber());

  hub.publish(event("worker.connected", { userIds: ["user_ada"] }));

  assert.equal(await next(stream), "id: run-0\nevent: ready\ndata: {}\n\n");
  assert.equal(await next(stream), 'id: run-1\nevent: worker.connected\ndata: {"n":1}\n\n');
});

test("each event goes only to those whose business it is", async () => {
  using hub = openHub();
  const ada = hub.subscribe(subscriber());
  const admin = hub.subscribe(
    subscriber({ ...ADA, userId: "user_root", seesAll: true, groupIds: new Set(), ownedGroupIds: new Set() }),
  );

  hub.publish(event("a", { userIds: ["user_bob", undefined] }));
  hub.publish(event("b", { userIds: ["user_ada"] }));
  hub.publish(event("c", { groupIds: ["group_2"] }));
  hub.publish(event("d", { ownersOf: ["group_2"] }));
  hub.publish(event("e", { ownersOf: ["group_1"] }));
  hub.publish(event("f", { groupIds: ["group_3"] }));
  hub[Symbol.dispose]();

  const told = async (stream: AsyncIterable<string>): Promise<string[]> => {
    const types: string[] = [];
    for await (const text of stream) types.push(/event: (.*)/.exec(text)?.[1] ?? "");
    return types;
  };
  assert.deepEqual(await told(ada), ["ready", "b", "c", "e", "end"]);
  assert.deepEqual(await told(admin), ["ready", "a", "b", "c", "d", "e", "f", "end"]);
});

test("whoever was here before is told that what was missed is gone", async () => {
  using hub = openHub();

  const stream = hub.subscribe(subscriber(ADA, "run-7"));

  assert.match((await next(stream)) ?? "", /event: reset/);
});

test("a subscriber that takes nothing is dropped with a last word, and holds up nobody", async () => {
  using hub = openHub();
  const slow = hub.subscribe(subscriber());
  const other = hub.subscribe(subscriber());
  assert.match((await next(other)) ?? "", /ready/);

  for (let n = 0; n < EVENT_LIMITS.maxWaiting + 5; n += 1) {
    hub.publish(event("x", { userIds: ["user_ada"] }));
    assert.match((await next(other)) ?? "", /event: x/);
  }

  assert.equal(hub.size, 1);
  const texts: string[] = [];
  for await (const text of slow) texts.push(text);
  assert.equal(texts.length, EVENT_LIMITS.maxWaiting + 1);
  assert.equal(texts.at(-1), 'event: end\ndata: {"reason":"too-slow"}\n\n');
});

test("large events count by their size", async () => {
  using hub = openHub();
  const slow = hub.subscribe(subscriber());

  for (let n = 0; n < 5; n += 1) {
    hub.publish(event("x", { userIds: ["user_ada"], data: { text: "t".repeat(EVENT_LIMITS.maxWaitingBytes / 4) } }));
  }

  const texts: string[] = [];
  for await (const text of slow) texts.push(text.slice(0, 30));
  assert.equal(texts.length, 5);
});

test("a reader that goes away is forgotten, also while it waits", async () => {
  using hub = openHub();
  const stream = hub.subscribe(subscriber());
  await next(stream);
  const waiting = next(stream);

  await stream.return?.();

  assert.equal(await waiting, undefined);
  assert.equal(hub.isHeard, false);
});

test("streams are bounded, for one user and in all", () => {
  using hub = openHub();
  for (let n = 0; n < EVENT_LIMITS.maxPerUser; n += 1) hub.subscribe(subscriber());

  assert.throws(() => hub.subscribe(subscriber()), { code: "rate_limit_exceeded" });
  for (let n = hub.size; n < EVENT_LIMITS.maxSubscribers; n += 1) hub.subscribe(subscriber({ ...ADA, userId: `${n}` }));
  assert.throws(() => hub.subscribe(subscriber({ ...ADA, userId: "one more" })), { code: "overloaded" });
});

test("a stream follows what its user may see, and ends when rights or sign-in do", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  using hub = openHub();
  let viewer: Viewer | undefined = ADA;
  const stream = hub.subscribe({ viewer, refresh: async () => viewer, lastEventId: undefined });
  await next(stream);
  const recheck = async (now: Viewer | undefined): Promise<void> => {
    viewer = now;
    hub.recheckSoon();
    context.mock.timers.tick(EVENT_LIMITS.recheckMs);
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
  };

  await recheck({ ...ADA, groupIds: new Set(["group_9"]) });
  hub.publish(event("old", { groupIds: ["group_2"] }));
  hub.publish(event("new", { groupIds: ["group_9"] }));
  assert.match((await next(stream)) ?? "", /event: new/);

  await recheck({ ...ADA, rights: "admin" });
  assert.equal(await next(stream), 'event: end\ndata: {"reason":"rights-changed"}\n\n');
  assert.equal(await next(stream), undefined);

  const other = hub.subscribe({ viewer: ADA, refresh: async () => viewer, lastEventId: undefined });
  await next(other);
  await recheck(undefined);
  assert.equal(await next(other), 'event: end\ndata: {"reason":"signed-out"}\n\n');
});

test("what streams may see is asked for by one round at a time, and again for what changed meanwhile", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  using hub = openHub();
  const answers: ((viewer: Viewer) => void)[] = [];
  const refresh = (): Promise<Viewer> => new Promise((resolve) => answers.push(resolve));
  hub.subscribe({ viewer: ADA, refresh, lastEventId: undefined });
  const changed = async (): Promise<void> => {
    hub.recheckSoon();
    context.mock.timers.tick(EVENT_LIMITS.recheckMs);
    await new Promise((resolve) => setImmediate(resolve));
  };

  await changed();
  await changed();
  assert.equal(answers.length, 1);
  answers[0]?.(ADA);
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  context.mock.timers.tick(EVENT_LIMITS.recheckMs);
  await new Promise((resolve) => setImmediate(resolve));

  assert.equal(answers.length, 2);
});

test("a quiet stream has a comment now and then", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  using hub = openHub();
  const stream = hub.subscribe(subscriber());
  await next(stream);

  context.mock.timers.tick(EVENT_LIMITS.keepAliveMs);

  assert.equal(await next(stream), ": keep-alive\n\n");
});

test("a hub that stops says so, and takes no new streams", async () => {
  const hub = openHub();
  const stream = hub.subscribe(subscriber());
  await next(stream);

  hub[Symbol.dispose]();

  assert.equal(await next(stream), 'event: end\ndata: {"reason":"shutting-down"}\n\n');
  assert.throws(() => hub.subscribe(subscriber()), { code: "shutting_down" });
});
