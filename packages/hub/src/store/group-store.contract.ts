import assert from "node:assert/strict";
import { test } from "node:test";

import { addGroup, addUser } from "./access-fixtures.ts";
import type { Database } from "./database.ts";
import {
  changeGroup,
  countGroupsOwnedBy,
  deleteGroup,
  findGroup,
  findGroupBySlug,
  isSlugFree,
  listGroups,
  touchGroup,
} from "./group-store.ts";
import { limitsOf } from "./member-limits.ts";
import { endMembership, putMembership } from "./membership-store.ts";

/** The tests that the groups must pass on each database. */
export function groupStoreContract(name: string, open: () => Promise<{ database: Database } & AsyncDisposable>): void {
  test(`${name}: a group is found by its id and its slug, as it was made and changed`, async () => {
    await using store = await open();
    const { database } = store;
    await addUser(database, "user_ada");
    await addGroup(database, "group_friends", { ownerId: "user_ada" });

    const change = { slug: "pals", name: "Pals", description: "ours", memberLimits: { concurrency: 2 } };
    const changed = await database.write((transaction) => changeGroup(transaction, "group_friends", change));

    assert.deepEqual(changed, {
      id: "group_friends",
      kind: "private",
      ...change,
      ownerId: "user_ada",
      createdAtMs: 0,
      version: 2,
      revision: 3,
    });
    assert.deepEqual(await findGroup(database.db, "group_friends"), changed);
    assert.deepEqual(await findGroupBySlug(database.db, "pals"), changed);
    assert.equal(await findGroupBySlug(database.db, "friends"), undefined);
    assert.equal(await database.write((transaction) => changeGroup(transaction, "group_none", change)), undefined);
  });

  test(`${name}: the owner of a group can be taken away and given`, async () => {
    await using store = await open();
    const { database } = store;
    await addUser(database, "user_ada");
    await addGroup(database, "group_friends", { ownerId: "user_ada" });

    const owners = [undefined, "user_ada"].map(async (ownerId) => {
      const changed = await database.write((transaction) => changeGroup(transaction, "group_friends", { ownerId }));
      return changed?.ownerId;
    });

    assert.deepEqual(await Promise.all(owners), [undefined, "user_ada"]);
  });

  test(`${name}: a deleted group is nowhere, and its slug is free again`, async () => {
    await using store = await open();
    const { database } = store;
    await addUser(database, "user_ada");
    await addGroup(database, "group_friends", { ownerId: "user_ada" });
    const wasFree = await isSlugFree(database.db, "friends");

    await database.write((transaction) => deleteGroup(transaction, "group_friends", 5000));

    assert.equal(wasFree, false);
    assert.equal(await isSlugFree(database.db, "friends"), true);
    assert.equal(await findGroup(database.db, "group_friends"), undefined);
    assert.equal(await countGroupsOwnedBy(database.db, "user_ada"), 0);
    assert.deepEqual(idsOf(await listGroups(database.db, undefined, { limit: 10 })), ["group_operator"]);
    const row = await database.db.selectFrom("groups").selectAll().where("id", "=", "group_friends").executeTakeFirst();
    assert.deepEqual([row?.deleted_at_ms, row?.version], [5000, 2]);
    // The index that keeps slugs apart looks at living groups only.
    await database.write((transaction) => changeGroup(transaction, "group_operator", { slug: "friends" }));
  });

  test(`${name}: two groups cannot have one slug, whatever the program checks`, async () => {
    await using store = await open();
    await addGroup(store.database, "group_friends");

    await assert.rejects(addGroup(store.database, "friends"));
  });

  test(`${name}: a user sees the groups they are a member of now, and public ones, the newest first`, async () => {
    await using store = await open();
    const { database } = store;
    for (const id of ["user_ada", "user_bob"]) await addUser(database, id);
    for (const id of ["group_1", "group_2", "group_3", "group_4"])
      await addGroup(database, id, { ownerId: "user_ada" });
    for (const id of ["group_5", "group_6"]) await addGroup(database, id, { kind: "public" });
    await database.write(async (transaction) => {
      const bob = { userId: "user_bob", role: "member", joinedAtMs: 0 } as const;
      await putMembership(transaction, { ...bob, groupId: "group_1" });
      await putMembership(transaction, { ...bob, groupId: "group_2", expiresAtMs: 1000 });
      await putMembership(transaction, { ...bob, groupId: "group_3" });
      await endMembership(transaction, { ...bob, groupId: "group_3" }, { status: "left", nowMs: 1 });
      await endMembership(transaction, { ...bob, groupId: "group_6" }, { status: "banned", nowMs: 1 });
    });
    const seen = async (nowMs: number, limit: number, after?: string): Promise<string[]> =>
      idsOf(await listGroups(database.db, { userId: "user_bob", nowMs }, { limit, after }));

    assert.deepEqual(await seen(999, 10), ["group_5", "group_2", "group_1"]);
    assert.deepEqual(await seen(1000, 10), ["group_5", "group_1"]);
    assert.deepEqual(await seen(999, 1, "group_5"), ["group_2"]);
    assert.equal((await listGroups(database.db, undefined, { limit: 10 })).length, 7);
    assert.equal(await countGroupsOwnedBy(database.db, "user_ada"), 4);
  });

  test(`${name}: a touched group is new to running hubs and the same to people`, async () => {
    await using store = await open();
    const { database } = store;
    const before = await addGroup(database, "group_friends");

    await database.write((transaction) => touchGroup(transaction, "group_friends"));

    const after = await findGroup(database.db, "group_friends");
    assert.deepEqual([after?.version, after?.revision], [before.version, before.revision + 1]);
  });

  test("a member's own limits take the place of the group's, one by one", () => {
    const group = { requestsPerMinute: 10, concurrency: 1 };

    assert.deepEqual(limitsOf(group, undefined), group);
    assert.deepEqual(limitsOf(group, { concurrency: 4, tokensPerMinute: 9 }), {
      requestsPerMinute: 10,
      concurrency: 4,
      tokensPerMinute: 9,
    });
  });
}

function idsOf(groups: readonly { readonly id: string }[]): string[] {
  return groups.map(({ id }) => id);
}
