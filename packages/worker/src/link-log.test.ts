import assert from "node:assert/strict";
import { test } from "node:test";

import type { LinkState, TunnelLog } from "@tokilake/tunnel";

import { LinkLog } from "./link-log.ts";

const HUB = new URL("wss://hub.example.com/");
const CONNECTED: LinkState = { is: "connected", version: 2, sessionId: "s", hubId: "h", generation: 1 };

function lost(attempt: number): LinkState {
  return { is: "waiting", attempt, retryInMs: 1000, reason: "gone", code: "lost" };
}

function logged(
  steps: readonly (readonly [LinkState, open: number, wanted: number, isSettling?: boolean])[],
): string[] {
  const lines: string[] = [];
  const write =
    (level: string) =>
    (_fields: object, message: string): void =>
      void lines.push(`${level}: ${message}`);
  const log: TunnelLog = { debug: () => undefined, info: write("info"), warn: write("warn"), error: write("error") };
  const link = new LinkLog(HUB, log);
  for (const [state, open, wanted, isSettling = false] of steps) link.tell(state, { open, wanted, isSettling });
  return lines;
}

test("two connections that come one after the other are one line, and so is one", () => {
  const two = logged([
    [CONNECTED, 1, 2, true],
    [CONNECTED, 2, 2],
  ]);
  const one = logged([[CONNECTED, 1, 1]]);

  assert.deepEqual(two, ["info: connected to hub.example.com (2 connections)"]);
  assert.deepEqual(one, ["info: connected to hub.example.com"]);
});

test("a connection that comes back at once is no news; one that stays away is, once", () => {
  const lines = logged([
    [CONNECTED, 2, 2],
    [CONNECTED, 1, 2, true],
    [CONNECTED, 2, 2],
    [CONNECTED, 1, 2, true],
    [CONNECTED, 1, 2],
    [CONNECTED, 1, 2],
    [CONNECTED, 2, 2],
  ]);

  assert.deepEqual(lines, [
    "info: connected to hub.example.com (2 connections)",
    "warn: connected to hub.example.com (1 of 2 connections)",
    "info: connected to hub.example.com (2 connections)",
  ]);
});

test("a link that is down is told once, however many connections notice", () => {
  const down = lost(1);
  const lines = logged([
    [CONNECTED, 2, 2],
    [down, 0, 2],
    [down, 0, 2, true],
  ]);

  assert.deepEqual(lines.slice(1), ["warn: connection to hub.example.com lost (gone); next attempt in 1 s"]);
});

test("a hub that is replaced is told once, without alarm, and when the worker is at the new one", () => {
  const moving: LinkState = { is: "waiting", attempt: 1, retryInMs: 20, reason: "replaced", code: "moving" };
  const lines = logged([
    [CONNECTED, 2, 2],
    [CONNECTED, 1, 2, true],
    [moving, 0, 2, true],
    [moving, 0, 2, true],
    [{ is: "connecting", attempt: 1 }, 0, 2, true],
    [CONNECTED, 1, 2, true],
    [CONNECTED, 2, 2],
  ]);

  assert.deepEqual(lines.slice(1), [
    "info: hub.example.com is being replaced; running streams go on",
    "info: connected to hub.example.com (2 connections)",
  ]);
});

test("of a hub that stays away the first attempt that is seen, then the 2nd, 4th, 8th … is told", () => {
  const lines = logged([
    [CONNECTED, 1, 1],
    ...[3, 4, 5, 6, 7, 8].flatMap((attempt) => [
      [lost(attempt), 0, 1] as const,
      [{ is: "connecting", attempt } as const, 0, 1] as const,
    ]),
  ]);

  const told = "warn: connection to hub.example.com lost (gone); next attempt in 1 s";
  assert.deepEqual(lines.slice(1), [told, told, told]);
});
