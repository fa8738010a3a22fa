import assert from "node:assert/strict";
import { test } from "node:test";

import { csvLine } from "./csv.ts";

test("cells are quoted where they must be", () => {
  assert.equal(
    csvLine(["a", "", undefined, "b c", "d,e", 'f"g', "h\ni", " j"]),
    'a,,,b c,"d,e","f""g","h\ni"," j"\r\n',
  );
});

test("what a spreadsheet would take for a formula is text", () => {
  for (const start of ["=", "+", "-", "@", "\t=", " =", "|", "%", "\r", "\n"]) {
    assert.match(csvLine([`${start}1`]), /^"?'/, JSON.stringify(start));
  }
  assert.equal(csvLine(["a=1", "user@example.com"]), "a=1,user@example.com\r\n");
});
