import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { chatBody, HttpExchange } from "../http-exchange.ts";
import { readMetric } from "../hub-metrics.ts";
import { System } from "../system.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { assertWholeStream, openStreams } from "./endings.ts";
import { takes } from "./long.ts";
import { requestRowsOnceThere } from "./request-rows.ts";

const STREAM = { stream: true };
const LOCKED_MS = 3000;

test("F47: the database is locked for 3 s: streams go on, requests are served without waiting for it, no row is lost", async (t) => {
  await using system = await System.start(t);
  const { access, dataDir } = system;
  const running = await openStreams(access, 5, () => chatBody({ tokens: 150, intervalMs: 20 }, STREAM));
  const other = new DatabaseSync(join(dataDir, "tokilake.db"));
  other.exec("BEGIN EXCLUSIVE");

  const start = performance.now();
  const took: number[] = [];
  while (performance.now() - start < LOCKED_MS) {
    const asked = performance.now();
    assert.equal((await HttpExchange.whole(access, { body: chatBody() })).status, 200);
    took.push(performance.now() - asked);
    await sleep(50);
  }
  other.exec("COMMIT");
  other.close();

  for (const exchange of running) await assertWholeStream(exchange, 150);
  const rows = await requestRowsOnceThere(dataDir, took.length + 5);
  t.diagnostic(`${took.length} requests, the slowest took ${Math.max(...took).toFixed(0)} ms`);
  assert.ok(Math.max(...took) < 1000);
  assert.equal(rows.length, took.length + 5);
});

test("F48: the disk is full", takes(6), async (t) => {
  await using small = await temporaryFolder();
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=4m", "tokilake-e2e", small.path]);
  if (mounted.status !== 0) {
    t.skip("a small file system cannot be mounted here: that needs root");
    return;
  }
  await using unmounting = new AsyncDisposableStack();
  unmounting.defer(() => void spawnSync("umount", ["-l", small.path]));
  await using system = await System.start(t, { dataDir: small.path });
  const { access, hub } = system;
  const filler = join(small.path, "filler");

  await t.test("F48: streams and requests go on, their rows wait, and the hub lives", async () => {
    const running = await openStreams(access, 5, () => chatBody({ tokens: 150, intervalMs: 20 }, STREAM));
    const { bavail, bsize } = statfsSync(small.path);
    writeFileSync(filler, Buffer.alloc(bavail * bsize));

    for (let count = 0; count < 100; count += 1) {
      assert.equal((await HttpExchange.whole(access, { body: chatBody() })).status, 200);
    }

    for (const exchange of running) await assertWholeStream(exchange, 150);
    assert.equal(hub.process.isGone, false);
    assert.equal(await readMetric(hub.url, "tokilake_request_log_dropped_total"), 0);
  });

  await t.test("F48: when there is room again the rows are written, without a restart", async () => {
    rmSync(filler);

    const rows = await requestRowsOnceThere(small.path, 105);

    assert.equal(rows.length, 105);
    assert.ok(rows.every((row) => row.outcome === "complete"));
  });
});
