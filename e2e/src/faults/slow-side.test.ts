import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { eventually } from "../eventually.ts";
import { FaultProxy } from "../fault-proxy.ts";
import { chatBody, HttpExchange } from "../http-exchange.ts";
import { RawConnection } from "../raw-connection.ts";
import { System } from "../system.ts";
import { takes } from "./long.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
const STALLED_MS = 60_000;

function wire(apiKey: string, body: object): string {
  const json = JSON.stringify(body);
  return (
    `POST /v1/chat/completions HTTP/1.1\r\nhost: hub\r\nauthorization: Bearer ${apiKey}\r\n` +
    `content-type: application/json\r\ncontent-length: ${json.length}\r\n\r\n${json}`
  );
}

/** An answer of gigabytes, if somebody took it. */
const HUGE = (user: string) => chatBody({ tokens: 100_000, chunkBytes: 16 * KiB }, { stream: true, user });

// At the same time: what takes long here is waiting.
test("a side that is slow", { concurrency: true }, async (t) => {
  await using system = await System.start(t);
  const { access, engine, hub } = system;

  await Promise.all([
    t.test("F20: a client that reads nothing is cut after 60 s and its engine is freed", takes(65), async (t) => {
      using stalled = await RawConnection.open(hub.port);
      stalled.write(wire(access.apiKey, HUGE("stalled")));
      await stalled.until("token-0");
      const start = performance.now();
      stalled.stopReading();

      const record = await eventually(
        "the engine's request ends",
        () =>
          engine.requests.find((each) => each.bodyText?.includes('"stalled"') === true && each.outcome !== "active"),
        STALLED_MS + 15_000,
      );
      const tookMs = performance.now() - start;

      t.diagnostic(`cut after ${tookMs.toFixed(0)} ms`);
      assert.equal(record.outcome, "cancelled");
      assert.ok(tookMs > STALLED_MS - 1000 && tookMs < STALLED_MS + 10_000, `${tookMs} ms`);
    }),

    t.test(
      "F22: a client that reads slowly is served for as long as it goes on, in little memory",
      takes(75),
      async (t) => {
        await using proxy = await FaultProxy.start({ port: hub.port });
        proxy.set({ down: { bytesPerSecond: 64 * KiB } });
        using slow = await RawConnection.open(proxy.port);
        const before = hub.process.rssBytes();
        slow.write(wire(access.apiKey, HUGE("slow")));
        await slow.until("token-0");

        await sleep(STALLED_MS + 5000);

        const growth = hub.process.rssBytes() - before;
        t.diagnostic(`the hub grew by ${(growth / MiB).toFixed(1)} MiB`);
        assert.equal(slow.isClosed, false);
        assert.ok(slow.received.length > 3 * MiB, `${slow.received.length}`);
        // The 500 connections beside it are in it, too.
        assert.ok(growth < 96 * MiB, `${growth}`);
      },
    ),

    t.test(
      "F41: 500 connections that send a byte now and then are closed, and hold up nobody",
      takes(20),
      async (t) => {
        const start = performance.now();
        const slow = await Promise.all(Array.from({ length: 500 }, () => RawConnection.open(hub.port)));
        const trickle = setInterval(() => {
          for (const connection of slow) if (!connection.isClosed) connection.write("x");
        }, 2000);
        for (const connection of slow) connection.write("POST /v1/chat/completions HTTP/1.1\r\nhost: hub\r\nx-slow: ");

        let slowestMs = 0;
        while (slow.some((connection) => !connection.isClosed) && performance.now() - start < 30_000) {
          const asked = performance.now();
          const answer = await HttpExchange.whole(access, { body: chatBody() });
          slowestMs = Math.max(slowestMs, performance.now() - asked);
          assert.equal(answer.status, 200);
          await sleep(100);
        }
        clearInterval(trickle);
        const tookMs = performance.now() - start;

        t.diagnostic(`all closed after ${tookMs.toFixed(0)} ms, slowest answer to others ${slowestMs.toFixed(0)} ms`);
        assert.ok(slow.every((connection) => connection.isClosed));
        assert.ok(tookMs < 20_000, `${tookMs} ms`);
        assert.ok(slowestMs < 2000, `${slowestMs} ms`);
      },
    ),

    t.test("F41: an upgrade that is followed by silence is cut after 10 s", takes(15), async () => {
      using silent = await RawConnection.open(hub.port);
      silent.write(
        `GET /api/tokilake/connect HTTP/1.1\r\nhost: hub\r\nauthorization: Bearer ${system.workerKey}\r\n` +
          "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n" +
          "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-protocol: tokilake.v2\r\n\r\n",
      );
      await silent.until("HTTP/1.1 101 ");
      const start = performance.now();

      await silent.closed(15_000);

      assert.ok(performance.now() - start > 5000);
    }),
  ]);
});
