import assert from "node:assert/strict";
import { test } from "node:test";

import { TUNNEL_LIMITS } from "../limits.ts";
import type { Registration } from "../tunnel-session.ts";
import { SessionRegistry } from "./session-registry.ts";

function session(instanceId: string, slot = 0, workerId = "pc"): { registration: Registration } {
  return { registration: { workerId, instanceId, slot, software: "t/1", details: undefined } };
}

test("the same instance and slot replaces its old session, another slot lives beside it", () => {
  const registry = new SessionRegistry<{ registration: Registration }>(TUNNEL_LIMITS);
  const [first, again, second] = [session("a"), session("a"), session("a", 1)];

  assert.deepEqual(registry.add(first, 0), []);
  assert.deepEqual(registry.add(second, 0), []);
  assert.deepEqual(registry.add(again, 0), [first]);
});

test("another instance takes all slots over", () => {
  const registry = new SessionRegistry<{ registration: Registration }>(TUNNEL_LIMITS);
  const [first, second, newer] = [session("a"), session("a", 1), session("b")];
  registry.add(first, 0);
  registry.add(second, 0);

  assert.deepEqual(registry.add(newer, 0), [first, second]);
});

test("two owners may use the same worker id", () => {
  type Owned = { registration: Registration; owner: string };
  const registry = new SessionRegistry<Owned>(TUNNEL_LIMITS, ({ owner }) => owner);
  const [adas, bobs] = [
    { ...session("a"), owner: "ada" },
    { ...session("b"), owner: "bob" },
  ];
  registry.add(adas, 0);

  assert.deepEqual(registry.add(bobs, 0), []);
  registry.remove(bobs);
  assert.deepEqual(registry.add({ ...session("c"), owner: "ada" }, 0), [adas]);
});

test("the late end of an old session does not remove the new one", () => {
  const registry = new SessionRegistry<{ registration: Registration }>(TUNNEL_LIMITS);
  const [older, newer] = [session("a"), session("b")];
  registry.add(older, 0);
  registry.add(newer, 0);

  registry.remove(older);

  assert.deepEqual(registry.add(session("c"), 0), [newer]);
});

test("the fourth take-over within a minute is refused with both processes named, later it is allowed again", () => {
  const registry = new SessionRegistry<{ registration: Registration }>(TUNNEL_LIMITS);
  for (const [index, instance] of ["a", "b", "a", "b"].entries()) {
    const next = session(instance);
    registry.check(next.registration, index * 1000);
    registry.add(next, index * 1000);
  }

  assert.throws(() => registry.check(session("a").registration, 4000), {
    code: "duplicate-instance",
    fatal: false,
    retryAfterMs: 300_000,
    message: /two processes use the same worker id/,
  });
  registry.check(session("b", 0).registration, 4000);
  registry.check(session("a", 0, "other").registration, 4000);
  registry.check(session("a").registration, 65_000);
});

test("a process that crashed and came back four times is not a duplicate", () => {
  const registry = new SessionRegistry<{ registration: Registration }>(TUNNEL_LIMITS);
  for (let count = 0; count < 10; count++) {
    const next = session(`process-${count}`);
    registry.check(next.registration, count);
    registry.add(next, count);
    registry.remove(next);
  }
});
