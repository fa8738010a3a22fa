import assert from "node:assert/strict";
import { test } from "node:test";

import type { TunnelLog } from "@tokilake/tunnel";

import type { Served } from "./report/served.ts";
import { ServedLog } from "./served-log.ts";

function logged(...steps: readonly Served["groups"][]): string[] {
  const lines: string[] = [];
  const write =
    (level: string) =>
    (_fields: object, message: string): void =>
      void lines.push(`${level}: ${message}`);
  const log: TunnelLog = { debug: () => undefined, info: write("info"), warn: write("warn"), error: write("error") };
  const served = new ServedLog(log);
  for (const groups of steps) served.tell({ groups });
  return lines;
}

test("each change of what is refused is one line that says what to do, and so is its end", () => {
  const waits: Served["groups"] = [{ group: "plaza", why: "not-approved" }];
  const serves = (served: number): Served["groups"] => [{ group: "plaza", served, refused: [] }];

  const lines = logged(waits, waits, serves(2), serves(3), waits);

  const waiting =
    "not served: anything in plaza (a public group; ask at the hub to serve there, and wait until that is approved)";
  assert.deepEqual(lines, [`warn: ${waiting}`, "info: served: 2 models in plaza", `warn: ${waiting}`]);
});

test("several reasons are one line", () => {
  const refused = [
    { why: "taken", count: 1, models: ["m"] },
    { why: "too-many", count: 1, models: ["n"] },
  ];

  const [line, ...others] = logged([{ group: "g", served: 0, refused }]);

  assert.deepEqual(others, []);
  assert.match(line ?? "", /^warn: not served: m in g \(somebody .*\); n in g \(you keep .*\)$/);
});
