import assert from "node:assert/strict";
import { test } from "node:test";

import { addGroup, addUser } from "../store/access-fixtures.ts";
import { insertKey } from "../store/key-store.ts";
import { openStore } from "../store/open-store.ts";
import type { RequestRecord } from "../store/request-log-store.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { EventHub } from "./event-hub.ts";
import { UsageEvents } from "./usage-events.ts";

test("a group's owner hears of its keys' usage, but not of those that may have used another group", async () => {
  using folder = temporaryFolder();
  await using store = await openStore(`sqlite:${folder.file("hub.db")}`);
  const { database } = store;
  for (const id of ["user_ada", "user_bob"]) await addUser(database, id);
  await addGroup(database, "group_a", { ownerId: "user_ada" });
  await addGroup(database, "group_b", { ownerId: "user_bob" });
  for (const [id, fallbackGroupId] of [
    ["key_1", "group_b"],
    ["key_2", undefined],
  ] as const) {
    const key = { id, kind: "api", name: id, hash: id, prefix: "sk-", createdAtMs: 1, groupId: "group_a" } as const;
    await database.write((transaction) => insertKey(transaction, { ...key, ownerId: "user_bob", fallbackGroupId }));
  }
  using events = new EventHub("run", assert.ifError);
  const heard = (userId: string, groupId: string): AsyncIterator<string> => {
    const groups = new Set([groupId]);
    const viewer = { userId, seesAll: false, groupIds: groups, ownedGroupIds: groups, rights: "" };
    return events.subscribe({ viewer, refresh: () => Promise.resolve(viewer), lastEventId: undefined });
  };
  const [ada, bob] = [heard("user_ada", "group_a"), heard("user_bob", "group_b")];
  for (const each of [ada, bob]) await each.next();
  using usage = new UsageEvents(events, database.db, assert.ifError);

  // What else a record says is not told.
  for (const keyId of ["key_1", "key_2"]) usage.add({ keyId, model: "m", outcome: "complete" } as RequestRecord);

  const keyOf = async (from: AsyncIterator<string>): Promise<string | undefined> =>
    /"key_id":"(\w+)"/.exec(String((await from.next()).value))?.[1];
  assert.deepEqual([await keyOf(bob), await keyOf(bob)], ["key_1", "key_2"]);
  assert.equal(await keyOf(ada), "key_2");
});
