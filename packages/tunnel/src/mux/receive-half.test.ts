import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { TunnelError } from "../tunnel-error.ts";
import { CreditWindow } from "./credit-window.ts";
import { MemoryPool } from "./memory-pool.ts";
import { ReceiveHalf, type ReceiveOwner } from "./receive-half.ts";

class Owner implements ReceiveOwner {
  nowMs = 0;
  credits = 0;
  gone = 0;
  readOut = 0;
  onCreditDue(): void {
    this.credits += 1;
  }
  onReaderGone(): void {
    this.gone += 1;
  }
  onReadOut(): void {
    this.readOut += 1;
  }
}

function makeHalf(initialWindowBytes = 4096): { half: ReceiveHalf; owner: Owner } {
  const owner = new Owner();
  const pool = new MemoryPool(1024 * 1024);
  const environment = { initialWindowBytes, maxWindowBytes: initialWindowBytes, pool, roundTripMs: 1 };
  return { half: new ReceiveHalf(owner, new CreditWindow(environment, 0)), owner };
}

/** A view of `text` inside 64 KiB, as a small frame in a large message is. */
function smallView(text: string): Buffer {
  const memory = Buffer.alloc(64 * 1024);
  memory.write(text, 1000);
  return memory.subarray(1000, 1000 + text.length);
}

test("any order of deliveries and reads gives the same bytes", async () => {
  const step = fc.oneof(fc.record({ deliver: fc.string({ minLength: 1, maxLength: 3000 }) }), fc.constant("read"));
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), fc.boolean(), async (steps, isSmall) => {
      const { half } = makeHalf();
      let sent = "";
      const reads: Promise<IteratorResult<Uint8Array, undefined>>[] = [];
      let settled = 0;
      for (const what of steps) {
        if (typeof what === "string") {
          if (settled < reads.length) continue;
          const read = half.next();
          reads.push(read);
          void read.then(() => {
            settled += 1;
          });
        } else {
          const text = Buffer.from(what.deliver).toString("latin1");
          sent += text;
          half.deliver(isSmall ? smallView(text) : Buffer.from(Buffer.from(text, "latin1")));
        }
        await Promise.resolve();
      }
      half.end();
      let got = "";
      for (const read of reads) {
        const result = await read;
        if (!result.done) got += Buffer.from(result.value).toString("latin1");
      }
      for await (const chunk of half) got += Buffer.from(chunk).toString("latin1");
      assert.equal(got, sent);
      assert.equal(half.queuedBytes, 0);
      assert.equal(half.heldBytes, 0);
    }),
  );
});

test("a thousand queued small chunks hold little more memory than their bytes", () => {
  const { half } = makeHalf(1024 * 1024);

  for (let count = 0; count < 1000; count++) half.deliver(smallView("0123456789"));

  assert.equal(half.queuedBytes, 10_000);
  assert.ok(half.heldBytes <= 32 * 1024, `${half.heldBytes} bytes held`);
});

test("credit is due only when the reader asks for the next chunk", async () => {
  const { half, owner } = makeHalf();
  half.window.receive(3000);
  half.deliver(Buffer.alloc(3000));
  await half.next();
  assert.equal(owner.credits, 0);

  void half.next();

  assert.equal(owner.credits, 1);
  assert.equal(half.window.grantedOffset, 4096 + 3000);
});

test("return() while next() is pending settles both at once and tells the stream", async () => {
  const { half, owner } = makeHalf();
  const pending = half.next();

  const returned = await half.return();

  assert.equal(returned.done, true);
  assert.equal((await pending).done, true);
  assert.equal(owner.gone, 1);
});

test("a failure rejects the pending read at once, drops the queue, and is told once", async () => {
  const { half } = makeHalf();
  half.deliver(Buffer.from("never read"));
  half.fail(new TunnelError("cancelled"));

  await assert.rejects(half.next(), { code: "cancelled" });
  assert.equal((await half.next()).done, true);
  assert.equal(half.heldBytes, 0);
});

test("two reads at a time are refused", async () => {
  const { half } = makeHalf();
  void half.next();

  await assert.rejects(half.next(), TypeError);
});
