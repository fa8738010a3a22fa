import assert from "node:assert/strict";
import { test } from "node:test";

import { TUNNEL_LIMITS } from "../limits.ts";
import { TunnelRefusal } from "../tunnel-refusal.ts";
import { ConnectPlaces, type Place } from "./connect-places.ts";

const LIMITS = {
  ...TUNNEL_LIMITS,
  maxPendingSessions: 6,
  maxPendingPerNetwork: 4,
  maxPendingPerOwner: 2,
  maxSessionsPerOwner: 3,
  connectsPerSecondPerOwner: 2,
  connectBurstPerOwner: 4,
};

/** The code it is refused with, "" when it is not. */
function refusalOf(action: () => unknown): string {
  try {
    action();
    return "";
  } catch (error) {
    assert.ok(error instanceof TunnelRefusal);
    assert.equal(error.retryAfterMs, 5000);
    return `${error.status} ${error.code}`;
  }
}

function claimed(places: ConnectPlaces, owner: string, nowMs: number): Place {
  const place = places.enter("192.0.2.1");
  place.claim(owner, nowMs);
  return place;
}

test("connections on their way in are bounded for a network and in all, until they registered or left", () => {
  const places = new ConnectPlaces(LIMITS);
  const entered = Array.from({ length: 4 }, () => places.enter("192.0.2.1"));

  const neighbour = refusalOf(() => places.enter("192.0.2.1"));
  places.enter("192.0.2.2");
  const last = places.enter("192.0.2.3");
  const stranger = refusalOf(() => places.enter("192.0.2.4"));
  entered[0]?.registered();
  entered[1]?.leave();
  entered[1]?.leave();
  const after = [1, 2, 3].map(() => refusalOf(() => places.enter("192.0.2.1")));
  last.leave();

  assert.deepEqual([neighbour, stranger, after], ["429 busy", "503 busy", ["", "", "503 busy"]]);
  assert.equal(places.pending, 5);
});

test("an owner has so many on their way in, so many at all, and dials so often", () => {
  const places = new ConnectPlaces(LIMITS);
  const first = claimed(places, "alice", 0);
  const second = claimed(places, "alice", 0);

  const third = places.enter("192.0.2.1");
  const pending = refusalOf(() => third.claim("alice", 0));
  third.leave();
  claimed(places, "bob", 0);
  first.registered();
  second.registered();
  claimed(places, "alice", 0).registered();
  const full = refusalOf(() => claimed(places, "alice", 0));
  places.prune();
  first.leave();
  claimed(places, "alice", 0).leave();
  const fast = refusalOf(() => claimed(places, "alice", 0));
  const later = refusalOf(() => claimed(places, "alice", 500));

  assert.deepEqual([pending, full, fast, later], ["429 too-fast", "429 too-many-sessions", "429 too-fast", ""]);
});
