import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { type FaultRow, readFaultList } from "./fault-list.ts";

const ROOT = join(import.meta.dirname, "../../..");
const FAULTS = 52;

const rows = readFaultList();

function sourceOf(row: FaultRow): string {
  assert.ok(row.file !== undefined, `F${row.number} has no file`);
  return readFileSync(join(ROOT, row.file), "utf8");
}

test("README.md has every number from 1 to 52", () => {
  const numbers = [...new Set(rows.map((row) => row.number))];

  assert.deepEqual(
    numbers,
    Array.from({ length: FAULTS }, (_, index) => index + 1),
  );
});

test("what README.md says of a test is there: the number in its file, or the name of the test that covers it", () => {
  for (const row of rows) {
    const { state } = row;
    if (state.is === "waits" || state.is === "impossible") assert.equal(row.file, undefined, `F${row.number}`);
    else if (state.is === "covered") assert.ok(sourceOf(row).includes(state.by), `F${row.number}: no test ${state.by}`);
    else assert.match(sourceOf(row), new RegExp(`["\`]F${row.number}: `), `F${row.number} is not in ${row.file}`);
    if (state.is === "fails") assert.match(sourceOf(row), new RegExp(`F${row.number}: [^]{1,200}todo:`));
  }
});

test("README.md has each test that has a number", () => {
  const files = readdirSync(import.meta.dirname).filter((name) => name.endsWith(".test.ts"));
  for (const name of files) {
    const file = `e2e/src/faults/${name}`;
    const source = readFileSync(join(ROOT, file), "utf8");
    for (const [, number] of source.matchAll(/["`]F(\d+): /g)) {
      assert.ok(
        rows.some((row) => row.number === Number(number) && row.file === file),
        `F${number} of ${file} is missing`,
      );
    }
  }
});
