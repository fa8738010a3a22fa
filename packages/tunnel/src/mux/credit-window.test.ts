import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { CreditWindow } from "./credit-window.ts";
import { LateBudget } from "./late-budget.ts";
import { MemoryPool } from "./memory-pool.ts";
import { RateLimit } from "./rate-limit.ts";

const KIB = 1024;

test("whatever is received and consumed: credit never shrinks and never exceeds consumed plus window", () => {
  const step = fc.record({ receive: fc.nat(100_000), consume: fc.nat(100_000), ms: fc.nat(20) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const pool = new MemoryPool(64 * 1024 * KIB);
      const window = new CreditWindow(
        { initialWindowBytes: 64 * KIB, maxWindowBytes: 1024 * KIB, pool, roundTripMs: 10 },
        0,
      );
      let now = 0;
      let consumed = 0;
      for (const { receive, consume, ms } of steps) {
        now += ms;
        const before = window.grantedOffset;
        const bytes = Math.min(receive, window.unusedBytes);
        assert.ok(window.receive(bytes));
        assert.ok(!window.receive(window.unusedBytes + 1));
        const done = Math.min(consume, window.received - consumed);
        consumed += done;
        window.consume(done, now);
        assert.ok(window.grantedOffset >= before);
        assert.ok(window.grantedOffset <= consumed + window.sizeBytes);
        assert.ok(window.sizeBytes <= 1024 * KIB);
        // All was consumed: the sender has at least three quarters of a window.
        if (consumed === window.received) assert.ok(window.unusedBytes * 4 >= window.sizeBytes * 3 - 4);
      }
      window.close();
      assert.equal(pool.usedBytes, 0);
    }),
  );
});

test("a window doubles when it limits the sender, up to its maximum", () => {
  const pool = new MemoryPool(1024 * 1024 * KIB);
  const window = new CreditWindow(
    { initialWindowBytes: 256 * KIB, maxWindowBytes: 16_384 * KIB, pool, roundTripMs: 100 },
    0,
  );

  const sizes = new Set<number>();
  for (let now = 100; now < 10_000; now += 100) {
    const bytes = window.unusedBytes;
    window.receive(bytes);
    window.consume(bytes, now);
    sizes.add(window.sizeBytes / KIB);
  }

  assert.deepEqual([...sizes], [512, 1024, 2048, 4096, 8192, 16_384]);
});

test("a window does not grow for a slow reader, nor without a known round trip, nor from an empty pool", () => {
  for (const [roundTripMs, poolBytes, stepMs] of [
    [10, 1024 * 1024 * KIB, 100],
    [undefined, 1024 * 1024 * KIB, 1],
    [1000, 0, 1],
  ] as const) {
    const window = new CreditWindow(
      { initialWindowBytes: 256 * KIB, maxWindowBytes: 1024 * KIB, pool: new MemoryPool(poolBytes), roundTripMs },
      0,
    );
    for (let now = stepMs; now < 100 * stepMs; now += stepMs) {
      const bytes = window.unusedBytes;
      window.receive(bytes);
      window.consume(bytes, now);
    }
    assert.equal(window.sizeBytes, 256 * KIB);
  }
});

test("one stream gets an eighth of the free pool, all together 80 %", () => {
  const pool = new MemoryPool(1000);

  assert.equal(pool.tryReserve(126, 0), false);
  assert.equal(pool.tryReserve(125, 0), true);
  assert.equal(pool.tryReserve(1, 125), false);
  let used = 125;
  for (; pool.tryReserve(20, 0); used += 20) assert.ok(used <= 800);

  assert.equal(pool.isPressed, false);
  assert.ok(pool.usedBytes <= 800);
});

test("the late budget allows what was under way, once, and forgets it after two periods", () => {
  const budget = new LateBudget(30_000);
  budget.add(100, 1000);

  assert.equal(budget.spend(60, 2000), true);
  assert.equal(budget.spend(41, 2000), false);

  const old = new LateBudget(30_000);
  old.add(100, 1000);
  assert.equal(old.spend(50, 40_000), true);
  assert.equal(old.spend(1, 200_000), false);
});

test("a rate limit allows its burst, then its rate", () => {
  const limit = new RateLimit(10);

  for (let count = 0; count < 10; count++) assert.equal(limit.take(0), true);
  assert.equal(limit.take(0), false);
  assert.equal(limit.take(100), true);
  assert.equal(limit.take(100), false);
});
