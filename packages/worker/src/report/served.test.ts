import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { refusedTexts, servedTexts } from "./served-text.ts";
import { servedOf } from "./served.ts";

test("the hub's example is read, and told to people with what to do", () => {
  const example: unknown = JSON.parse(
    readFileSync(new URL("../../../../docs/examples/served-notice.json", import.meta.url), "utf8"),
  );

  const served = servedOf(example) ?? assert.fail();

  assert.deepEqual({ kind: "served", ...served }, example);
  assert.deepEqual(servedTexts(served), ["3 models in friends", "5 models in lab"]);
  assert.deepEqual(refusedTexts(served), [
    "llama3:8b in friends (somebody else keeps the name there; publish another name (model_targets), or ask the group's owner to let you serve this one)",
    "gpt-\u043ess in friends (the name has characters that do not show, or that look like others; publish another name (model_targets))",
    "anything in nowhere (not a group that this key may serve into; check the name, or ask its owner for an invite as provider)",
    "anything in open-house (a public group; ask at the hub to serve there, and wait until that is approved)",
  ]);
});

test("of many names some are told, and how many more; a reason that is not known is told as it is", () => {
  const refused = [
    { why: "taken", count: 12, models: ["a", "b", "c", "d"] },
    { why: "full-moon", count: 2, models: [] },
  ];

  const served = servedOf({ kind: "served", groups: [{ group: "g", served: 0, refused }], more: 3 }) ?? assert.fail();

  assert.match(refusedTexts(served)[0] ?? "", /^a, b, c and 9 more in g \(somebody else /);
  assert.equal(refusedTexts(served)[1], "2 models in g (full-moon)");
  assert.deepEqual(servedTexts(served), ["0 models in g", "3 other groups that the hub does not list"]);
});

test("who may serve nowhere is told how to get somewhere", () => {
  assert.match(
    refusedTexts({ groups: [] }).join(),
    /^anything \(the key's owner serves in no group; .*tokiame join LINK\)$/,
  );
});

test("a hub's words do nothing to a terminal, and what is no notice is passed over", () => {
  const served = servedOf({ kind: "served", groups: [{ group: "a\u001b[2J\n\u202eb", why: "\u0000" }] });

  assert.deepEqual(served, { groups: [{ group: "a?[2J??b", why: "?" }] });
  for (const details of [
    undefined,
    null,
    "served",
    { kind: "served" },
    { kind: "later", groups: [] },
    { kind: "served", groups: [{ group: "g" }] },
    { kind: "served", groups: [{ group: "g", served: -1, refused: [] }] },
    { kind: "served", groups: [{ group: "g".repeat(300), why: "taken" }] },
    { kind: "served", groups: Array.from({ length: 101 }, () => ({ group: "g", why: "taken" })) },
  ]) {
    assert.equal(servedOf(details), undefined, JSON.stringify(details));
  }
});
