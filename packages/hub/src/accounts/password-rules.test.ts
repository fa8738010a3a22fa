import assert from "node:assert/strict";
import { test } from "node:test";

import { COMMON_PASSWORDS } from "./common-passwords.ts";
import { checkNewPassword, normalisePassword } from "./password-rules.ts";

const EMAIL = "ann.lee@example.com";

test("8 to 256 characters are taken, whatever they are", () => {
  for (const good of ["gr8 s€cr", "correct horse battery staple", "🐎🔋📎🌲🐎🔋📎🌳", `${"long".repeat(63)}ends`]) {
    assert.equal(checkNewPassword(good, EMAIL), good);
  }
  for (const bad of [
    "",
    "7 chars",
    "🐎🔋📎🌲🐎🔋📎",
    `${"long".repeat(64)}!`,
    "x".repeat(100_000),
    "lone \ud800 half",
  ]) {
    assert.throws(() => checkNewPassword(bad, EMAIL), { code: "invalid_request", param: "password" });
  }
});

test("one letter written in two ways is one password", () => {
  assert.equal(normalisePassword("Pa\u0308sse zum Tor"), "P\u00e4sse zum Tor");
  assert.equal(normalisePassword("ｐａｓｓｗｏｒｄ"), "password");
});

test("what is tried first is refused, in any case and width", () => {
  for (const bad of ["password", "PassWord123", "ｐａｓｓｗｏｒｄ", "12345678", "aaaaaaaa", "abababab", "tokilake"]) {
    assert.throws(() => checkNewPassword(bad, EMAIL), { code: "invalid_request", message: /tried first/ });
  }
  assert.equal(Array.from(COMMON_PASSWORDS).filter((each) => each.length < 8 || each !== each.toLowerCase()).length, 0);
});

test("the e-mail address is no password", () => {
  for (const bad of ["ann.lee@example.com", "Ann.Lee@Example.com"]) {
    assert.throws(() => checkNewPassword(bad, EMAIL), { message: /must not be the e-mail address/ });
  }
  assert.throws(() => checkNewPassword("long.name", "long.name@example.com", "new_password"), {
    param: "new_password",
  });
});
