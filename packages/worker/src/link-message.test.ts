import assert from "node:assert/strict";
import { test } from "node:test";

import { linkLine, refusal } from "./link-message.ts";

const HUB = new URL("wss://user:secret@hub.example.com/");
const WAITING = { is: "waiting", attempt: 1, retryInMs: 2400 } as const;

test("a link that waits says why and for how long, in the owner's words", () => {
  const lines = [
    linkLine({ ...WAITING, code: "unreachable", reason: "connect ECONNREFUSED 10.0.0.1:443" }, HUB),
    linkLine({ ...WAITING, code: "lost", reason: "worker-lost: the connection closed (1006)", retryInMs: 250 }, HUB),
    linkLine({ ...WAITING, code: "auth", reason: "the worker key was revoked", retryInMs: 300_000 }, HUB),
    linkLine({ ...WAITING, code: "refused:busy", reason: "too many workers" }, HUB),
    linkLine({ ...WAITING, code: "moving", reason: "the hub is being replaced" }, HUB),
  ];

  assert.deepEqual(lines, [
    "hub.example.com is not reachable (connection refused); is the hub running?; next attempt in 2 s",
    "connection to hub.example.com lost (the connection closed (1006)); next attempt in 250 ms",
    "hub.example.com refused the token (the worker key was revoked); next attempt in 300 s",
    "hub.example.com does not take this worker now (too many workers); next attempt in 2 s",
    "hub.example.com is being replaced; running streams go on",
  ]);
});

test("a link of several connections tells how many there are, and how many are missing", () => {
  const state = { is: "connected", version: 2, sessionId: "s", hubId: "h", generation: 1 } as const;
  const lines = [
    linkLine(state, HUB, { open: 2, wanted: 2 }),
    linkLine(state, HUB, { open: 1, wanted: 2 }),
    linkLine(state, HUB, { open: 1, wanted: 1 }),
  ];

  assert.deepEqual(lines, [
    "connected to hub.example.com (2 connections)",
    "connected to hub.example.com (1 of 2 connections)",
    "connected to hub.example.com",
  ]);
});

for (const [code, reason] of [
  ["auth", "badToken"],
  ["version", "version"],
  ["refused:name-taken", "refused"],
  ["refused:anything", "refused"],
] as const) {
  test(`a hub's refusal ${code} ends the worker as ${reason}, in one line`, () => {
    const stop = refusal(code, "why", HUB);

    assert.equal(stop.reason, reason);
    assert.match(stop.message, /^hub\.example\.com [^\n]*\(why\)[^\n]*; [^\n]+$/);
  });
}
