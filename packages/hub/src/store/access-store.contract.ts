import assert from "node:assert/strict";
import { test } from "node:test";

import { OPERATOR_GROUP_ID } from "./access-schema.ts";
import type { AccessTransaction, Database } from "./database.ts";
import { KyselyAccessStore } from "./kysely-access-store.ts";

/** The tests that reading what changed must pass on each database. */
export function accessStoreContract(name: string, open: () => Promise<{ database: Database } & AsyncDisposable>): void {
  test(`${name}: the operator's group is there from the start, and is told once`, async () => {
    await using store = await open();
    const access = new KyselyAccessStore(store.database);

    assert.deepEqual(await access.changedGroups(0, 10), [
      {
        id: OPERATOR_GROUP_ID,
        kind: "operator",
        slug: "operator",
        ownerId: undefined,
        memberLimits: {},
        isDeleted: false,
        revision: 0,
      },
    ]);
    assert.deepEqual(await access.changedGroups(1, 10), []);
  });

  test(`${name}: users, groups, memberships and keys are told as the doors need them`, async () => {
    await using store = await open();
    const access = new KyselyAccessStore(store.database);
    await store.database.write(async (transaction) => {
      await addUser(transaction, "user_1", { disabled_at_ms: 5 });
      await addGroup(transaction, "group_1", { member_limits: '{"concurrency":2}', deleted_at_ms: 6 });
      await addMembership(transaction, { role: "provider", expires_at_ms: 7, limits: '{"tokensPerMinute":3}' });
      await addKey(transaction, "key_1", {
        owner_id: "user_1",
        group_id: "group_1",
        fallback_group_id: OPERATOR_GROUP_ID,
        expires_at_ms: 8,
        disabled_at_ms: 9,
        spending_limit: 10,
        spent: 10,
        rules: '{"models":["a*"],"limits":{"requestsPerMinute":1}}',
        previous_hash: "old",
        previous_until_ms: 11,
      });
    });
    await store.database.write((transaction) => addKey(transaction, "key_2"));

    assert.deepEqual(await access.changedUsers(0, 10), [{ id: "user_1", role: "user", isDisabled: true, revision: 1 }]);
    assert.deepEqual(await access.changedGroups(0, 1), [
      {
        id: OPERATOR_GROUP_ID,
        kind: "operator",
        slug: "operator",
        ownerId: undefined,
        memberLimits: {},
        isDeleted: false,
        revision: 0,
      },
    ]);
    const [, group] = await access.changedGroups(0, 10);
    assert.deepEqual(group, {
      id: "group_1",
      kind: "private",
      slug: "group_1",
      ownerId: undefined,
      memberLimits: { concurrency: 2 },
      isDeleted: true,
      revision: 1,
    });
    assert.deepEqual(await access.changedMemberships(0, 10), [
      {
        groupId: "group_1",
        userId: "user_1",
        role: "provider",
        status: "active",
        expiresAtMs: 7,
        limits: { tokensPerMinute: 3 },
        revision: 1,
      },
    ]);
    assert.deepEqual(await access.changedKeys(0, 10), [
      {
        id: "key_1",
        kind: "api",
        name: "key_1",
        hash: "hash of key_1",
        ownerId: "user_1",
        groupId: "group_1",
        fallbackGroupId: OPERATOR_GROUP_ID,
        expiresAtMs: 8,
        isRevoked: false,
        isDisabled: true,
        isExhausted: true,
        rules: { models: ["a*"], limits: { requestsPerMinute: 1 } },
        previous: { hash: "old", untilMs: 11 },
        revision: 1,
      },
      {
        id: "key_2",
        kind: "api",
        name: "key_2",
        hash: "hash of key_2",
        ownerId: undefined,
        groupId: undefined,
        fallbackGroupId: undefined,
        expiresAtMs: undefined,
        isRevoked: false,
        isDisabled: false,
        isExhausted: false,
        rules: {},
        previous: undefined,
        revision: 2,
      },
    ]);
  });

  test(`${name}: a page never ends within the rows of one transaction`, async () => {
    await using store = await open();
    const access = new KyselyAccessStore(store.database);
    await store.database.write((transaction) => addUser(transaction, "user_0"));
    await store.database.write(async (transaction) => {
      for (const id of ["user_1", "user_2", "user_3"]) await addUser(transaction, id);
    });
    await store.database.write((transaction) => addUser(transaction, "user_4"));

    const first = await access.changedUsers(0, 2);
    const second = await access.changedUsers(first.at(-1)?.revision ?? 0, 2);

    assert.deepEqual(first.map(({ id }) => id).toSorted(), ["user_0", "user_1", "user_2", "user_3"]);
    assert.deepEqual(
      second.map(({ id }) => id),
      ["user_4"],
    );
  });

  test(`${name}: rules and limits that cannot be read allow nothing, and keep no other row from being read`, async () => {
    await using store = await open();
    const access = new KyselyAccessStore(store.database);
    await store.database.write(async (transaction) => {
      await addGroup(transaction, "group_1", { member_limits: "{" });
      await addKey(transaction, "key_1", { rules: '{"colour":"red"}' });
    });
    await store.database.write((transaction) => addKey(transaction, "key_2", { rules: "not JSON" }));
    await store.database.write((transaction) => addKey(transaction, "key_3"));

    const groups = await access.changedGroups(0, 10);
    const keys = await access.changedKeys(0, 10);

    assert.deepEqual(groups[1]?.memberLimits, { requestsPerMinute: 0, tokensPerMinute: 0, concurrency: 0 });
    assert.deepEqual(
      keys.map(({ rules }) => [rules.models, rules.serveGroups, rules.limits?.concurrency]),
      [
        [[], [], 0],
        [[], [], 0],
        [undefined, undefined, undefined],
      ],
    );
  });

  test(`${name}: watchers hear of each change until they stop`, async () => {
    await using store = await open();
    const access = new KyselyAccessStore(store.database);
    const heard: string[] = [];
    const stop = access.watch(() => heard.push("first"));
    const stopSecond = access.watch(() => heard.push("second"));
    const hearing = async (id: string): Promise<string[]> => {
      await store.database.write((transaction) => addKey(transaction, id));
      return [...new Set(heard.splice(0))];
    };

    const both = await hearing("key_1");
    stop();
    const second = await hearing("key_2");
    stopSecond();

    // PostgreSQL may tell of one change twice.
    assert.deepEqual([both, second, await hearing("key_3")], [["first", "second"], ["second"], []]);
  });

  test(`${name}: keys with the same rules share them`, async () => {
    await using store = await open();
    const access = new KyselyAccessStore(store.database);
    for (const id of ["key_1", "key_2"]) {
      await store.database.write((transaction) => addKey(transaction, id, { rules: '{"models":["a"]}' }));
    }

    const [one, other] = await access.changedKeys(0, 10);

    assert.equal(one?.rules, other?.rules);
  });
}

