import assert from "node:assert/strict";
import { test } from "node:test";

import { addInvite, addUser } from "./access-fixtures.ts";
import type { Database } from "./database.ts";
import {
  confirmDeviceJoin,
  countDeviceJoins,
  endDeviceJoin,
  findDeviceJoin,
  insertDeviceJoin,
} from "./device-join-store.ts";

const JOIN = {
  id: "join_1",
  secretHash: "secret 1",
  codeHash: "code 1",
  inviteId: "invite_1",
  machine: "gaming-pc",
  address: "192.0.2.1",
  createdAtMs: 100,
  expiresAtMs: 700,
} as const;

/** The tests that machines that wait to join must pass on each database. */
export function deviceJoinStoreContract(
  name: string,
  open: () => Promise<{ database: Database } & AsyncDisposable>,
): void {
  test(`${name}: a machine that waits is found by either of its secrets until it runs out`, async () => {
    await using store = await openWithInvite(open);
    const { db } = store.database;
    await insertDeviceJoin(db, JOIN);

    const found = await findDeviceJoin(db, { codeHash: "code 1" }, 699);

    assert.deepEqual(found, { ...JOIN, confirmedBy: undefined, confirmedAtMs: undefined, outcome: undefined });
    assert.deepEqual(await findDeviceJoin(db, { secretHash: "secret 1" }, 699), found);
    assert.equal(await findDeviceJoin(db, { secretHash: "secret 1" }, 700), undefined);
    assert.equal(await findDeviceJoin(db, { secretHash: "code 1" }, 699), undefined);
  });

  test(`${name}: those that ran out are dropped with the next one, and never counted`, async () => {
    await using store = await openWithInvite(open);
    const { db } = store.database;
    await insertDeviceJoin(db, JOIN);
    const counted = await Promise.all([
      countDeviceJoins(db, {}, 699),
      countDeviceJoins(db, { address: "192.0.2.1" }, 699),
      countDeviceJoins(db, { address: "192.0.2.2" }, 699),
      countDeviceJoins(db, { inviteId: "invite_1" }, 700),
    ]);

    await insertDeviceJoin(db, {
      ...JOIN,
      id: "join_2",
      secretHash: "s2",
      codeHash: "c2",
      createdAtMs: 700,
      expiresAtMs: 900,
    });

    assert.deepEqual(counted, [1, 1, 0, 0]);
    const rows = await db.selectFrom("device_joins").select("id").execute();
    assert.deepEqual(
      rows.map(({ id }) => id),
      ["join_2"],
    );
  });

  test(`${name}: a key is handed out once, and only after a person said yes`, async () => {
    await using store = await openWithInvite(open);
    const { db } = store.database;
    await insertDeviceJoin(db, JOIN);
    const use = { id: "join_1", outcome: "used" } as const;

    const early = await endDeviceJoin(db, use, 200);
    const confirmed = await confirmDeviceJoin(db, { id: "join_1", userId: "user_bob" }, 200);
    const twice = await confirmDeviceJoin(db, { id: "join_1", userId: "user_ada" }, 200);
    const uses = await Promise.all([1, 2, 3].map(() => endDeviceJoin(db, use, 300)));

    assert.deepEqual([early, confirmed, twice], [false, true, false]);
    assert.deepEqual(uses, [true, false, false]);
    const found = await findDeviceJoin(db, { codeHash: "code 1" }, 400);
    assert.deepEqual([found?.confirmedBy, found?.confirmedAtMs, found?.outcome], ["user_bob", 200, "used"]);
  });

  test(`${name}: a refused machine is neither confirmed nor served`, async () => {
    await using store = await openWithInvite(open);
    const { db } = store.database;
    await insertDeviceJoin(db, JOIN);

    const refused = await endDeviceJoin(db, { id: "join_1", outcome: "refused" }, 200);
    const confirmed = await confirmDeviceJoin(db, { id: "join_1", userId: "user_bob" }, 200);

    assert.deepEqual([refused, confirmed], [true, false]);
    assert.equal((await findDeviceJoin(db, { codeHash: "code 1" }, 400))?.outcome, "refused");
  });

  test(`${name}: what ran out is neither confirmed nor refused, and what is confirmed is not refused`, async () => {
    await using store = await openWithInvite(open);
    const { db } = store.database;
    await insertDeviceJoin(db, JOIN);

    assert.equal(await confirmDeviceJoin(db, { id: "join_1", userId: "user_bob" }, 700), false);
    assert.equal(await endDeviceJoin(db, { id: "join_1", outcome: "refused" }, 700), false);
    await confirmDeviceJoin(db, { id: "join_1", userId: "user_bob" }, 200);
    assert.equal(await endDeviceJoin(db, { id: "join_1", outcome: "refused" }, 300), false);
    assert.equal(await endDeviceJoin(db, { id: "join_1", outcome: "used" }, 700), false);
  });
}

async function openWithInvite(
  open: () => Promise<{ database: Database } & AsyncDisposable>,
): Promise<{ database: Database } & AsyncDisposable> {
  const store = await open();
  for (const id of ["user_ada", "user_bob"]) await addUser(store.database, id);
  await addInvite(store.database, { id: "invite_1", role: "provider" });
  return store;
}
