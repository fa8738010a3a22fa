import assert from "node:assert/strict";
import type { IncomingHttpHeaders } from "node:http";
import { test } from "node:test";

import { checkSameOrigin } from "./same-origin.ts";

const HOST = "hub.example:19981";

function isRefused(headers: IncomingHttpHeaders, options: { method?: string; usesCookie?: boolean } = {}): boolean {
  const { method = "POST", usesCookie = true } = options;
  try {
    const publicOrigin = "https://ai.example";
    checkSameOrigin({ method, headers: { host: HOST, ...headers }, publicOrigin, usesCookie });
    return false;
  } catch (thrown) {
    assert.match(String(thrown), /page of/);
    return true;
  }
}

test("a cookie changes nothing from a page of another origin, whatever header says so", () => {
  assert.ok(isRefused({ "sec-fetch-site": "cross-site" }));
  assert.ok(isRefused({ "sec-fetch-site": "same-site" }));
  assert.ok(isRefused({ "sec-fetch-site": "cross-site", origin: `https://${HOST}` }));
  assert.ok(isRefused({ origin: "https://evil.example" }));
  assert.ok(isRefused({ origin: "null" }));
  assert.ok(isRefused({ origin: `https://${HOST}.evil.example` }));
  assert.ok(isRefused({}));
});

test("pages of this hub may, under the public address too", () => {
  assert.ok(!isRefused({ "sec-fetch-site": "same-origin" }));
  assert.ok(!isRefused({ origin: `http://${HOST}` }));
  assert.ok(!isRefused({ origin: `https://${HOST}` }));
  assert.ok(!isRefused({ origin: "https://ai.example" }));
});

test("what only reads needs no origin", () => {
  assert.ok(!isRefused({ "sec-fetch-site": "cross-site" }, { method: "GET" }));
});

test("without a cookie a script needs no origin, and a page of another origin is refused all the same", () => {
  assert.ok(!isRefused({}, { usesCookie: false }));
  assert.ok(isRefused({ "sec-fetch-site": "cross-site" }, { usesCookie: false }));
});
