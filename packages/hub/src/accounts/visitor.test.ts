import assert from "node:assert/strict";
import { test } from "node:test";

import { Cookies } from "./visitor.ts";

test("over https a cookie can be set by this very host only, and on plain http it still works", () => {
  assert.equal(
    new Cookies(true).set("sign-in", "secret", 90_500),
    "__Host-tokilake=secret; Max-Age=90; Path=/; HttpOnly; SameSite=Lax; Secure",
  );
  assert.equal(
    new Cookies(false).set("device", "token", 1000),
    "tokilake-device=token; Max-Age=1; Path=/; HttpOnly; SameSite=Lax",
  );
  assert.equal(new Cookies(false).clear("attempt"), "tokilake-attempt=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax");
});

test("cookies are read by their exact names", () => {
  const headers = { cookie: "a=b; tokilake=one; tokilake-device=a=b; __Host-tokilake=other; xtokilake=x" };
  const visitor = new Cookies(false).visitorOf({ headers, address: "192.0.2.1", requestId: "req_1" });

  assert.deepEqual(visitor, {
    address: "192.0.2.1",
    userAgent: "",
    requestId: "req_1",
    cookies: { "sign-in": "one", attempt: undefined, device: "a=b" },
  });
  assert.equal(new Cookies(true).read(headers, "sign-in"), "other");
});

test("a cookie that comes twice is none: somebody put a second one beside ours", () => {
  const cookies = new Cookies(false);

  assert.equal(cookies.read({ cookie: "tokilake=theirs; tokilake=ours" }, "sign-in"), undefined);
  assert.equal(cookies.read({ cookie: "tokilake=" }, "sign-in"), undefined);
  assert.equal(cookies.read({ cookie: "tokilake" }, "sign-in"), undefined);
  assert.equal(cookies.read({}, "sign-in"), undefined);
});

test("a long name of a browser is cut", () => {
  const { userAgent } = new Cookies(false).visitorOf({ headers: { "user-agent": "x".repeat(5000) }, address: "" });

  assert.equal(userAgent.length, 200);
});
