import assert from "node:assert/strict";
import { test } from "node:test";

import type { Pins } from "../identity/principal.ts";
import { suits } from "./pins.ts";

const ADAS = { workerId: "pc", userId: "ada" };
const BOBS = { workerId: "pc", userId: "bob" };
const OPERATORS = { workerId: "server", userId: undefined };

test("a key's owner names the workers and owners they want, or do not want", () => {
  const cases: readonly (readonly [pins: Pins | undefined, suiting: string])[] = [
    [undefined, "ada bob operator"],
    [{}, "ada bob operator"],
    [{ workers: ["pc"] }, "ada bob"],
    [{ owners: ["bob", "operator"] }, "bob operator"],
    [{ workers: ["pc"], owners: ["ada"] }, "ada"],
    [{ excludeWorkers: ["pc"] }, "operator"],
    [{ excludeOwners: ["operator", "ada"] }, "bob"],
    [{ owners: ["ada"], excludeOwners: ["ada"] }, ""],
    [{ workers: [] }, ""],
  ];

  for (const [pins, expected] of cases) {
    const suiting = [ADAS, BOBS, OPERATORS].filter((worker) => suits(worker, pins));
    assert.equal(suiting.map(({ userId = "operator" }) => userId).join(" "), expected, JSON.stringify(pins));
  }
});
