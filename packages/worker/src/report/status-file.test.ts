import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { isProcessRunning, readStatuses, StatusFile, type WorkerStatus } from "./status-file.ts";

function statusOf(pid: number): WorkerStatus {
  return {
    pid,
    workerId: "w",
    gatewayUrl: "ws://hub",
    startedAt: "2026-01-01T00:00:00.000Z",
    link: "connected",
    models: [{ id: "m", target: "t" }],
    targets: [],
  };
}

async function temporaryFolder(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), "tokiame-status-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

test("a status is for its owner's eyes, the last one written stays, and it goes with the worker", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "run");
  const file = new StatusFile(path, 7);

  await Promise.all([file.write(statusOf(7)), file.write({ ...statusOf(7), link: "draining" })]);

  assert.deepEqual(await readStatuses(path, () => true), [{ ...statusOf(7), link: "draining" }]);
  assert.equal((await stat(join(path, "tokiame-7.json"))).mode & 0o777, 0o600);
  assert.equal((await stat(path)).mode & 0o777, 0o700);
  await file.remove();
  assert.deepEqual(await readdir(path), []);
});

test("files of dead workers and broken files are removed, others are left alone", async () => {
  await using folder = await temporaryFolder();
  await new StatusFile(folder.path, 1).write(statusOf(1));
  await new StatusFile(folder.path, 2).write(statusOf(2));
  await writeFile(join(folder.path, "tokiame-3.json"), "{");
  await writeFile(join(folder.path, "notes.txt"), "mine");

  const running = await readStatuses(folder.path, (pid) => pid === 2);

  assert.deepEqual(
    running.map(({ pid }) => pid),
    [2],
  );
  assert.deepEqual(new Set(await readdir(folder.path)), new Set(["notes.txt", "tokiame-2.json"]));
});

test("no folder means no worker; this process runs, an impossible one does not", async () => {
  assert.deepEqual(await readStatuses("/nonexistent", () => true), []);
  assert.equal(isProcessRunning(process.pid), true);
  assert.equal(isProcessRunning(2 ** 30), false);
});
