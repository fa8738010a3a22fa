import assert from "node:assert/strict";
import { test } from "node:test";

import { pageOf, toPage } from "./paging.ts";

const ROWS = ["a", "b", "c"].map((id) => ({ id }));

test("a page goes on behind the last one, and the last page leads nowhere", () => {
  const first = toPage(ROWS, { limit: 2 }, ({ id }) => id);
  const last = toPage(ROWS.slice(2), { limit: 2 }, ({ id }) => id);

  assert.deepEqual([first.data, first.has_more], [["a", "b"], true]);
  assert.deepEqual(pageOf({ limit: 2, cursor: first.next_cursor ?? "" }), { limit: 3, after: "b" });
  assert.deepEqual([last.data, last.has_more, last.next_cursor], [["c"], false, null]);
});

test("a cursor that this hub did not give is a mistake of who sends it", () => {
  const forged = ["1:a\0b", "1:\0", "2:a", "a"].map((text) => Buffer.from(text).toString("base64url"));
  const notText = Buffer.from([0x31, 0x3a, 0xff]).toString("base64url");

  for (const cursor of [...forged, notText, "", "MTph=", "MTph!", "\u0000"]) {
    assert.throws(() => pageOf({ limit: 1, cursor }), { code: "invalid_request", param: "cursor" }, cursor);
  }
});
