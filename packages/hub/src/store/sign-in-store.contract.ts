import assert from "node:assert/strict";
import { test } from "node:test";

import type { Database } from "./database.ts";
import {
  type NewSignIn,
  endSignIn,
  endSignInsOf,
  insertSignIn,
  liveSignInsOf,
  renewSignIn,
  signInByHash,
  touchSignIn,
} from "./sign-in-store.ts";
import { newUser } from "./user-store.contract.ts";
import { insertUser } from "./user-store.ts";

type Open = () => Promise<{ readonly database: Database } & AsyncDisposable>;

const DAY_MS = 24 * 3600 * 1000;

export function signInStoreContract(name: string, open: Open): void {
  const openWithUsers: Open = async () => {
    const store = await open();
    for (const id of ["user_1", "user_2"]) await store.database.write((write) => insertUser(write, newUser(id)));
    return store;
  };

  test(`${name}: a sign-in is found by its hash until it ends, runs out, or was idle too long`, async () => {
    await using store = await openWithUsers();
    const { db } = store.database;
    await insertSignIn(db, signIn("sign_1"), 10);
    const at = (nowMs: number, seenSinceMs = 0): ReturnType<typeof signInByHash> =>
      signInByHash(db, "hash of sign_1", { nowMs, seenSinceMs });

    const found = await at(2000);
    assert.equal(found?.signIn.id, "sign_1");
    assert.equal(found.signIn.userAgent, "browser");
    assert.equal(found.user.email, "user_1@example.com");
    assert.equal(await signInByHash(db, "sign_1", { nowMs: 2000, seenSinceMs: 0 }), undefined);
    assert.equal((await at(8999))?.signIn.id, "sign_1");
    assert.equal(await at(9000), undefined);
    assert.equal((await at(2000, 1000))?.signIn.id, "sign_1");
    assert.equal(await at(2000, 1001), undefined);
    await touchSignIn(db, "sign_1", { nowMs: 1500 });
    assert.equal((await at(2000, 1001))?.signIn.lastSeenAtMs, 1500);

    assert.equal(await endSignIn(db, { id: "sign_1", userId: "user_2" }, 2000), false);
    assert.equal(await endSignIn(db, { id: "sign_1", userId: "user_1" }, 2000), true);
    assert.equal(await endSignIn(db, { id: "sign_1", userId: "user_1" }, 2000), false);
    assert.equal(await at(2000), undefined);
  });

  test(`${name}: a renewed sign-in has another secret, the old one is nothing any more`, async () => {
    await using store = await openWithUsers();
    const { db } = store.database;
    await insertSignIn(db, signIn("sign_1"), 10);

    assert.equal(await renewSignIn(db, "sign_1", { hash: "new hash", nowMs: 3000 }), true);

    assert.equal(await signInByHash(db, "hash of sign_1", { nowMs: 3000, seenSinceMs: 0 }), undefined);
    const found = await signInByHash(db, "new hash", { nowMs: 3000, seenSinceMs: 0 });
    assert.equal(found?.signIn.confirmedAtMs, 3000);
    await endSignInsOf(db, "user_1", 4000);
    assert.equal(await renewSignIn(db, "sign_1", { hash: "newest hash", nowMs: 4000 }), false);
  });

  test(`${name}: all sign-ins of a user end together, others' and the excepted one go on`, async () => {
    await using store = await openWithUsers();
    const { db } = store.database;
    for (const id of ["sign_1", "sign_2", "sign_3"]) await insertSignIn(db, signIn(id), 10);
    await insertSignIn(db, signIn("sign_4", "user_2"), 10);
    const live = async (userId: string): Promise<string[]> =>
      (await liveSignInsOf(db, userId, { nowMs: 2000, seenSinceMs: 0 })).map(({ id }) => id);

    assert.equal(await endSignInsOf(db, "user_1", 2000, "sign_2"), 2);
    assert.deepEqual(await live("user_1"), ["sign_2"]);
    assert.equal(await endSignInsOf(db, "user_1", 2000), 1);
    assert.deepEqual(await live("user_1"), []);
    assert.deepEqual(await live("user_2"), ["sign_4"]);
  });

  test(`${name}: a user has only so many sign-ins, the oldest end; old ones are swept out`, async () => {
    await using store = await openWithUsers();
    const { db } = store.database;
    for (const id of ["sign_1", "sign_2", "sign_3"]) await insertSignIn(db, signIn(id), 2);

    const live = await liveSignInsOf(db, "user_1", { nowMs: 2000, seenSinceMs: 0 });
    assert.deepEqual(
      live.map(({ id }) => id),
      ["sign_3", "sign_2"],
    );
    await insertSignIn(db, { ...signIn("sign_4"), createdAtMs: 9000 + 30 * DAY_MS + 1 }, 2);
    const rows = await db.selectFrom("sign_ins").select("id").execute();
    assert.deepEqual(
      rows.map(({ id }) => id),
      ["sign_4"],
    );
  });

  test(`${name}: of sign-ins that ended 200 are kept, of live ones all`, async () => {
    await using store = await openWithUsers();
    const { db } = store.database;
    await insertSignIn(db, signIn(idOf(0)), 10);
    for (let count = 1; count <= 210; count += 1) {
      await insertSignIn(db, signIn(idOf(count)), 10);
      await endSignIn(db, { id: idOf(count), userId: "user_1" }, 2000);
    }

    const rows = await db.selectFrom("sign_ins").select("id").orderBy("id").execute();
    assert.deepEqual([rows.length, rows[0]?.id, rows[1]?.id], [201, idOf(0), idOf(11)]);
  });
}

/** Ids that sort by their number. */
function idOf(count: number): string {
  return `sign_${String(count).padStart(4, "0")}`;
}

function signIn(id: string, userId = "user_1"): NewSignIn {
  return {
    id,
    userId,
    hash: `hash of ${id}`,
    createdAtMs: 1000,
    lastSeenAtMs: 1000,
    expiresAtMs: 9000,
    address: "192.0.2.1",
    userAgent: "browser",
    confirmedAtMs: 1000,
  };
}
