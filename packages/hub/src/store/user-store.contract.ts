import assert from "node:assert/strict";
import { test } from "node:test";

import type { Database } from "./database.ts";
import {
  type NewUser,
  type UserFilter,
  changeUser,
  insertUser,
  passwordHashOf,
  rootsOf,
  userByEmail,
  userById,
  userWithPassword,
  usersWhere,
} from "./user-store.ts";

type Open = () => Promise<{ readonly database: Database } & AsyncDisposable>;

export function userStoreContract(name: string, open: Open): void {
  test(`${name}: a user is found again as it was kept, without its password`, async () => {
    await using store = await open();
    const { database } = store;

    const kept = await database.write((transaction) => insertUser(transaction, newUser("user_1")));

    assert.deepEqual(kept, {
      id: "user_1",
      email: "user_1@example.com",
      emailVerifiedAtMs: undefined,
      name: "user_1",
      role: "user",
      hasPassword: true,
      hasSecondFactor: false,
      createdAtMs: 1000,
      disabledAtMs: undefined,
      version: 1,
    });
    assert.deepEqual(await userById(database.db, "user_1"), kept);
    assert.deepEqual(await userByEmail(database.db, "user_1@example.com"), kept);
    assert.equal(await passwordHashOf(database.db, "user_1"), "$argon2id$user_1");
    assert.deepEqual(await userWithPassword(database.db, "user_1@example.com"), {
      user: kept,
      passwordHash: "$argon2id$user_1",
    });
    assert.equal(await userWithPassword(database.db, "user_2@example.com"), undefined);
    assert.equal(await userById(database.db, "user_2"), undefined);
    assert.equal(await userByEmail(database.db, "USER_1@example.com"), undefined);
  });

  test(`${name}: of many that take one address at once, one gets it`, async () => {
    await using store = await open();

    const kept = await Promise.all(
      ["user_1", "user_2", "user_3", "user_4"].map((id) =>
        store.database.write((transaction) => insertUser(transaction, { ...newUser(id), email: "ann@example.com" })),
      ),
    );

    assert.equal(kept.filter((user) => user !== undefined).length, 1);
    assert.equal((await usersWhere(store.database.db, {}, { limit: 10 })).length, 1);
  });

  test(`${name}: a change counts the version and the revision, and misses when the version is another`, async () => {
    await using store = await open();
    const { database } = store;
    await database.write((transaction) => insertUser(transaction, newUser("user_1")));

    const changed = await database.write((transaction) =>
      changeUser(transaction, "user_1", { role: "admin", disabledAtMs: 5000, passwordHash: null }, 1),
    );
    const late = await database.write((transaction) => changeUser(transaction, "user_1", { name: "late" }, 1));
    const enabled = await database.write((transaction) => changeUser(transaction, "user_1", { disabledAtMs: null }));

    assert.equal(late, undefined);
    assert.equal(changed?.version, 2);
    assert.equal(changed.disabledAtMs, 5000);
    assert.equal(changed.hasPassword, false);
    assert.deepEqual(enabled, { ...changed, disabledAtMs: undefined, version: 3 });
    const { revision } = await database.db.selectFrom("users").select("revision").executeTakeFirstOrThrow();
    assert.equal(revision, 4);
  });

  test(`${name}: users are listed the newest first, in pages, and by what they are`, async () => {
    await using store = await open();
    const { database } = store;
    for (const id of ["user_1", "user_2", "user_3"]) {
      await database.write((transaction) => insertUser(transaction, newUser(id)));
    }
    await database.write((transaction) => changeUser(transaction, "user_2", { role: "auditor", name: "100%_Ann!" }));
    await database.write((transaction) => changeUser(transaction, "user_3", { disabledAtMs: 1 }));
    const ids = async (filter: UserFilter, after?: string): Promise<string[]> =>
      (await usersWhere(database.db, filter, { limit: 2, after })).map(({ id }) => id);

    assert.deepEqual(await ids({}), ["user_3", "user_2"]);
    assert.deepEqual(await ids({}, "user_2"), ["user_1"]);
    assert.deepEqual(await ids({ role: "auditor" }), ["user_2"]);
    assert.deepEqual(await ids({ isDisabled: true }), ["user_3"]);
    assert.deepEqual(await ids({ isDisabled: false }), ["user_2", "user_1"]);
    assert.deepEqual(await ids({ search: "ANN" }), ["user_2"]);
    assert.deepEqual(await ids({ search: "user_1@" }), ["user_1"]);
    await database.write((transaction) => changeUser(transaction, "user_1", { name: "Émile Zola" }));
    assert.deepEqual([await ids({ search: "Émile" }), await ids({ search: "ZOLA" })], [["user_1"], ["user_1"]]);
    // What a pattern would mean by these is not meant.
    assert.deepEqual(await ids({ search: "%" }), ["user_2"]);
    assert.deepEqual(await ids({ search: "0%_a" }), ["user_2"]);
    assert.deepEqual(await ids({ search: "n!" }), ["user_2"]);
    assert.deepEqual(await ids({ search: "1__@" }), []);
  });

  test(`${name}: roots that are disabled do not count`, async () => {
    await using store = await open();
    const { database } = store;
    await database.write((transaction) => insertUser(transaction, { ...newUser("user_1"), role: "root" }));
    await database.write((transaction) => insertUser(transaction, { ...newUser("user_2"), role: "root" }));
    await database.write((transaction) => insertUser(transaction, newUser("user_3")));
    await database.write((transaction) => changeUser(transaction, "user_2", { disabledAtMs: 1 }));

    assert.equal(await rootsOf(database.db), 1);
  });
}

export function newUser(id: string): NewUser {
  return {
    id,
    email: `${id}@example.com`,
    emailVerifiedAtMs: undefined,
    name: id,
    role: "user",
    passwordHash: `$argon2id$${id}`,
    createdAtMs: 1000,
  };
}
