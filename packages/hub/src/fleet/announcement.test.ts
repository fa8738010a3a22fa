import assert from "node:assert/strict";
import { test } from "node:test";

import { ANNOUNCEMENT_LIMITS, parseAnnouncement } from "./announcement.ts";

const TARGETS = [{ name: "e" }];

function models(count: number, each: (n: number) => unknown = (n) => ({ id: `m${n}`, target: "e" })): object {
  return { kind: "models", targets: TARGETS, models: Array.from({ length: count }, (_, n) => each(n)) };
}

function problemOf(details: unknown): string {
  const parsed = parseAnnouncement(details);
  return parsed.outcome === "invalid" ? parsed.problem : "";
}

test("a worker announces 5,000 models and 256 targets, one more is refused", () => {
  const { maxModels, maxTargets } = ANNOUNCEMENT_LIMITS;
  const targets = (count: number): object => ({
    kind: "models",
    targets: Array.from({ length: count }, (_, n) => ({ name: `t${n}` })),
    models: [],
  });

  assert.equal(problemOf(models(maxModels)), "");
  assert.match(problemOf(models(maxModels + 1)), /Too big.*<=5000/);
  assert.match(problemOf(models(100_000)), /Too big.*<=5000/);
  assert.equal(problemOf(targets(maxTargets)), "");
  assert.match(problemOf(targets(maxTargets + 1)), /Too big.*<=256/);
});

test("absurd names and numbers are refused, and the problem says where", () => {
  for (const [id, problem] of [
    ["", /Too small.*models\[1\]\.id/s],
    ["x".repeat(257), /longer than 256 bytes.*models\[1\]\.id/s],
    ["é".repeat(129), /longer than 256 bytes/],
    ["a\r\nx-evil: 1", /control characters/],
    ["\u0085", /control characters/],
    ["m\u200b", /do not show/],
    ["\u2060m", /do not show/],
    ["m\u202e", /do not show/],
    ["m\u2028", /do not show/],
    ["m\ud800", /do not show/],
    ["m ", /do not show/],
    ["\u00a0m", /do not show/],
    [7, /expected string/],
    [{}, /expected string/],
    [null, /expected string/],
  ] as const) {
    const details = models(2, (n) => ({ id: n === 1 ? id : "m", target: "e" }));
    assert.match(problemOf(details), problem);
  }
  for (const slots of [0, -1, 1.5, 1e9, Number.MAX_VALUE, "4"]) {
    assert.notEqual(problemOf({ kind: "models", targets: [{ name: "e", slots }], models: [] }), "", String(slots));
  }
  for (const details of [null, [], "x", {}, { kind: "__proto__" }, { kind: "models" }, { kind: "load", targets: {} }]) {
    assert.notEqual(problemOf(details), "");
  }
});

test("a list that is wrong all through is described by its first mistake", () => {
  const problem = problemOf(models(5_000, () => ({})));

  assert.equal(
    problem.match(/models\[\d+\]/g)?.every((place) => place === "models[0]"),
    true,
  );
});

test("what the hub does not know is not kept", () => {
  const parsed = parseAnnouncement({
    kind: "models",
    targets: [{ name: "e", secret: "x" }],
    models: [{ id: "m", target: "e", loaded: true }],
    hardware: { os: "linux" },
  });

  assert.deepEqual(parsed, {
    outcome: "valid",
    announcement: { kind: "models", targets: [{ name: "e" }], models: [{ id: "m", target: "e" }] },
  });
});