async function addUser({ db, revision }: AccessTransaction, id: string, more: object = {}): Promise<void> {
  const user = {
    id,
    email: `${id}@example.com`,
    name: id,
    role: "user",
    created_at_ms: 0,
    version: 1,
    revision,
  } as const;
  await db
    .insertInto("users")
    .values({ ...user, ...more })
    .execute();
}

async function addGroup({ db, revision }: AccessTransaction, id: string, more: object = {}): Promise<void> {
  const group = { id, kind: "private", slug: id, name: id, description: "", member_limits: "{}" } as const;
  await db
    .insertInto("groups")
    .values({ ...group, created_at_ms: 0, version: 1, revision, ...more })
    .execute();
}

async function addMembership({ db, revision }: AccessTransaction, more: object): Promise<void> {
  const membership = { group_id: "group_1", user_id: "user_1", role: "member", status: "active" } as const;
  await db
    .insertInto("memberships")
    .values({ ...membership, joined_at_ms: 0, version: 1, revision, ...more })
    .execute();
}

async function addKey({ db, revision }: AccessTransaction, id: string, more: object = {}): Promise<void> {
  const key = { id, kind: "api", name: id, prefix: "sk-", hash: `hash of ${id}`, created_at_ms: 0, revision } as const;
  await db
    .insertInto("keys")
    .values({ ...key, ...more })
    .execute();
}
