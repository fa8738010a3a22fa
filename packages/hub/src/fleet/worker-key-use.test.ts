import assert from "node:assert/strict";
import { test } from "node:test";

import { SilentLog } from "../observe/silent-log.ts";
import { WORKER_KEY_USE, WorkerKeyUse } from "./worker-key-use.ts";

test("keys are noted when their workers come, together, and each minute while they stay", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  const noted: (readonly string[])[] = [];
  const note = (keyIds: readonly string[]): Promise<void> => Promise.resolve(void noted.push(keyIds));
  const use = new WorkerKeyUse({
    connected: () => ["key_a", "key_a", "key_b"],
    note,
    log: new SilentLog(),
    now: () => 0,
  });

  for (const keyId of ["key_a", "key_b", "key_a"]) use.came(keyId);
  t.mock.timers.tick(WORKER_KEY_USE.afterMs);
  use.came("key_c");
  t.mock.timers.tick(WORKER_KEY_USE.afterMs);
  t.mock.timers.tick(WORKER_KEY_USE.everyMs - 2 * WORKER_KEY_USE.afterMs);
  use.came("key_d");
  use[Symbol.dispose]();
  t.mock.timers.tick(2 * WORKER_KEY_USE.everyMs);

  assert.deepEqual(noted, [["key_a", "key_b"], ["key_c"], ["key_a", "key_b"]]);
});

test("what could not be noted is noted the next time", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  let asked = 0;
  const note = (): Promise<void> => {
    asked += 1;
    return Promise.reject(new Error("the database is away"));
  };
  using _use = new WorkerKeyUse({ connected: () => ["key_a"], note, log: new SilentLog(), now: () => 0 });

  t.mock.timers.tick(2 * WORKER_KEY_USE.everyMs);
  await Promise.resolve();

  assert.equal(asked, 2);
});
