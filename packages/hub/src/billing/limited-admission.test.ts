import assert from "node:assert/strict";
import { test } from "node:test";

import { AppError } from "../errors.ts";
import type { Member, Principal } from "../identity/principal.ts";
import { testPrincipal } from "../identity/test-principal.ts";
import type { RequestRecord } from "../observe/request-log.ts";
import type { MemberLimits } from "../store/member-limits.ts";
import type { Hold } from "./admission.ts";
import { LimitedAdmission } from "./limited-admission.ts";

class Clock {
  ms = 1_000_000;
}

function someAdmission(): { admission: LimitedAdmission; clock: Clock } {
  const clock = new Clock();
  return { admission: new LimitedAdmission(() => clock.ms), clock };
}

/** An API key of a user; `members`: their limits in each of its groups. */
function key(limits: MemberLimits | undefined, members: Readonly<Record<string, Member>> = {}): Principal {
  return testPrincipal("sk", {
    limits,
    groupIds: Object.keys(members),
    memberOf: (groupId) => members[groupId],
  });
}

function admit(admission: LimitedAdmission, principal: Principal, model = "m"): Hold {
  return admission.admit({ requestId: "r", principal, model, maxTokens: undefined });
}

function settle(hold: Hold, tokens = 0, bytes = { requestBytes: 10_000, responseBytes: 10_000 }): void {
  const half = tokens / 2;
  hold.settle({ inputTokens: half, outputTokens: half, ...bytes } as RequestRecord);
}

function refused(act: () => unknown): AppError {
  try {
    act();
  } catch (thrown) {
    if (thrown instanceof AppError && thrown.code === "rate_limit_exceeded") return thrown;
    throw thrown;
  }
  return assert.fail("it was admitted");
}

test("without limits everything is admitted, and nothing is kept", () => {
  const { admission } = someAdmission();
  const free = key(undefined, { g: { limits: {} } });

  const hold = admit(admission, free);

  assert.deepEqual([hold.enter(), hold.headers, admission.size], [["g"], [], 0]);
});

test("a minute's requests may come at once, then they come back evenly", () => {
  const { admission, clock } = someAdmission();
  const limited = key({ requestsPerMinute: 6 });
  for (let n = 0; n < 6; n += 1) settle(admit(admission, limited));

  const early = refused(() => admit(admission, limited));
  clock.ms += 9_999;
  const almost = refused(() => admit(admission, limited));
  clock.ms += 1;
  admit(admission, limited);
  refused(() => admit(admission, limited));

  assert.equal(early.retryAfter, 10);
  assert.equal(almost.retryAfter, 1);
  assert.match(early.message, /6 requests per minute for this API key\. Try again in 10 s/);
});

test("tokens are counted afterwards, and what went beyond the limit is worked off", () => {
  const { admission, clock } = someAdmission();
  const limited = key({ tokensPerMinute: 600 });
  settle(admit(admission, limited), 1_200);

  const reached = refused(() => admit(admission, limited));
  clock.ms += 60_000;
  refused(() => admit(admission, limited));
  clock.ms += 100;
  admit(admission, limited);

  assert.equal(reached.retryAfter, 60);
});

test("a worker that lies about tokens locks nobody out: there are no more than bytes, or than the client allowed", () => {
  const { admission, clock } = someAdmission();
  const limited = key({ tokensPerMinute: 600 });
  const lie = (maxTokens: number | undefined): void => {
    const hold = admission.admit({ requestId: "r", principal: limited, model: "m", maxTokens });
    settle(hold, Number.MAX_SAFE_INTEGER - 1, { requestBytes: 100, responseBytes: 200 });
  };

  lie(undefined);
  const left = admit(admission, limited).headers[3];
  clock.ms += 60_000;
  lie(400);
  const leftOfAllowed = admit(admission, limited).headers[3];

  assert.deepEqual([left, leftOfAllowed], ["300", "100"]);
});

test("so many requests at the same time: the next one may come when one ends", () => {
  const { admission } = someAdmission();
  const limited = key({ concurrency: 2 });
  const holds = [admit(admission, limited), admit(admission, limited)];

  const reached = refused(() => admit(admission, limited));
  settle(holds[0] ?? assert.fail());
  admit(admission, limited);
  refused(() => admit(admission, limited));

  assert.equal(reached.retryAfter, 1);
  assert.match(reached.message, /2 requests at the same time/);
});

