import assert from "node:assert/strict";
import { test } from "node:test";

import * as z from "zod";

import { AppError } from "../errors.ts";
import { parseInput } from "./read-input.ts";

const SCHEMA = z.strictObject({
  name: z.string().exactOptional(),
  tags: z.array(z.string()).exactOptional(),
  limits: z.record(z.string(), z.string()).exactOptional(),
});

function refusalOf(input: unknown): string {
  try {
    return `taken: ${JSON.stringify(parseInput(SCHEMA, input, "The body"))}`;
  } catch (thrown) {
    assert.ok(thrown instanceof AppError);
    return `${thrown.code} ${thrown.param}`;
  }
}

test("a text that no database keeps as it is, is refused wherever it stands, by its field", () => {
  const fields = [
    { name: "a\0b" },
    { name: "\ud800" },
    { tags: ["fine", "half \udfff"] },
    { limits: { "a\0": "b" } },
    { limits: { a: "\0" } },
  ];

  const refusals = fields.map((input) => refusalOf(input));

  assert.deepEqual(refusals, [
    "invalid_request name",
    "invalid_request name",
    "invalid_request tags.1",
    "invalid_request limits.a\0",
    "invalid_request limits.a",
  ]);
});

test("whole characters of every kind pass", () => {
  const input = { name: "\u{1f600} ää 漢", tags: ["\ufffd"] };

  const parsed = parseInput(SCHEMA, input, "The body");

  assert.deepEqual(parsed, input);
});
