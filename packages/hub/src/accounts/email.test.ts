import assert from "node:assert/strict";
import { test } from "node:test";

import { normaliseEmail } from "./email.ts";

test("an address has one form, whatever the case it is written in", () => {
  assert.equal(normaliseEmail(" Ann.Lee+hub@Example.COM "), "ann.lee+hub@example.com");
  assert.equal(normaliseEmail("root@localhost"), "root@localhost");
});

test("a domain of another alphabet becomes what DNS knows it by, and never looks like another one", () => {
  assert.equal(normaliseEmail("ann@bücher.example"), "ann@xn--bcher-kva.example");
  assert.equal(normaliseEmail("ann@BÜCHER.example"), "ann@xn--bcher-kva.example");
  // Cyrillic а.
  assert.equal(normaliseEmail("ann@\u0430pple.example"), "ann@xn--pple-43d.example");
  // Full width letters are the same domain to DNS.
  assert.equal(normaliseEmail("ann@ｅｘａｍｐｌｅ.com"), "ann@example.com");
});

test("letters before the @ that only look like a to z are refused, and the message says so", () => {
  for (const lookAlike of [
    "\u0430nn@example.com",
    "ａnn@example.com",
    "an\u0131@example.com",
    "\u212aate@example.com",
  ]) {
    assert.throws(() => normaliseEmail(lookAlike), {
      code: "invalid_request",
      param: "email",
      message: /not one of a to z/,
    });
  }
});

test("what is no address is refused", () => {
  const wrong = [
    "",
    "ann",
    "@example.com",
    "ann@",
    "ann@@example.com",
    "ann lee@example.com",
    '"ann"@example.com',
    ".ann@example.com",
    "ann..lee@example.com",
    "ann@example..com",
    "ann@-example.com",
    "ann@127.0.0.1",
    "ann@0x7f.1",
    "ann@[127.0.0.1]",
    "ann@ex%61mple.com",
    "ann@exam\u00adple.com",
    "ann@exam\u200dple.com",
    "ann@example.com.",
    "ann@example.com/path",
    "ann@example.com\r\nbcc: eve@example.com",
    "ann\r\n@example.com",
    "ann\u0000@example.com",
    "ann,eve@example.com",
    "ann@example.com,eve@example.com",
  ];
  for (const address of wrong) {
    assert.throws(() => normaliseEmail(address), { code: "invalid_request", param: "email" }, JSON.stringify(address));
  }
});

test("64 characters before the @ and 254 in all are the most", () => {
  const local = "a".repeat(64);
  const domain = `${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(61)}`;

  assert.equal(normaliseEmail(`${local}@${domain}`).length, 254);
  assert.throws(() => normaliseEmail(`a${local}@example.com`), { code: "invalid_request" });
  assert.throws(() => normaliseEmail(`${local}@${domain}d`), { code: "invalid_request" });
});
