import assert from "node:assert/strict";
import { test } from "node:test";

import { addGroup, addUser } from "./access-fixtures.ts";
import type { Database } from "./database.ts";
import {
  countOpenProviderRequests,
  decideProviderRequest,
  findProviderRequest,
  insertProviderRequest,
  listProviderRequests,
} from "./provider-request-store.ts";

const REQUEST = { id: "request_1", groupId: "group_all", userId: "user_bob", note: "two 4090s", createdAtMs: 10 };

/** The tests that requests to serve into a group must pass on each database. */
export function providerRequestStoreContract(
  name: string,
  open: () => Promise<{ database: Database } & AsyncDisposable>,
): void {
  test(`${name}: a user has one open request a group, and may ask again once it was decided`, async () => {
    await using store = await openWithBob(open);
    const { db } = store.database;

    const first = await insertProviderRequest(db, REQUEST);
    const twice = await insertProviderRequest(db, { ...REQUEST, id: "request_2" });
    const decided = await decideProviderRequest(
      db,
      { id: "request_1", decision: "refused", decidedBy: "user_ada" },
      20,
    );
    const again = await insertProviderRequest(db, { ...REQUEST, id: "request_3" });

    assert.deepEqual(first, {
      ...REQUEST,
      decision: undefined,
      decidedAtMs: undefined,
      decidedBy: undefined,
      version: 1,
    });
    assert.equal(twice, undefined);
    assert.deepEqual(decided, { ...first, decision: "refused", decidedAtMs: 20, decidedBy: "user_ada", version: 2 });
    assert.equal(again?.id, "request_3");
    assert.deepEqual(await findProviderRequest(db, { groupId: "group_all", id: "request_1" }), decided);
    assert.equal(await findProviderRequest(db, { groupId: "group_operator", id: "request_1" }), undefined);
  });

  test(`${name}: a request is decided once`, async () => {
    await using store = await openWithBob(open);
    const { db } = store.database;
    await insertProviderRequest(db, REQUEST);

    const decisions = (["approved", "refused"] as const).map((decision) =>
      decideProviderRequest(db, { id: "request_1", decision, decidedBy: undefined }, 20),
    );

    assert.deepEqual(
      (await Promise.all(decisions)).map((each) => each?.decision),
      ["approved", undefined],
    );
  });

  test(`${name}: open requests are listed with their users, and counted`, async () => {
    await using store = await openWithBob(open);
    const { db } = store.database;
    await insertProviderRequest(db, REQUEST);
    await insertProviderRequest(db, { ...REQUEST, id: "request_2", userId: "user_ada" });
    await insertProviderRequest(db, { ...REQUEST, id: "request_3", groupId: "group_operator" });
    await decideProviderRequest(db, { id: "request_2", decision: "approved", decidedBy: undefined }, 20);

    const listed = await listProviderRequests(db, "group_all", { limit: 10 });

    assert.deepEqual(
      listed.map(({ id, name: who, email }) => [id, who, email]),
      [["request_1", "bob", "bob@example.com"]],
    );
    assert.deepEqual(await listProviderRequests(db, "group_all", { limit: 10, after: "request_1" }), []);
    assert.equal(await countOpenProviderRequests(db, { groupId: "group_all" }), 1);
    assert.equal(await countOpenProviderRequests(db, { userId: "user_bob" }), 2);
  });
}

async function openWithBob(
  open: () => Promise<{ database: Database } & AsyncDisposable>,
): Promise<{ database: Database } & AsyncDisposable> {
  const store = await open();
  for (const id of ["user_ada", "user_bob"]) await addUser(store.database, id);
  await addGroup(store.database, "group_all", { kind: "public" });
  return store;
}
