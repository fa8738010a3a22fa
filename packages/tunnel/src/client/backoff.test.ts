import assert from "node:assert/strict";
import { test } from "node:test";

import { TUNNEL_LIMITS } from "../limits.ts";
import { retryAfterMs, retryDelayMs } from "./backoff.ts";
import { connectUrl } from "./dial.ts";

test("the back-off doubles from 250 ms to 30 s, with full jitter", () => {
  const most = [0, 1, 2, 6, 7, 50].map((attempt) => retryDelayMs(attempt, TUNNEL_LIMITS, () => 1));

  assert.deepEqual(most, [250, 500, 1000, 16_000, 30_000, 30_000]);
  assert.equal(
    retryDelayMs(9, TUNNEL_LIMITS, () => 0),
    0,
  );
  assert.equal(
    retryDelayMs(9, TUNNEL_LIMITS, () => 0.5),
    15_000,
  );
});

test("Retry-After is read as seconds or as a date", () => {
  const now = Date.parse("Mon, 01 Jan 2024 00:00:00 GMT");

  assert.equal(retryAfterMs("7", now), 7000);
  assert.equal(retryAfterMs("Mon, 01 Jan 2024 00:01:00 GMT", now), 60_000);
  assert.equal(retryAfterMs("Sun, 31 Dec 2023 00:00:00 GMT", now), undefined);
  assert.equal(retryAfterMs("soon", now), undefined);
  assert.equal(retryAfterMs(undefined, now), undefined);
});

test("a hub's address may be written in many ways", () => {
  assert.equal(connectUrl("https://hub.example").href, "wss://hub.example/api/tokilake/connect");
  assert.equal(connectUrl("http://127.0.0.1:19981/").href, "ws://127.0.0.1:19981/api/tokilake/connect");
  assert.equal(connectUrl("wss://hub.example/own/path").href, "wss://hub.example/own/path");
  assert.throws(() => connectUrl("ftp://hub.example"), TypeError);
  assert.throws(() => connectUrl("https://user:secret@hub.example"), TypeError);
});
