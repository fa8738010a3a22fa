import assert from "node:assert/strict";
import { test } from "node:test";

import { parseOptions, ROW_NAMES } from "./options.ts";

test("without options everything is measured in five rounds", () => {
  assert.deepEqual(parseOptions([]), {
    rows: ROW_NAMES,
    rounds: 5,
    seconds: 2,
    systems: ["tokilake", "nginx", "node-proxy", "portkey"],
    isPatient: false,
    write: undefined,
    profile: undefined,
  });
});

test("a quick run is one round of one second, without memory", () => {
  const options = parseOptions(["--quick", "--peers", ""]);

  assert.equal(options?.rounds, 1);
  assert.equal(options.seconds, 1);
  assert.deepEqual(options.systems, ["tokilake"]);
  assert.deepEqual(
    options.rows,
    ROW_NAMES.filter((name) => name !== "memory" && name !== "tunnel-idle"),
  );
});

test("rows and peers are taken by name, in the order they run", () => {
  const options = parseOptions(["--rows=memory,request", "--peers", "portkey,nginx", "--without-hub", "--quick"]);

  assert.deepEqual(options?.rows, ["request", "memory"]);
  assert.deepEqual(options.systems, ["nginx", "portkey"]);
});

test("the rows of the hub and of the tunnel have a name for all of them", () => {
  assert.deepEqual(parseOptions(["--rows", "tunnel,memory"])?.rows, [
    "memory",
    "tunnel-request",
    "tunnel-chunks",
    "tunnel-bulk",
    "tunnel-idle",
    "tunnel-growth",
  ]);
  assert.deepEqual(parseOptions(["--rows", "hub"])?.rows, ROW_NAMES.slice(0, 6));
});

test("help is asked for, mistakes are explained", () => {
  assert.equal(parseOptions(["-h"]), undefined);
  assert.throws(() => parseOptions(["--rows", "request,throughput"]), /does not know throughput; it knows request, /);
  assert.throws(() => parseOptions(["--rounds", "0"]), /whole number from 1 to 100/);
  assert.throws(() => parseOptions(["--profile", "worker"]), /does not know worker/);
  assert.throws(() => parseOptions(["--fast"]), TypeError);
});
