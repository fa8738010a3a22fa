import assert from "node:assert/strict";
import { test } from "node:test";

import { GROUP_LIMITS } from "./group-limits.ts";
import { PollPace } from "./poll-pace.ts";

test("machines that ask are remembered up to a bound, and the one that asked longest ago is forgotten", () => {
  let nowMs = 0;
  const pace = new PollPace(() => nowMs);
  for (let i = 0; i <= GROUP_LIMITS.maxDeviceJoins; i += 1) pace.take(`machine ${i}`);

  assert.equal(pace.size, GROUP_LIMITS.maxDeviceJoins);
  pace.take("machine 0");
  assert.throws(() => pace.take(`machine ${GROUP_LIMITS.maxDeviceJoins}`), {
    code: "rate_limit_exceeded",
    retryAfter: 3,
  });
  nowMs = GROUP_LIMITS.devicePollMs;
  pace.take(`machine ${GROUP_LIMITS.maxDeviceJoins}`);
});
