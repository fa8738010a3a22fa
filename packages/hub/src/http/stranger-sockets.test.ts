import assert from "node:assert/strict";
import { Socket } from "node:net";
import { test } from "node:test";

import { STRANGERS, StrangerSockets } from "./stranger-sockets.ts";

function taken(strangers: StrangerSockets, count: number): Socket[] {
  return Array.from({ length: count }, () => {
    const socket = new Socket();
    strangers.add(socket, "10.0.0.1");
    return socket;
  });
}

const closedOf = (sockets: readonly Socket[]): number => sockets.filter((socket) => socket.destroyed).length;

test("of a crowd that comes at once nobody goes who shows a key within the second", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const strangers = new StrangerSockets();
  const crowd = taken(strangers, STRANGERS.perNetworkAtOnce);

  t.mock.timers.tick(STRANGERS.crowdMs - 1);
  for (const socket of crowd) strangers.welcome(socket);
  t.mock.timers.tick(1);

  assert.deepEqual([closedOf(crowd), strangers.size], [0, 0]);
});

test("of a crowd that says nothing the oldest go after a second, and at once when it is too large", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const strangers = new StrangerSockets();
  const crowd = taken(strangers, STRANGERS.perNetworkAtOnce + 3);

  const atOnce = closedOf(crowd);
  t.mock.timers.tick(STRANGERS.crowdMs);
  taken(strangers, 1);
  t.mock.timers.tick(STRANGERS.crowdMs);

  assert.equal(atOnce, 3);
  assert.equal(strangers.size, STRANGERS.perNetwork);
  assert.equal(closedOf(crowd.slice(0, 3)), 3);
  assert.equal(closedOf(crowd.slice(4 - STRANGERS.perNetwork)), 0);
});
