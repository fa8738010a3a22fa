import assert from "node:assert/strict";
import { test } from "node:test";

import { inviteHashOf, newInviteCode, newTypedCode, shownCode, typedHashOf } from "./invite-code.ts";

test("a code has sixteen characters of Crockford's base32 in four groups, and is another each time", () => {
  const codes = Array.from({ length: 100 }, newInviteCode);

  for (const code of codes) assert.match(code, /^[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){3}$/);
  assert.equal(new Set(codes).size, 100);
  assert.match(newTypedCode(8), /^.{4}-.{4}$/);
});

test("a code is the same however it is typed", () => {
  // printf 7H2K9QXM0B3CV8T1 | openssl dgst -sha256 -binary | base64, as base64url.
  const hash = "2dgEOjiVf_Htp_HG6huUeKt4VPHoFnbZFoRFb4xtf4E";

  for (const typed of ["7H2K-9QXM-0B3C-V8T1", "7h2k9qxmob3cv8tl", " 7H2K 9QXM 0B3C V8TI\n", "7H2K--9QXM0B3C-V8T1"]) {
    assert.equal(inviteHashOf(typed), hash, typed);
  }
});

test("what is no code has no hash", () => {
  for (const typed of [
    "",
    "7H2K-9QXM-0B3C-V8T",
    "7H2K-9QXM-0B3C-V8T11",
    "7H2K-9QXM-0B3C-V8TU",
    "7H2K_9QXM_0B3C_V8T1",
    "ſH2K-9QXM-0B3C-V8T1",
    `7H2K-9QXM-0B3C-V8T1${" ".repeat(64)}`,
  ]) {
    assert.equal(inviteHashOf(typed), undefined, typed);
  }
});

test("the length of a code is a part of it", () => {
  assert.equal(typedHashOf("7H2K-9QXM", 16), undefined);
  assert.notEqual(typedHashOf("7H2K-9QXM", 8), undefined);
  assert.equal(shownCode("7H2K-9QXM-0B3C-V8T1"), "7H2K");
});
