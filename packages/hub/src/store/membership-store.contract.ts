import assert from "node:assert/strict";
import { test } from "node:test";

import { addGroup, addUser } from "./access-fixtures.ts";
import type { Database } from "./database.ts";
import { deleteGroup } from "./group-store.ts";
import {
  changeMembership,
  countMemberships,
  endMembership,
  findMembership,
  isActiveMembership,
  listMembers,
  membershipsOf,
  putMembership,
} from "./membership-store.ts";

const BOB = { groupId: "group_friends", userId: "user_bob" } as const;

/** The tests that memberships must pass on each database. */
export function membershipStoreContract(
  name: string,
  open: () => Promise<{ database: Database } & AsyncDisposable>,
): void {
  test(`${name}: a membership is as it was made and changed, and grows in version and revision`, async () => {
    await using store = await openWithBob(open);
    const { database } = store;

    const made = await database.write((transaction) =>
      putMembership(transaction, { ...BOB, role: "member", limits: { concurrency: 1 }, joinedAtMs: 7, inviteId: "i" }),
    );
    const changed = await database.write((transaction) =>
      changeMembership(transaction, BOB, { role: "provider", expiresAtMs: 9000, limits: undefined }),
    );

    const kept = {
      ...BOB,
      status: "active",
      inviteId: "i",
      joinedAtMs: 7,
      endedAtMs: undefined,
      providerInvitesAfterMs: undefined,
    } as const;
    assert.deepEqual(made, {
      ...kept,
      role: "member",
      expiresAtMs: undefined,
      limits: { concurrency: 1 },
      version: 1,
      revision: made.revision,
    });
    assert.deepEqual(changed, {
      ...kept,
      role: "provider",
      expiresAtMs: 9000,
      limits: undefined,
      version: 2,
      revision: made.revision + 1,
    });
    assert.deepEqual(await findMembership(database.db, BOB), changed);
    const nobody = { ...BOB, userId: "user_none" };
    assert.equal(await findMembership(database.db, nobody), undefined);
    assert.equal(
      await database.write((transaction) => changeMembership(transaction, nobody, { role: "member" })),
      undefined,
    );
  });

  test(`${name}: a change leaves alone what it does not name`, async () => {
    await using store = await openWithBob(open);
    const before = await store.database.write((transaction) =>
      putMembership(transaction, {
        ...BOB,
        role: "provider",
        limits: { concurrency: 1 },
        expiresAtMs: 5,
        joinedAtMs: 7,
      }),
    );

    const after = await store.database.write((transaction) => changeMembership(transaction, BOB, {}));

    assert.deepEqual(after, { ...before, version: 2, revision: before.revision + 1 });
  });

  test(`${name}: a membership ends and begins again`, async () => {
    await using store = await openWithBob(open);
    const { database } = store;
    await database.write((transaction) => putMembership(transaction, { ...BOB, role: "provider", joinedAtMs: 1 }));

    const removed = await database.write((transaction) =>
      endMembership(transaction, BOB, { status: "removed", nowMs: 100 }),
    );
    const back = await database.write((transaction) =>
      putMembership(transaction, { ...BOB, role: "member", joinedAtMs: 200 }),
    );

    assert.deepEqual([removed.status, removed.endedAtMs, removed.role], ["removed", 100, "provider"]);
    assert.deepEqual([back.status, back.endedAtMs, back.role, back.version], ["active", undefined, "member", 3]);
  });

  test(`${name}: somebody who never was a member can be banned`, async () => {
    await using store = await openWithBob(open);

    const banned = await store.database.write((transaction) =>
      endMembership(transaction, BOB, { status: "banned", nowMs: 100 }),
    );

    assert.equal(banned.status, "banned");
    assert.equal(isActiveMembership(banned, 100), false);
  });

  test(`${name}: members are listed and counted as long as they are active`, async () => {
    await using store = await openWithBob(open);
    const { database } = store;
    for (const id of ["user_cyd", "user_dan"]) await addUser(database, id);
    await database.write(async (transaction) => {
      await putMembership(transaction, { ...BOB, role: "member", joinedAtMs: 0 });
      await putMembership(transaction, {
        ...BOB,
        userId: "user_cyd",
        role: "member",
        joinedAtMs: 0,
        expiresAtMs: 1000,
      });
      await endMembership(transaction, { ...BOB, userId: "user_dan" }, { status: "left", nowMs: 5 });
    });
    const { groupId } = BOB;
    const listed = async (activeAtMs: number | undefined, after?: string): Promise<string[]> =>
      (await listMembers(database.db, { groupId, activeAtMs }, { limit: 10, after })).map(({ name: who }) => who);

    assert.deepEqual(await listed(999), ["ada", "bob", "cyd"]);
    assert.deepEqual(await listed(1000), ["ada", "bob"]);
    assert.deepEqual(await listed(undefined, "user_bob"), ["cyd", "dan"]);
    assert.deepEqual((await listMembers(database.db, { groupId }, { limit: 2 })).length, 2);
    const [one] = await listMembers(database.db, { groupId, userId: "user_bob" }, { limit: 2 });
    assert.deepEqual([one?.email, one?.isDisabled, one?.role], ["bob@example.com", false, "member"]);
    assert.equal(await countMemberships(database.db, { groupId }, 999), 3);
    assert.equal(await countMemberships(database.db, { groupId }, 1000), 2);
    assert.equal(await countMemberships(database.db, { userId: "user_bob" }, 0), 1);
  });

  test(`${name}: what a user is to several groups is read at once`, async () => {
    await using store = await openWithBob(open);
    const { database } = store;
    await addGroup(database, "group_other", { ownerId: "user_bob" });
    await database.write((transaction) => endMembership(transaction, BOB, { status: "left", nowMs: 5 }));

    const found = await membershipsOf(database.db, "user_bob", ["group_friends", "group_other", "group_operator"]);

    assert.deepEqual([...found.values()].map(({ groupId, status }) => `${groupId} ${status}`).toSorted(), [
      "group_friends left",
      "group_other active",
    ]);
    assert.equal((await membershipsOf(database.db, "user_bob", [])).size, 0);
  });

  test(`${name}: what a user is in a deleted group does not count`, async () => {
    await using store = await openWithBob(open);
    await store.database.write((transaction) => deleteGroup(transaction, BOB.groupId, 5));

    assert.equal(await countMemberships(store.database.db, { userId: "user_ada" }, 10), 0);
  });
}

/** Ada owns the group; Bob is a user. */
async function openWithBob(
  open: () => Promise<{ database: Database } & AsyncDisposable>,
): Promise<{ database: Database } & AsyncDisposable> {
  const store = await open();
  for (const id of ["user_ada", "user_bob"]) await addUser(store.database, id);
  await addGroup(store.database, BOB.groupId, { ownerId: "user_ada" });
  return store;
}
