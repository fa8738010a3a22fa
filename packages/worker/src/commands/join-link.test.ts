import assert from "node:assert/strict";
import { test } from "node:test";

import { atHub, gatewayUrlOf, parseJoinLink } from "./join-link.ts";

test("an invite link says where the hub is and what the code is", () => {
  for (const [link, hub, code, gateway] of [
    ["https://hub.example/join#7H2K-9QXM", "https://hub.example/", "7H2K-9QXM", "wss://hub.example"],
    ["http://127.0.0.1:19981/join#7H2K", "http://127.0.0.1:19981/", "7H2K", "ws://127.0.0.1:19981"],
    ["https://hub.example/join/7H2K-9QXM", "https://hub.example/", "7H2K-9QXM", "wss://hub.example"],
    ["https://hub.example/join#7H2K&machine=AB12-CD34", "https://hub.example/", "7H2K", "wss://hub.example"],
    ["https://example.com/ai/join#7H2K", "https://example.com/ai", "7H2K", "wss://example.com/ai/api/tokilake/connect"],
  ] as const) {
    const parsed = parseJoinLink(link);

    assert.deepEqual([parsed.hub.href, parsed.code, gatewayUrlOf(parsed)], [hub, code, gateway], link);
  }
  const below = parseJoinLink("https://example.com/ai/join#7H2K");
  assert.equal(atHub(below, "/api/x").href, "https://example.com/ai/api/x");
});

test("anything else is told what a link looks like", () => {
  for (const link of [
    "",
    "7H2K-9QXM-0B3C-V8TZ",
    "https://hub.example/join",
    "https://hub.example/join#",
    "https://hub.example/#7H2K",
    "https://hub.example/joined#7H2K",
    "wss://hub.example/join#7H2K",
    "file:///join#7H2K",
  ]) {
    assert.throws(
      () => parseJoinLink(link),
      { name: "Stop", reason: "config", message: /this is no invite link/ },
      link,
    );
  }
});
