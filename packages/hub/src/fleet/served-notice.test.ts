import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { NOTICE_LIMITS, type NoticeGroup, servedNotice } from "./served-notice.ts";

test("a notice is the example that workers are tested against", () => {
  const example: unknown = JSON.parse(
    readFileSync(new URL("../../../../docs/examples/served-notice.json", import.meta.url), "utf8"),
  );

  const notice = servedNotice([
    { group: "open-house", why: "not-approved" },
    { group: "lab", served: 5, refused: [{ why: "taken", models: [] }] },
    {
      group: "friends",
      served: 3,
      refused: [
        { why: "taken", models: ["llama3:8b"] },
        { why: "too-many", models: [] },
        { why: "misleading", models: ["gpt-\u043ess"] },
        { why: "not-allowed-by-key", models: [] },
      ],
    },
    { group: "nowhere", why: "not-allowed" },
  ]);

  assert.deepEqual(notice, example);
});

test("a notice holds so many groups and names, says how many more there are, and is small at worst", () => {
  const { maxGroups, maxNames, maxNamesEach } = NOTICE_LIMITS;
  const models = Array.from({ length: 5_000 }, (_, n) => `${n}`.padStart(256, "\\"));
  const groups = Array.from({ length: 120 }, (_, n): NoticeGroup => {
    const group = `${n}`.padStart(256, '"');
    const refused = (["taken", "too-many", "misleading", "not-allowed-by-key"] as const).map((why) => ({
      why,
      models,
    }));
    return { group, served: 0, refused };
  });

  const notice = servedNotice(groups) as { groups: { refused: { count: number; models: string[] }[] }[]; more: number };
  const lists = notice.groups.flatMap(({ refused }) => refused);

  assert.deepEqual([notice.groups.length, notice.more], [maxGroups, 100]);
  assert.equal(lists.flatMap((list) => list.models).length, maxNames);
  assert.ok(lists.every((list) => list.count === 5_000 && list.models.length <= maxNamesEach));
  assert.ok(Buffer.byteLength(JSON.stringify(notice)) < 32 * 1024);
});

test("what is announced in another order is told as before", () => {
  const told = (...models: string[]): string =>
    JSON.stringify(servedNotice([{ group: "g", served: 0, refused: [{ why: "taken", models }] }]));

  assert.equal(told("b", "a"), told("a", "b"));
});
