import assert from "node:assert/strict";
import { test } from "node:test";

import { busySeconds, type CpuProfile, topParts, topSelfTimes } from "./cpu-profile.ts";

test("self time is added up by function, waiting left out", () => {
  const node = (id: number, functionName: string, url: string, lineNumber: number) => ({
    id,
    callFrame: {
      functionName,
      url,
      lineNumber,
    },
  });
  const profile: CpuProfile = {
    nodes: [
      node(1, "(idle)", "", -1),
      node(2, "relay", "file:///home/x/packages/hub/src/relay.ts", 9),
      node(3, "", "file:///home/x/node_modules/ws/lib/sender.js", 0),
      node(4, "relay", "file:///home/x/packages/hub/src/relay.ts", 9),
    ],
    samples: [1, 2, 3, 4, 1],
    timeDeltas: [1000, 100, 50, 50, 9000],
  };

  assert.deepEqual(topSelfTimes(profile, 5), [
    { name: "relay", place: "hub/src/relay.ts:10", share: 0.75 },
    { name: "(anonymous)", place: "ws/lib/sender.js:1", share: 0.25 },
  ]);
  assert.equal(busySeconds(profile), 0.0002);
  assert.deepEqual(topParts(profile, 5), [
    { name: "hub/src/relay.ts", place: "", share: 0.75 },
    { name: "ws", place: "", share: 0.25 },
  ]);
});
