import assert from "node:assert/strict";
import { test } from "node:test";

import { addGroup } from "./access-fixtures.ts";
import type { Database } from "./database.ts";
import {
  countClaims,
  deleteClaims,
  findClaims,
  insertClaims,
  listClaims,
  type ModelClaim,
  setClaimAlso,
} from "./model-claim-store.ts";

const ADA = { groupId: "group_friends", ownerId: "user_ada" };
const BOB = { groupId: "group_friends", ownerId: "user_bob" };

/** The tests that claims on model names must pass on each database. */
export function modelClaimStoreContract(
  name: string,
  open: () => Promise<{ database: Database } & AsyncDisposable>,
): void {
  test(`${name}: the first to claim a name keeps it`, async () => {
    await using store = await openWithGroups(open);
    const { db } = store.database;

    await insertClaims(db, ADA, ["llama", "qwen"], 10);
    await insertClaims(db, BOB, ["qwen", "phi"], 20);

    assert.deepEqual(ownersOf(await findClaims(db, "group_friends", ["llama", "qwen", "phi", "other"])), {
      llama: "user_ada",
      qwen: "user_ada",
      phi: "user_bob",
    });
    const [llama] = await findClaims(db, "group_friends", ["llama"]);
    assert.deepEqual(llama, { ...ADA, model: "llama", also: [], claimedAtMs: 10 });
    assert.deepEqual(await findClaims(db, "group_other", ["llama"]), []);
    assert.deepEqual(await findClaims(db, "group_friends", []), []);
  });

  test(`${name}: a name is one in all its spellings`, async () => {
    await using store = await openWithGroups(open);
    const { db } = store.database;

    await insertClaims(db, ADA, ["Llama3"], 10);
    await insertClaims(db, BOB, ["LLAMA3", "ｌｌａｍａ３", "Qwen"], 20);
    await insertClaims(db, BOB, ["QWEN"], 30);

    assert.deepEqual(ownersOf(await findClaims(db, "group_friends", ["llama3", "lLAMA3", "qwen"])), {
      Llama3: "user_ada",
      Qwen: "user_bob",
    });
    assert.equal(await countClaims(db, BOB), 1);
    assert.equal(
      (await setClaimAlso(db, { groupId: "group_friends", model: "LLAMA3", also: ["user_bob"] }))?.model,
      "Llama3",
    );
    await deleteClaims(db, { groupId: "group_friends", model: "llama3" });
    assert.deepEqual(await findClaims(db, "group_friends", ["Llama3"]), []);
  });

  test(`${name}: more names than fit in one statement are claimed and found`, async () => {
    await using store = await openWithGroups(open);
    const { db } = store.database;
    const models = Array.from({ length: 1201 }, (_, index) => `model-${index}`);

    await insertClaims(db, ADA, models, 10);

    assert.equal((await findClaims(db, "group_friends", models)).length, 1201);
    assert.equal(await countClaims(db, ADA), 1201);
    assert.equal(await countClaims(db, BOB), 0);
  });

  test(`${name}: claims are listed by name, a page at a time`, async () => {
    await using store = await openWithGroups(open);
    const { db } = store.database;
    await insertClaims(db, ADA, ["c", "A", "b"], 10);

    const first = await listClaims(db, "group_friends", { limit: 2 });
    const second = await listClaims(db, "group_friends", { limit: 2, after: "B" });

    assert.deepEqual(
      [first, second].map((page) => page.map(({ model }) => model)),
      [["A", "b"], ["c"]],
    );
  });

  test(`${name}: others may be let in under a name`, async () => {
    await using store = await openWithGroups(open);
    const { db } = store.database;
    await insertClaims(db, ADA, ["llama"], 10);

    const changed = await setClaimAlso(db, { groupId: "group_friends", model: "llama", also: ["user_bob", "*"] });

    assert.deepEqual(changed?.also, ["user_bob", "*"]);
    assert.equal(await setClaimAlso(db, { groupId: "group_friends", model: "none", also: [] }), undefined);
  });

  test(`${name}: names are freed one by one, by owner, or all`, async () => {
    await using store = await openWithGroups(open);
    const { db } = store.database;
    await insertClaims(db, ADA, ["a", "b"], 10);
    await insertClaims(db, BOB, ["c"], 10);
    await insertClaims(db, { ...ADA, groupId: "group_other" }, ["a"], 10);
    const left = async (): Promise<string> =>
      (await listClaims(db, "group_friends", { limit: 10 })).map(({ model }) => model).join("");

    await deleteClaims(db, { groupId: "group_friends", model: "a" });
    const one = await left();
    await deleteClaims(db, BOB);
    const two = await left();
    await deleteClaims(db, { groupId: "group_friends" });

    assert.deepEqual([one, two, await left()], ["bc", "b", ""]);
    assert.equal((await listClaims(db, "group_other", { limit: 10 })).length, 1);
  });
}

function ownersOf(claims: readonly ModelClaim[]): Record<string, string> {
  return Object.fromEntries(claims.map(({ model, ownerId }) => [model, ownerId]));
}

async function openWithGroups(
  open: () => Promise<{ database: Database } & AsyncDisposable>,
): Promise<{ database: Database } & AsyncDisposable> {
  const store = await open();
  for (const id of ["group_friends", "group_other"]) await addGroup(store.database, id);
  return store;
}
