import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";

import { openStore } from "../store/open-store.ts";
import type { RequestRecord } from "../store/request-log-store.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { BatchedRequestLog, type BatchedRequestLogOptions } from "./batched-request-log.ts";
import { SilentLog } from "./silent-log.ts";

const DYING_THREAD = new URL("./__fixtures__/dying-thread.ts", import.meta.url);

test("a record is written soon, without anybody asking", async () => {
  await using opened = await open({ batchWaitMs: 1 });

  opened.requestLog.record(record("r1"));
  while (opened.requestLog.queued > 0) await new Promise((resolve) => setImmediate(resolve));

  assert.deepEqual(await opened.written(), ["r1"]);
});

test("a full batch does not wait for its time", async () => {
  await using opened = await open({ batchRows: 2, batchWaitMs: 3_600_000 });

  for (const id of ["r1", "r2", "r3"]) opened.requestLog.record(record(id));
  while (opened.requestLog.queued > 1) await new Promise((resolve) => setImmediate(resolve));

  assert.deepEqual(await opened.written(), ["r1", "r2"]);
});

test("a flush writes what is waiting, in its order, over several batches", async () => {
  await using opened = await open({ batchRows: 2, batchWaitMs: 3_600_000 });

  for (const id of ["r1", "r2", "r3", "r4", "r5"]) opened.requestLog.record(record(id));
  const isWritten = await opened.requestLog.flush();

  assert.equal(isWritten, true);
  assert.deepEqual(await opened.written(), ["r1", "r2", "r3", "r4", "r5"]);
  assert.equal(await opened.requestLog.flush(), true);
});

test("closing writes what is waiting; what comes later is dropped and counted", async () => {
  await using opened = await open({ batchWaitMs: 3_600_000 });

  opened.requestLog.record(record("r1"));
  await opened.requestLog.close();
  opened.requestLog.record(record("r2"));

  assert.deepEqual(await opened.written(), ["r1"]);
  assert.equal(opened.requestLog.dropped, 1);
});

test("when too many wait the newest are dropped, counted, and said once", async () => {
  await using opened = await open({ maxWaiting: 2, batchWaitMs: 3_600_000 });

  for (const id of ["r1", "r2", "r3", "r4"]) opened.requestLog.record(record(id));

  assert.equal(opened.requestLog.queued, 2);
  assert.equal(opened.requestLog.dropped, 2);
  assert.deepEqual(opened.log.messages, ["request records are lost: too many wait to be written"]);
  await opened.requestLog.flush();
  assert.deepEqual(await opened.written(), ["r1", "r2"]);
});

test("a model's name of a megabyte takes 200 characters of the queue and of the log", async () => {
  await using opened = await open({});

  opened.requestLog.record({ ...record("r1"), model: "m".repeat(1_000_000) });
  await opened.requestLog.flush();

  const [found] = await opened.records();
  assert.equal(found?.model, "m".repeat(200));
});

test("a writer that dies is started again and loses nothing", async () => {
  await using opened = await open({ thread: DYING_THREAD }, ["die1", "die2"]);

  opened.requestLog.record(record("r1"));
  opened.requestLog.record(record("r2"));
  const isWritten = await opened.requestLog.flush();

  assert.equal(isWritten, true);
  assert.equal(opened.requestLog.restarts, 2);
  assert.equal(opened.requestLog.dropped, 0);
  assert.deepEqual(await opened.written(), ["r1", "r2"]);
});

test("a batch that the writer died of three times is given up, and those after it are written", async () => {
  await using opened = await open({ thread: DYING_THREAD, batchRows: 1 }, ["die1", "die2", "die3"]);

  opened.requestLog.record(record("r1"));
  opened.requestLog.record(record("r2"));
  await opened.requestLog.flush();

  assert.equal(opened.requestLog.dropped, 1);
  assert.deepEqual(await opened.written(), ["r2"]);
});

