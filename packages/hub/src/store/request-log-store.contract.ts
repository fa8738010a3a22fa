import assert from "node:assert/strict";
import { test } from "node:test";

import type { Database } from "./database.ts";
import { insertKey, keyById } from "./key-store.ts";
import type { RequestLogStore, RequestRecord } from "./request-log-store.ts";
import { rowOf } from "./request-row.ts";

type Opened = { database: Database; requestLog: RequestLogStore } & AsyncDisposable;

/** The tests that every {@link RequestLogStore} must pass. Each implementation's test file calls this with its own factory. */
export function requestLogStoreContract(name: string, open: () => Promise<Opened>): void {
  test(`${name}: a record with every field comes back as it was`, async () => {
    await using store = await open();

    await store.requestLog.insertBatch([rowOf(FULL)]);

    assert.deepEqual(await store.requestLog.recent(10), [FULL]);
  });

  test(`${name}: what was unknown stays absent, it does not become zero`, async () => {
    await using store = await open();

    await store.requestLog.insertBatch([record("r1")].map(rowOf));

    assert.deepEqual(await store.requestLog.recent(10), [record("r1")]);
  });

  test(`${name}: the newest records come first, and no more than asked for`, async () => {
    await using store = await open();

    await store.requestLog.insertBatch([record("r1"), record("r2")].map(rowOf));
    await store.requestLog.insertBatch([record("r3")].map(rowOf));

    assert.deepEqual(idsOf(await store.requestLog.recent(2)), ["r3", "r2"]);
  });

  test(`${name}: a record that comes twice is kept once, and those beside it are kept too`, async () => {
    await using store = await open();

    await store.requestLog.insertBatch([record("r1")].map(rowOf));
    await store.requestLog.insertBatch([record("r1"), record("r2")].map(rowOf));

    assert.deepEqual(idsOf(await store.requestLog.recent(10)), ["r2", "r1"]);
  });

  test(`${name}: of a batch with a record that cannot be kept, none is`, async () => {
    await using store = await open();
    // What no caller's type allows, as the thread would meet it in damaged JSON.
    const broken = { ...record("r2"), route: undefined } as unknown as RequestRecord;

    await assert.rejects(store.requestLog.insertBatch([record("r1"), broken].map(rowOf)));

    assert.deepEqual(await store.requestLog.recent(10), []);
    await store.requestLog.insertBatch([record("r3")].map(rowOf));
    assert.deepEqual(idsOf(await store.requestLog.recent(10)), ["r3"]);
  });

  test(`${name}: milliseconds are rounded to whole ones`, async () => {
    await using store = await open();

    await store.requestLog.insertBatch([{ ...record("r1"), firstByteMs: 1.5, totalMs: 10.4 }].map(rowOf));

    const [found] = await store.requestLog.recent(1);
    assert.deepEqual([found?.firstByteMs, found?.totalMs], [2, 10]);
  });

  test(`${name}: trimming takes the oldest, a step at a time, down to the bound and no further`, async () => {
    await using store = await open();
    await store.requestLog.insertBatch(["r1", "r2", "r3", "r4", "r5"].map((id) => rowOf(record(id))));

    const deleted = [
      await store.requestLog.trim(2, 2),
      await store.requestLog.trim(2, 2),
      await store.requestLog.trim(2, 2),
    ];

    assert.deepEqual(deleted, [2, 1, 0]);
    assert.deepEqual(idsOf(await store.requestLog.recent(10)), ["r5", "r4"]);
  });

  test(`${name}: trimming an empty log does nothing`, async () => {
    await using store = await open();

    assert.equal(await store.requestLog.trim(2, 2), 0);
  });

  test(`${name}: a key's last use is noted to the minute, and is no change of the key`, async () => {
    await using store = await open();
    const key = { id: "key_1", kind: "api", name: "a", prefix: "sk-a", hash: "h", createdAtMs: 0 } as const;
    await store.database.write((transaction) => insertKey(transaction, key));
    const used = async (requestId: string, startedAtMs: number): Promise<number | undefined> => {
      await store.requestLog.insertBatch([{ ...record(requestId), keyId: "key_1", startedAtMs }].map(rowOf));
      return (await keyById(store.database.db, "key_1"))?.lastUsedAtMs;
    };

    assert.equal(await used("r1", 1_000_000), 1_000_000);
    assert.equal(await used("r2", 1_060_000), 1_000_000);
    assert.equal(await used("r3", 1_060_001), 1_060_001);
    assert.equal((await keyById(store.database.db, "key_1"))?.revision, 1);
  });
}

const FULL: RequestRecord = {
  requestId: "req_full",
  startedAtMs: 1_795_405_116_533,
  keyId: "key_1",
  keyName: "laptop",
  model: "llama3:8b",
  route: "/v1/chat/completions",
  method: "POST",
  streamed: true,
  status: 200,
  outcome: "cut",
  errorCode: "worker-lost",
  workerId: "gaming-pc",
  target: "ollama",
  attempts: 2,
  requestBytes: 1024,
  responseBytes: 5_000_000_000,
  inputTokens: 0,
  outputTokens: 2,
  cacheReadTokens: 3,
  reasoningTokens: 4,
  firstByteMs: 5,
  totalMs: 6,
};

function record(requestId: string): RequestRecord {
  return {
    requestId,
    startedAtMs: 1000,
    route: "/v1/models",
    method: "GET",
    streamed: false,
    status: 401,
    outcome: "refused",
    attempts: 0,
    requestBytes: 0,
    responseBytes: 10,
    totalMs: 1,
  };
}

function idsOf(records: readonly RequestRecord[]): string[] {
  return records.map(({ requestId }) => requestId);
}
