import assert from "node:assert/strict";
import { test } from "node:test";

import { PublicUrl, localPath } from "./public-url.ts";

test("links are made of the configured address, with the secret where no log sees it", () => {
  const url = new PublicUrl("https://hub.example/tokilake/");

  assert.equal(url.of("/reset-password", "secret"), "https://hub.example/tokilake/reset-password#secret");
  assert.equal(url.of("/join"), "https://hub.example/tokilake/join");
  assert.equal(new PublicUrl("http://localhost:19981").of("/set-up", "s"), "http://localhost:19981/set-up#s");
  assert.equal(url.origin, "https://hub.example");
  assert.equal(url.isHttps, true);
});

test("an address that nobody configured gets the port that the hub listens on", () => {
  const url = new PublicUrl("http://localhost:0");

  url.usePort(40_123);

  assert.equal(url.of("/set-up", "s"), "http://localhost:40123/set-up#s");
  assert.equal(url.origin, "http://localhost:40123");
});

test("a way on is a path of this hub, or the front page", () => {
  for (const good of ["/", "/groups", "/groups?id=a%2Fb&x=//y", "/a#b", "/grüße"]) {
    assert.equal(decodeURI(localPath(good)), decodeURI(good));
  }
  const bad = [
    undefined,
    "",
    "groups",
    "https://evil.example",
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/.//evil.example",
    "/..//evil.example",
    "/%2e//evil.example",
    "///evil.example",
    "javascript:alert(1)",
    " //evil.example",
    `/${"a".repeat(2000)}`,
  ];
  for (const path of bad) assert.equal(localPath(path), "/", String(path));
});