test("whatever is refused is not counted", () => {
  const { admission, clock } = someAdmission();
  const limited = key({ requestsPerMinute: 1, concurrency: 1 });
  const hold = admit(admission, limited);

  for (let n = 0; n < 10; n += 1) refused(() => admit(admission, limited));
  settle(hold);
  clock.ms += 60_000;

  admit(admission, limited);
});

test("the client is told what is left, as OpenAI's API tells it", () => {
  const { admission, clock } = someAdmission();
  const limited = key({ requestsPerMinute: 60, tokensPerMinute: 600 });
  settle(admit(admission, limited), 100);
  clock.ms += 1_000;

  const { headers } = admit(admission, limited);

  assert.equal(
    headers.join(" "),
    "x-ratelimit-limit-requests 60 x-ratelimit-remaining-requests 59 x-ratelimit-reset-requests 1000ms " +
      "x-ratelimit-limit-tokens 600 x-ratelimit-remaining-tokens 510 x-ratelimit-reset-tokens 9000ms",
  );
});

test("all keys of a member share their limits in a group, and each member has their own", () => {
  const { admission } = someAdmission();
  const ada = { limits: { concurrency: 1 } };
  const bob = { limits: { concurrency: 1 } };
  const first = admit(admission, key(undefined, { g: ada }));
  first.enter();

  const second = admit(admission, key(undefined, { g: ada }));
  const reached = refused(() => second.enter());
  settle(first);

  assert.match(reached.message, /for all keys of its owner in the group/);
  assert.deepEqual(second.enter(), ["g"]);
  assert.deepEqual(admit(admission, key(undefined, { g: bob })).enter(), ["g"]);
});

test("a request counts in the group that serves it alone, and is kept out of one whose limit is reached", () => {
  const { admission } = someAdmission();
  const [home, club] = [{ limits: { requestsPerMinute: 2 } }, { limits: { requestsPerMinute: 1 } }];
  const both = key(undefined, { home, club });
  const askedIn: (readonly string[])[] = [];
  const serve = (groupId: string): void => {
    const hold = admit(admission, both);
    askedIn.push(hold.enter());
    hold.took(groupId);
    settle(hold);
  };

  serve("home");
  serve("club");
  serve("home");

  assert.deepEqual(askedIn, [["home", "club"], ["home", "club"], ["home"]]);
  refused(() => admit(admission, both).enter());
});

test("a request that moves to another group is counted there, once", () => {
  const { admission } = someAdmission();
  const [home, club] = [{ limits: { concurrency: 1 } }, { limits: { concurrency: 1 } }];
  const hold = admit(admission, key(undefined, { home, club }));
  hold.enter();
  hold.took("home");
  hold.enter();
  hold.took("club");

  assert.deepEqual(admit(admission, key(undefined, { home, club })).enter(), ["home"]);
  settle(hold);
  assert.deepEqual(admit(admission, key(undefined, { club })).enter(), ["club"]);
});

test("a limit that is changed holds for the next request", () => {
  const { admission } = someAdmission();
  const member = { limits: { requestsPerMinute: 1 } as MemberLimits };
  const limited = key(undefined, { g: member });
  admit(admission, limited).enter();
  refused(() => admit(admission, limited).enter());

  member.limits = { requestsPerMinute: 3 };
  admit(admission, limited).enter();
  member.limits = {};

  assert.deepEqual(admit(admission, limited).enter(), ["g"]);
});

test("limits that cannot be read keep everything out, and name a wait that ends", () => {
  const { admission } = someAdmission();

  const { retryAfter } = refused(() => admit(admission, key({ requestsPerMinute: 0 })));

  assert.equal(retryAfter, 60);
});

test("only who used something within the last minute, or still does, takes memory", () => {
  const { admission, clock } = someAdmission();
  const running = admit(admission, key({ concurrency: 1 }));
  for (let n = 0; n < 100; n += 1) settle(admit(admission, key({ requestsPerMinute: 9 })));
  const full = admission.size;

  clock.ms += 60_000;
  for (let n = 0; n < 101; n += 1) settle(admit(admission, key({ requestsPerMinute: 9 })));

  assert.equal(full, 101);
  assert.ok(admission.size <= 103, `${admission.size}`);
  settle(running);
});

test("a model that is not in the key's list is refused before anything is counted", () => {
  const { admission } = someAdmission();
  const principal = { ...key({ concurrency: 1 }), allowsModel: (model: string) => model === "m" };

  assert.throws(() => admit(admission, principal, "other"), { code: "model_not_found", param: "model" });
  admit(admission, principal);
});
