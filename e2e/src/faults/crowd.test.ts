import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { test } from "node:test";

import { eventually } from "../eventually.ts";
import { chatBody, HttpExchange } from "../http-exchange.ts";
import { readMetric, readMetrics } from "../hub-metrics.ts";
import { RawConnection } from "../raw-connection.ts";
import type { RunningProcess } from "../running-process.ts";
import type { CrowdLine } from "../soak/crowd.ts";
import { startCrowd } from "../soak/run-soak.ts";
import { System } from "../system.ts";
import { CONNECTIONS } from "../worker.ts";
import { assertWholeStream, openStreams } from "./endings.ts";
import { takes } from "./long.ts";

const WORKERS = 1000;
const LOOP_P99 = "tokilake_event_loop_delay_p99_seconds";

test(
  "F12: a thousand workers lose their hub and it starts again: all are back within 60 s, its loop is never 100 ms late",
  takes(40),
  async (t) => {
    await using system = await System.start(t, { worker: false });
    await using crowd = startCrowd({
      url: system.hub.url,
      token: system.workerKey,
      prefix: "crowd",
      workers: WORKERS,
      model: "crowd",
      slots: 1,
      changeEveryMs: 0,
      leave: "close",
    }).program;
    await crowd.findLine(hasAll, 60_000);
    const told = crowd.stdout.length;

    system.hub.process.kill("SIGKILL");
    await eventually("they miss it", () => /"connected":0,/.test(crowd.stdout.slice(told)));
    await system.startHubAgain();
    const start = performance.now();
    await crowd.findLine(hasAll, 70_000);
    const tookMs = performance.now() - start;
    const metrics = await readMetrics(system.hub.url);
    const loopMs = (metrics.get(LOOP_P99) ?? NaN) * 1000;
    assert.equal(metrics.get("tunnel_connections"), WORKERS);

    t.diagnostic(`back after ${tookMs.toFixed(0)} ms, loop p99 ${loopMs.toFixed(0)} ms, ${dialsIn(crowd, told)}`);
    assert.ok(tookMs < 60_000, `${tookMs} ms`);
    assert.ok(loopMs < 100, `${loopMs} ms`);
  },
);

/** Whether a line of the crowd says that every worker is connected. */
function hasAll(line: string): true | undefined {
  return line.includes(`"connected":${WORKERS},`) || undefined;
}

/** How many attempts there were, and how many at most within a tenth of a second. */
function dialsIn(crowd: RunningProcess, from: number): string {
  const lines = crowd.stdout.slice(from).trimEnd().split("\n").slice(1);
  // Written by crowd.ts of the same version.
  const dials = lines.flatMap((line) => (JSON.parse(line) as CrowdLine).dialsMs).toSorted((one, other) => one - other);
  let most = 0;
  for (let first = 0, last = 0; last < dials.length; last += 1) {
    while ((dials[last] ?? 0) - (dials[first] ?? 0) > 100) first += 1;
    most = Math.max(most, last - first + 1);
  }
  return `${dials.length} attempts, at most ${most} of them in 100 ms`;
}

const hasPrlimit = spawnSync("prlimit", ["--version"]).status === 0;

test(
  "F13: a hub that has no file handle left: what is open lives on, and new ones are served when there is room",
  hasPrlimit ? takes(6) : { skip: "there is no prlimit (util-linux)" },
  async (t) => {
    await using system = await System.start(t);
    const { access, hub } = system;
    const running = await openStreams(access, 3, () => chatBody({ tokens: 150, intervalMs: 20 }, { stream: true }));
    const open = Math.max(...readdirSync(`/proc/${hub.process.pid}/fd`).map(Number));
    spawnSync("prlimit", ["--pid", String(hub.process.pid), `--nofile=${open + 20}:${open + 20}`]);

    const crowd = await Promise.all(Array.from({ length: 100 }, () => RawConnection.open(hub.port)));
    for (const connection of crowd) connection.write("GET /healthz HTTP/1.1\r\nhost: hub\r\n\r\n");
    await eventually("some are served", () => crowd.some((connection) => connection.received.includes(" 200 ")));
    for (const exchange of running) await assertWholeStream(exchange, 150);
    for (const connection of crowd) connection[Symbol.dispose]();

    await eventually(
      "new ones are served",
      async () => (await HttpExchange.whole(access, { body: chatBody() })).status === 200,
    );
    assert.equal(hub.process.isGone, false);
    assert.equal(await readMetric(hub.url, "tunnel_connections"), CONNECTIONS);
  },
);
