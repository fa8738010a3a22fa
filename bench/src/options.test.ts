import assert from "node:assert/strict";
import { test } from "node:test";

import { parseOptions } from "./options.ts";

test("without options everything is measured in five rounds", () => {
  assert.deepEqual(parseOptions([]), {
    rows: ["request", "stream-paced", "stream-flat-out", "latency", "first-token", "memory"],
    rounds: 5,
    seconds: 2,
    systems: ["tokilake", "nginx", "node-proxy", "portkey"],
    isPatient: false,
    write: undefined,
    profilesHub: false,
  });
});

test("a quick run is one round of one second, without memory", () => {
  const options = parseOptions(["--quick", "--peers", ""]);

  assert.equal(options?.rounds, 1);
  assert.equal(options.seconds, 1);
  assert.deepEqual(options.systems, ["tokilake"]);
  assert.deepEqual(options.rows, ["request", "stream-paced", "stream-flat-out", "latency", "first-token"]);
});

test("rows and peers are taken by name, in the order they run", () => {
  const options = parseOptions(["--rows=memory,request", "--peers", "portkey,nginx", "--without-hub", "--quick"]);

  assert.deepEqual(options?.rows, ["request", "memory"]);
  assert.deepEqual(options.systems, ["nginx", "portkey"]);
});

test("help is asked for, mistakes are explained", () => {
  assert.equal(parseOptions(["-h"]), undefined);
  assert.throws(() => parseOptions(["--rows", "request,throughput"]), /does not know throughput; it knows request, /);
  assert.throws(() => parseOptions(["--rounds", "0"]), /whole number from 1 to 100/);
  assert.throws(() => parseOptions(["--profile", "worker"]), /only: hub/);
  assert.throws(() => parseOptions(["--fast"]), TypeError);
});