test("while the database cannot be written records wait, and are written afterwards", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  await using opened = await open({ batchRows: 1 });
  opened.requestLog.record(record("r1"));
  await opened.requestLog.flush();
  using broken = new DatabaseSync(opened.path);
  broken.exec("alter table request_log rename to hidden");

  opened.requestLog.record(record("r2"));
  while (opened.log.messages.length === 0) await new Promise((resolve) => setImmediate(resolve));
  broken.exec("alter table hidden rename to request_log");
  context.mock.timers.tick(1000);
  await opened.requestLog.flush();

  assert.deepEqual(opened.log.messages, [
    "the request log cannot be written; records wait in memory",
    "the request log can be written again",
  ]);
  assert.deepEqual(await opened.written(), ["r1", "r2"]);
});

test("only the newest rows are kept", async () => {
  await using opened = await open({ maxRows: 3, batchRows: 2 });

  for (const id of ["r1", "r2", "r3", "r4", "r5", "r6"]) opened.requestLog.record(record(id));
  // The thread answers before it trims, and is done with trimming when it has closed.
  await opened.requestLog.close();

  assert.deepEqual(await opened.written(), ["r4", "r5", "r6"]);
});

test("after kill -9 the database is whole and has every record that was said to be written", async () => {
  using folder = temporaryFolder();
  const path = folder.file("hub.db");
  const script = new URL("./__fixtures__/endless-writer.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [script, `sqlite:${path}`], { stdio: ["ignore", "pipe", "inherit"] });
  const lines: string[] = [];
  child.stdout.on("data", (chunk: Buffer) => {
    lines.push(...chunk.toString().trim().split("\n"));
    if (lines.length >= 10) child.kill("SIGKILL");
  });

  const [, signal] = (await once(child, "exit")) as [number | null, string | null];

  assert.equal(signal, "SIGKILL");
  await using store = await openStore(`sqlite:${path}`);
  const promised = Number(lines.at(-1));
  const found = (await store.requestLog.recent(10_000_000)).map(({ requestId }) => requestId).toReversed();
  assert.ok(found.length >= promised, `${found.length} of ${promised}`);
  assert.equal(found.length % 100, 0, "batches are written whole or not at all");
  assert.deepEqual(
    found,
    found.map((_id, index) => `req_${index + 1}`),
  );
  using raw = new DatabaseSync(path);
  assert.equal(raw.prepare("pragma integrity_check").get()?.["integrity_check"], "ok");
});

interface Opened extends AsyncDisposable {
  readonly requestLog: BatchedRequestLog;
  readonly log: SilentLog;
  readonly path: string;
  /** What is in the database, oldest first. */
  records(): Promise<readonly RequestRecord[]>;
  written(): Promise<readonly string[]>;
}

async function open(options: Partial<BatchedRequestLogOptions>, marks: readonly string[] = []): Promise<Opened> {
  const folder = temporaryFolder();
  const path = folder.file("hub.db");
  const databaseUrl = `sqlite:${path}`;
  for (const mark of marks) writeFileSync(`${path}.${mark}`, "");
  const store = await openStore(databaseUrl);
  const log = new SilentLog();
  const requestLog = new BatchedRequestLog({ databaseUrl, maxRows: 1_000_000, log, ...options });
  const records = async (): Promise<readonly RequestRecord[]> => (await store.requestLog.recent(1000)).toReversed();
  return {
    requestLog,
    log,
    path,
    records,
    written: async () => (await records()).map(({ requestId }) => requestId),
    async [Symbol.asyncDispose]() {
      await requestLog.close();
      await store[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

function record(requestId: string): RequestRecord {
  return {
    requestId,
    startedAtMs: 1000,
    route: "/v1/models",
    method: "GET",
    streamed: false,
    status: 200,
    outcome: "complete",
    attempts: 1,
    requestBytes: 0,
    responseBytes: 10,
    totalMs: 1,
  };
}
