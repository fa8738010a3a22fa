import assert from "node:assert/strict";
import { test } from "node:test";

import { RateLimit } from "./rate-limit.ts";

const TWO_THEN_ONE_A_SECOND = { burst: 2, perSecond: 1 };

test("after a burst one more may come when its time has come, and the refusal says when", () => {
  let nowMs = 0;
  const limit = new RateLimit(() => nowMs, TWO_THEN_ONE_A_SECOND);
  limit.count("ada");
  limit.count("ada");

  assert.throws(() => limit.count("ada"), { code: "rate_limit_exceeded", retryAfter: 1 });
  nowMs = 999;
  assert.throws(() => limit.count("ada"), { code: "rate_limit_exceeded" });
  nowMs = 1000;
  limit.count("ada");
  assert.throws(() => limit.count("ada"), { code: "rate_limit_exceeded" });
});

test("whoever asks too much slows down nobody else", () => {
  const limit = new RateLimit(() => 0, { burst: 1, perSecond: 1 });
  limit.count("ada");

  assert.throws(() => limit.count("ada"));
  limit.count("bob");
});

test("of more callers than are counted the one that was silent longest is forgotten", () => {
  const limit = new RateLimit(() => 0, { burst: 1, perSecond: 1, maxCounted: 2 });
  limit.count("ada");
  limit.count("bob");
  assert.throws(() => limit.count("ada"));

  limit.count("cleo");

  assert.throws(() => limit.count("ada"));
  limit.count("bob");
});
