import assert from "node:assert/strict";
import { test } from "node:test";

import type { Database } from "./database.ts";
import {
  changeKey,
  countLiveKeys,
  insertKey,
  keyById,
  keyRecords,
  type NewKey,
  noteKeysUsed,
  revokeKey,
  rotateKey,
} from "./key-store.ts";

/** The tests that keeping keys must pass on each database. */
export function keyStoreContract(name: string, open: () => Promise<{ database: Database } & AsyncDisposable>): void {
  test(`${name}: a key is found again as it was kept, and restricts nothing that was not said`, async () => {
    await using store = await open();

    const inserted = await insert(store.database, someKey("key_1"));

    const expected = {
      id: "key_1",
      kind: "api",
      name: "name of key_1",
      prefix: "sk-key_1",
      hash: "hash of key_1",
      createdAtMs: 1000,
      ownerId: undefined,
      groupId: undefined,
      fallbackGroupId: undefined,
      expiresAtMs: undefined,
      spendingLimit: undefined,
      rules: {},
      revokedAtMs: undefined,
      disabledAtMs: undefined,
      lastUsedAtMs: undefined,
      spent: 0n,
      previousUntilMs: undefined,
      version: 1,
      revision: 1,
    };
    assert.deepEqual(inserted, expected);
    assert.deepEqual(await keyById(store.database.db, "key_1"), expected);
  });

  test(`${name}: all that a key is restricted to is kept, amounts exactly`, async () => {
    await using store = await open();
    const restrictions = {
      ownerId: "user_1",
      groupId: "group_1",
      fallbackGroupId: "group_2",
      expiresAtMs: 9_000,
      spendingLimit: 9_007_199_254_740_991n,
      rules: { models: ["a*"], limits: { concurrency: 1 } },
    };

    await insert(store.database, { ...someKey("key_1"), ...restrictions });

    const found = await keyById(store.database.db, "key_1");
    assert.deepEqual({ ...found, ...restrictions }, found);
    await assert.rejects(
      insert(store.database, { ...someKey("key_2"), spendingLimit: 9_007_199_254_740_992n }),
      RangeError,
    );
  });

  test(`${name}: a second key with the same hash is refused`, async () => {
    await using store = await open();
    await insert(store.database, someKey("key_1"));

    await assert.rejects(insert(store.database, { ...someKey("key_2"), hash: "hash of key_1" }));
    assert.equal((await keyRecords(store.database.db, {}, { limit: 10 })).length, 1);
  });

  test(`${name}: keys are listed the newest first, page by page, by owner, kind, group, name and whether they are revoked`, async () => {
    await using store = await open();
    const { db } = store.database;
    await insert(store.database, someKey("key_1"));
    await insert(store.database, { ...someKey("key_2"), ownerId: "ada", groupId: "home", name: "laptop" });
    await insert(store.database, { ...someKey("key_3"), ownerId: "ada", kind: "worker", name: "laptop" });
    await insert(store.database, { ...someKey("key_4"), ownerId: "bob", groupId: "club", fallbackGroupId: "home" });
    await store.database.write((transaction) => revokeKey(transaction, "key_2", 5));
    const ids = async (filter: Parameters<typeof keyRecords>[1], page = { limit: 10 }): Promise<string[]> =>
      (await keyRecords(db, filter, page)).map(({ id }) => id);

    assert.deepEqual(await ids({}, { limit: 2 }), ["key_4", "key_3"]);
    assert.deepEqual(await ids({}, { limit: 2, after: "key_3" } as { limit: number }), ["key_2", "key_1"]);
    assert.deepEqual(await ids({ ownerId: "ada" }), ["key_3", "key_2"]);
    assert.deepEqual(await ids({ ownerId: null }), ["key_1"]);
    assert.deepEqual(await ids({ kind: "worker" }), ["key_3"]);
    assert.deepEqual(await ids({ groupId: "home" }), ["key_4", "key_2"]);
    assert.deepEqual(await ids({ name: "laptop", isRevoked: false }), ["key_3"]);
    assert.deepEqual(await ids({ isRevoked: true }), ["key_2"]);
    assert.equal(await countLiveKeys(db, "ada"), 1);
  });

  test(`${name}: a key is found for its owner only`, async () => {
    await using store = await open();
    const { db } = store.database;
    await insert(store.database, { ...someKey("key_1"), ownerId: "ada" });
    await insert(store.database, someKey("key_2"));

    const found = await Promise.all([
      keyById(db, "key_1", "ada"),
      keyById(db, "key_1", "bob"),
      keyById(db, "key_1", null),
      keyById(db, "key_2", null),
      keyById(db, "key_3"),
    ]);

    assert.deepEqual(
      found.map((key) => key?.id),
      ["key_1", undefined, undefined, "key_2", undefined],
    );
  });

  test(`${name}: only what is named is changed, and undefined stops restricting`, async () => {
    await using store = await open();
    const before = await insert(store.database, {
      ...someKey("key_1"),
      groupId: "home",
      fallbackGroupId: "club",
      expiresAtMs: 9_000,
      spendingLimit: 5n,
      rules: { models: ["a"] },
    });

    const disabled = await change(store.database, { disabledAtMs: 7 });
    const freed = await change(store.database, {
      groupId: undefined,
      fallbackGroupId: undefined,
      expiresAtMs: undefined,
      spendingLimit: undefined,
      disabledAtMs: undefined,
      rules: {},
    });
    const renamed = await change(store.database, { name: "new" });

    assert.deepEqual(disabled, { ...before, disabledAtMs: 7, version: 2, revision: 2 });
    assert.deepEqual(freed, {
      ...before,
      groupId: undefined,
      fallbackGroupId: undefined,
      expiresAtMs: undefined,
      spendingLimit: undefined,
      rules: {},
      version: 3,
      revision: 3,
    });
    assert.deepEqual([renamed?.name, renamed?.version], ["new", 4]);
    assert.equal(await store.database.write((transaction) => changeKey(transaction, "key_2", {})), undefined);
  });

  test(`${name}: a rotation keeps the secret before it until its time, and none from before that`, async () => {
    await using store = await open();
    await insert(store.database, someKey("key_1"));
    const rotate = async (hash: string, previousUntilMs?: number): Promise<unknown[]> => {
      const rotated = await store.database.write((transaction) =>
        rotateKey(transaction, "key_1", { hash, prefix: `sk-${hash}`, previousUntilMs }),
      );
      const row = await store.database.db.selectFrom("keys").select("previous_hash").executeTakeFirstOrThrow();
      return [rotated?.hash, rotated?.prefix, row.previous_hash, rotated?.previousUntilMs, rotated?.version];
    };

    assert.deepEqual(await rotate("second", 500), ["second", "sk-second", "hash of key_1", 500, 2]);
    assert.deepEqual(await rotate("third", 900), ["third", "sk-third", "second", 900, 3]);
    assert.deepEqual(await rotate("fourth"), ["fourth", "sk-fourth", null, undefined, 4]);
  });

  test(`${name}: when keys were last used is kept to the minute, and is no change of them`, async () => {
    await using store = await open();
    const { db } = store.database;
    const ids = Array.from({ length: 501 }, (_, at) => `key_${at}`);
    await store.database.write(async (transaction) => {
      for (const id of ids) await insertKey(transaction, someKey(id));
    });
    const lastUse = async (): Promise<unknown[]> => [
      ...new Set(
        (await db.selectFrom("keys").select(["last_used_at_ms", "version"]).execute()).map(
          (key) => key.last_used_at_ms,
        ),
      ),
    ];
    const before = await keyById(db, "key_7");

    await noteKeysUsed(db, [...ids, "key_gone"], 100_000);
    assert.deepEqual(await lastUse(), [100_000]);
    await noteKeysUsed(db, ids, 159_999);
    assert.deepEqual(await lastUse(), [100_000]);
    await noteKeysUsed(db, ids, 160_000);
    assert.deepEqual(await lastUse(), [160_000]);

    assert.deepEqual(await keyById(db, "key_7"), { ...before, lastUsedAtMs: 160_000 });
  });

  test(`${name}: a key is revoked once, and stays`, async () => {
    await using store = await open();
    await insert(store.database, someKey("key_1"));

    const revoked = await store.database.write((transaction) => revokeKey(transaction, "key_1", 5_000));
    const again = await store.database.write((transaction) => revokeKey(transaction, "key_1", 7_000));

    assert.deepEqual([revoked?.revokedAtMs, revoked?.version], [5_000, 2]);
    assert.equal(again, undefined);
    assert.equal((await keyById(store.database.db, "key_1"))?.revokedAtMs, 5_000);
  });
}

function someKey(id: string): NewKey {
  return { id, kind: "api", name: `name of ${id}`, prefix: `sk-${id}`, hash: `hash of ${id}`, createdAtMs: 1000 };
}

async function insert(database: Database, key: NewKey): ReturnType<typeof insertKey> {
  return database.write((transaction) => insertKey(transaction, key));
}

async function change(database: Database, wanted: Parameters<typeof changeKey>[2]): ReturnType<typeof changeKey> {
  return database.write((transaction) => changeKey(transaction, "key_1", wanted));
}
