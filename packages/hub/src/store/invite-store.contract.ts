import assert from "node:assert/strict";
import { test } from "node:test";

import { addGroup, addInvite, addUser } from "./access-fixtures.ts";
import type { Database } from "./database.ts";
import { changeGroup, deleteGroup } from "./group-store.ts";
import {
  countOpenInvites,
  findInvite,
  listInvites,
  listInviteUses,
  mayInvite,
  revokeInvite,
  revokeInvitesOf,
  takeInviteUse,
} from "./invite-store.ts";
import { changeMembership, endMembership, putMembership } from "./membership-store.ts";
import { inviteState, type Redemption, redeemInvite } from "./redeem-invite.ts";

type Open = () => Promise<{ database: Database } & AsyncDisposable>;

const LIMITS = { maxMembers: 100, maxGroupsJoined: 100 };
const GROUP = "group_friends";
const BOB = { groupId: GROUP, userId: "user_bob" } as const;

/** The tests that invites must pass on each database. */
export function inviteStoreContract(name: string, open: Open): void {
  test(`${name}: an invite is found by its id and by its hash, and listed with its group`, async () => {
    await using store = await openWithFriends(open);
    const { database } = store;
    const { db } = database;
    const hubOnly = await addInvite(database, { id: "invite_1" });
    const first = await addInvite(database, { id: "invite_2", groupId: GROUP, note: "for Bob", expiresAtMs: 50 });
    const second = await addInvite(database, { id: "invite_3", groupId: GROUP, role: "provider" });

    assert.deepEqual(await findInvite(db, { id: "invite_2" }), first);
    assert.deepEqual(await findInvite(db, { hash: "hash of invite_2" }), first);
    assert.equal(await findInvite(db, { hash: "hash" }), undefined);
    assert.deepEqual(await listInvites(db, GROUP, { limit: 10 }), [second, first]);
    assert.deepEqual(await listInvites(db, GROUP, { limit: 10, after: "invite_3" }), [first]);
    assert.deepEqual(await listInvites(db, undefined, { limit: 10 }), [hubOnly]);
    assert.deepEqual([first.uses, first.maxUses, first.version, first.revokedAtMs], [0, 1, 1, undefined]);
  });

  test(`${name}: invites that are used up, revoked or expired are not counted as open`, async () => {
    await using store = await openWithFriends(open);
    const { database } = store;
    for (const id of ["invite_1", "invite_2", "invite_3"]) await addInvite(database, { id, groupId: GROUP });
    await addInvite(database, { id: "invite_4", groupId: GROUP, expiresAtMs: 50 });
    await revokeInvite(database.db, "invite_1", 10);
    await redeem(database, "invite_2", "user_bob");

    assert.equal(await countOpenInvites(database.db, GROUP, 49), 2);
    assert.equal(await countOpenInvites(database.db, GROUP, 50), 1);
    assert.equal(await countOpenInvites(database.db, undefined, 50), 0);
  });

  test(`${name}: an invite is revoked once`, async () => {
    await using store = await openWithFriends(open);
    await addInvite(store.database, { id: "invite_1" });

    const revoked = await revokeInvite(store.database.db, "invite_1", 10);
    const again = await revokeInvite(store.database.db, "invite_1", 20);

    assert.deepEqual([revoked?.revokedAtMs, revoked?.version], [10, 2]);
    assert.equal(again, undefined);
  });

  test(`${name}: all invites of a group are revoked together, or those of one maker`, async () => {
    await using store = await openWithFriends(open);
    const { database } = store;
    await addInvite(database, { id: "invite_1", groupId: GROUP, createdBy: "user_ada" });
    await addInvite(database, { id: "invite_2", groupId: GROUP });
    await addInvite(database, { id: "invite_3" });
    const openOnes = async (): Promise<number> =>
      (await countOpenInvites(database.db, GROUP, 0)) + (await countOpenInvites(database.db, undefined, 0));

    await revokeInvitesOf(database.db, { groupId: GROUP, createdBy: "user_ada" }, 1);
    const afterAda = await openOnes();
    await revokeInvitesOf(database.db, { groupId: GROUP }, 2);

    assert.deepEqual([afterAda, await openOnes()], [2, 1]);
    assert.equal((await findInvite(database.db, { id: "invite_1" }))?.revokedAtMs, 1);
  });

  test(`${name}: an invite gives no more uses than it has, whatever was read before`, async () => {
    await using store = await openWithFriends(open);
    const { db } = store.database;
    await addInvite(store.database, { id: "invite_1", maxUses: 2 });
    await addInvite(store.database, { id: "invite_2", expiresAtMs: 50 });
    await addInvite(store.database, { id: "invite_3" });
    await revokeInvite(db, "invite_3", 1);

    const uses = await Promise.all([1, 2, 3].map(() => takeInviteUse(db, "invite_1", 49)));

    // Which of them comes too late is for the database to say.
    assert.equal(uses.filter((isTaken) => isTaken).length, 2);
    assert.equal(await takeInviteUse(db, "invite_2", 50), false);
    assert.equal(await takeInviteUse(db, "invite_2", 49), true);
    assert.equal(await takeInviteUse(db, "invite_3", 49), false);
  });

  test(`${name}: redeeming makes a member, takes one use and says who took it`, async () => {
    await using store = await openWithFriends(open);
    const { database } = store;
    await addInvite(database, { id: "invite_1", groupId: GROUP, role: "provider", maxUses: 2 });

    const redeemed = await redeem(database, "invite_1", "user_bob", 70);

    assert.equal(redeemed.outcome, "redeemed");
    const membership = redeemed.outcome === "redeemed" ? redeemed.membership : undefined;
    assert.deepEqual(
      [membership?.role, membership?.status, membership?.inviteId, membership?.joinedAtMs],
      ["provider", "active", "invite_1", 70],
    );
    assert.equal((await findInvite(database.db, { id: "invite_1" }))?.uses, 1);
    assert.deepEqual(await listInviteUses(database.db, "invite_1", { limit: 10 }), [
      { userId: "user_bob", name: "bob", email: "bob@example.com", usedAtMs: 70 },
    ]);
  });

  test(`${name}: an invite to the hub alone makes nobody a member, and is used up all the same`, async () => {
    await using store = await openWithFriends(open);
    await addInvite(store.database, { id: "invite_1" });

    const first = await redeem(store.database, "invite_1", "user_bob");
    const second = await redeem(store.database, "invite_1", "user_ada");

    assert.deepEqual([first.outcome, endOf(second)], ["redeemed", "used-up"]);
  });

  test(`${name}: a member takes no use, and a provider is not made a member again`, async () => {
    await using store = await openWithFriends(open);
    const { database } = store;
    await addInvite(database, { id: "invite_1", groupId: GROUP, maxUses: 5 });
    await join(database, "provider");

    const provider = await redeem(database, "invite_1", "user_bob");
    const owner = await redeem(database, "invite_1", "user_ada");

    assert.deepEqual([provider.outcome, owner.outcome], ["already-member", "already-member"]);
    assert.equal((await findInvite(database.db, { id: "invite_1" }))?.uses, 0);
  });

  test(`${name}: a member becomes a provider with such an invite, and keeps what the owner decided`, async () => {
    await using store = await openWithFriends(open);
    const { database } = store;
    await addInvite(database, { id: "invite_1", groupId: GROUP, role: "provider" });
    await join(database, "member", { expiresAtMs: 900, limits: { concurrency: 1 } });

    const redeemed = await redeem(database, "invite_1", "user_bob", 70);

    assert.ok(redeemed.outcome === "redeemed");
    assert.equal(redeemed.before?.role, "member");
    const { role, expiresAtMs, limits, joinedAtMs } = redeemed.membership ?? assert.fail();
    assert.deepEqual(
      { role, expiresAtMs, limits, joinedAtMs },
      {
        role: "provider",
        expiresAtMs: 900,
        limits: { concurrency: 1 },
        joinedAtMs: 5,
      },
    );
  });

  test(`${name}: leaving and coming back sheds neither limits nor the end of a membership`, async () => {
    await using store = await openWithFriends(open);
    const { database } = store;
    await addInvite(database, { id: "invite_1", groupId: GROUP });
    await join(database, "member", { expiresAtMs: 900, limits: { concurrency: 1 } });
    await end(database, "left", 50);

    const redeemed = await redeem(database, "invite_1", "user_bob", 70);

    assert.ok(redeemed.outcome === "redeemed");
    assert.deepEqual([redeemed.membership?.expiresAtMs, redeemed.membership?.limits], [900, { concurrency: 1 }]);
    assert.equal(redeemed.membership?.joinedAtMs, 70);
  });

  test(`${name}: a banned user gets in with no invite`, async () => {
    await using store = await openWithFriends(open);
    const { database } = store;
    await end(database, "banned", 50);
    await addInvite(database, { id: "invite_1", groupId: GROUP, createdAtMs: 60 });

    const redeemed = await redeem(database, "invite_1", "user_bob", 70);

    assert.equal(redeemed.outcome, "banned");
    assert.equal((await findInvite(database.db, { id: "invite_1" }))?.uses, 0);
  });

  test(`${name}: who was removed, or ran out, comes back with a newer invite only`, async () => {
    await using store = await openWithFriends(open);
    const { database } = store;
    await addInvite(database, { id: "invite_1", groupId: GROUP, createdAtMs: 50 });
    await addInvite(database, { id: "invite_2", groupId: GROUP, createdAtMs: 51 });
    await join(database, "provider", { expiresAtMs: 40 });
    const expired = { ...BOB, userId: "user_ada" };
    await database.write((transaction) => changeMembership(transaction, expired, { role: "member", expiresAtMs: 50 }));
    await end(database, "removed", 50);

    const outcomes = [
      await redeem(database, "invite_1", "user_bob", 70),
      await redeem(database, "invite_1", "user_ada", 70),
      await redeem(database, "invite_2", "user_bob", 70),
    ];

    assert.deepEqual(
      outcomes.map(({ outcome }) => outcome),
      ["needs-newer", "needs-newer", "redeemed"],
    );
    const back = outcomes[2];
    assert.deepEqual(back?.outcome === "redeemed" && [back.membership?.role, back.membership?.expiresAtMs], [
      "member",
      undefined,
    ]);
  });

  test(`${name}: a provider who was made a member serves again with a newer invite only, also after leaving`, async () => {
    await using store = await openWithFriends(open);
    const { database } = store;
    const invite = { groupId: GROUP, role: "provider", maxUses: 9 } as const;
    await addInvite(database, { ...invite, id: "invite_1", createdAtMs: 10 });
    await addInvite(database, { ...invite, id: "invite_2", createdAtMs: 20 });
    await addInvite(database, { ...invite, id: "invite_3", createdAtMs: 26 });
    await addInvite(database, { ...invite, id: "invite_4", createdAtMs: 5, role: "member" });
    const outcomes = [await redeem(database, "invite_1", "user_bob", 15)];
    const demotion = { role: "member", providerInvitesAfterMs: 25 } as const;
    await database.write((transaction) => changeMembership(transaction, BOB, demotion));

    for (const id of ["invite_1", "invite_2"]) outcomes.push(await redeem(database, id, "user_bob", 30));
    await end(database, "left", 40);
    outcomes.push(await redeem(database, "invite_1", "user_bob", 50));
    outcomes.push(await redeem(database, "invite_4", "user_bob", 50));
    outcomes.push(await redeem(database, "invite_1", "user_bob", 50));
    outcomes.push(await redeem(database, "invite_3", "user_bob", 50));

    assert.deepEqual(
      outcomes.map((each) => (each.outcome === "redeemed" ? each.membership?.role : each.outcome)),
      ["provider", "needs-newer", "needs-newer", "needs-newer", "member", "needs-newer", "provider"],
    );
  });

  test(`${name}: who came back as a member becomes no provider with an invite from before`, async () => {
    for (const ended of ["removed", "expired", "left"] as const) {
      await using store = await openWithFriends(open);
      const { database } = store;
      await addInvite(database, { id: "invite_1", groupId: GROUP, role: "provider", createdAtMs: 10 });
      await addInvite(database, { id: "invite_2", groupId: GROUP, createdAtMs: 60 });
      await addInvite(database, { id: "invite_3", groupId: GROUP, role: "provider", createdAtMs: 60 });
      await join(database, "member", ended === "expired" ? { expiresAtMs: 50 } : {});
      if (ended !== "expired") await end(database, ended, 50);
      await redeem(database, "invite_2", "user_bob", 60);

      const outcomes = [
        await redeem(database, "invite_1", "user_bob", 70),
        await redeem(database, "invite_3", "user_bob", 70),
      ].map(({ outcome }) => outcome);

      // Nobody took anything from who left.
      const expected = ended === "left" ? ["redeemed", "already-member"] : ["needs-newer", "redeemed"];
      assert.deepEqual(outcomes, expected, ended);
    }
  });

  test(`${name}: why an invite does nothing is told apart`, async () => {
    await using store = await openWithFriends(open);
    const { database } = store;
    for (const id of ["invite_1", "invite_2", "invite_3"]) await addInvite(database, { id, groupId: GROUP });
    await addInvite(database, { id: "invite_4", groupId: GROUP, expiresAtMs: 70 });
    await revokeInvite(database.db, "invite_1", 10);
    await redeem(database, "invite_2", "user_bob");
    await addUser(database, "user_cyd");
    const ends = async (id: string, nowMs: number): Promise<unknown> =>
      endOf(await redeem(database, id, "user_cyd", nowMs));

    assert.equal(await ends("invite_1", 69), "revoked");
    assert.equal(await ends("invite_2", 69), "used-up");
    assert.equal(await ends("invite_4", 70), "expired");
    assert.equal((await redeem(database, "none", "user_cyd")).outcome, "unknown");
    await database.write((transaction) => deleteGroup(transaction, GROUP, 80));
    assert.equal(await ends("invite_3", 81), "void");
  });

  test(`${name}: an invite ends with its maker's right to invite`, async () => {
    await using store = await openWithFriends(open);
    const { database } = store;
    await addUser(database, "user_root", "root");
    await addInvite(database, { id: "invite_1", groupId: GROUP, createdBy: "user_ada" });
    await addInvite(database, { id: "invite_2", groupId: GROUP, createdBy: "user_root" });
    const states = async (): Promise<string[]> =>
      Promise.all(
        ["invite_1", "invite_2"].map(async (id) => (await inviteState(database.db, `hash of ${id}`, 1)).outcome),
      );

    const before = await states();
    await database.write((transaction) => changeGroup(transaction, GROUP, { ownerId: "user_bob" }));
    const afterTransfer = await states();
    await database.db.updateTable("users").set({ disabled_at_ms: 1 }).where("id", "=", "user_root").execute();

    assert.deepEqual(
      [before, afterTransfer, await states()],
      [
        ["open", "open"],
        ["ended", "open"],
        ["ended", "ended"],
      ],
    );
    assert.equal(await mayInvite(database.db, "user_ada", undefined), false);
  });

  test(`${name}: a full group, or a user with too many, takes no use`, async () => {
    await using store = await openWithFriends(open);
    const { database } = store;
    await addGroup(database, "group_other", { ownerId: "user_bob" });
    await addInvite(database, { id: "invite_1", groupId: GROUP });

    const within = (limits: typeof LIMITS): Promise<Redemption> =>
      database.write((transaction) =>
        redeemInvite(transaction, { hash: "hash of invite_1", userId: "user_bob", limits }, 1),
      );

    const full = await within({ ...LIMITS, maxMembers: 1 });
    const tooMany = await within({ ...LIMITS, maxGroupsJoined: 1 });
    const redeemed = await within({ maxMembers: 2, maxGroupsJoined: 2 });

    assert.deepEqual(
      [full, tooMany, redeemed].map(({ outcome }) => outcome),
      ["group-full", "too-many-groups", "redeemed"],
    );
  });

  test(`${name}: what fails afterwards gives the use back`, async () => {
    await using store = await openWithFriends(open);
    const { database } = store;
    await addInvite(database, { id: "invite_1", groupId: GROUP });

    const failing = database.write(async (transaction) => {
      await redeemInvite(transaction, { hash: "hash of invite_1", userId: "user_bob", limits: LIMITS }, 1);
      throw new Error("afterwards");
    });

    await assert.rejects(failing, /afterwards/);
    assert.equal((await findInvite(database.db, { id: "invite_1" }))?.uses, 0);
    assert.equal((await redeem(database, "invite_1", "user_bob")).outcome, "redeemed");
  });

  test(
    `${name}: of a thousand who redeem at once, as many get in as the invite allows`,
    { timeout: 60_000 },
    async () => {
      await using store = await openWithFriends(open);
      const { database } = store;
      const users = Array.from({ length: 1000 }, (_, index) => `user_${index}`);
      await database.write(async ({ db, revision }) => {
        const row = { ...(await db.selectFrom("users").selectAll().executeTakeFirstOrThrow()), revision };
        for (let from = 0; from < users.length; from += 100) {
          const some = users.slice(from, from + 100);
          await db
            .insertInto("users")
            .values(some.map((id) => ({ ...row, id, email: `${id}@example.com` })))
            .execute();
        }
      });
      await addInvite(database, { id: "invite_1", groupId: GROUP, maxUses: 17 });

      const redemptions = await Promise.all(users.map((userId) => redeem(database, "invite_1", userId)));

      const redeemed = redemptions.filter(({ outcome }) => outcome === "redeemed");
      const usedUp = redemptions.filter((each) => endOf(each) === "used-up");
      assert.deepEqual([redeemed.length, usedUp.length], [17, 983]);
      assert.equal((await findInvite(database.db, { id: "invite_1" }))?.uses, 17);
      assert.equal((await listInviteUses(database.db, "invite_1", { limit: 1000 })).length, 17);
    },
  );
}

function redeem(database: Database, id: string, userId: string, nowMs = 1): Promise<Redemption> {
  return database.write((transaction) =>
    redeemInvite(transaction, { hash: `hash of ${id}`, userId, limits: LIMITS }, nowMs),
  );
}

async function join(
  database: Database,
  role: "provider" | "member",
  more: { readonly expiresAtMs?: number; readonly limits?: { readonly concurrency: number } } = {},
): Promise<void> {
  await database.write((transaction) => putMembership(transaction, { ...BOB, role, joinedAtMs: 5, ...more }));
}

async function end(database: Database, status: "left" | "removed" | "banned", nowMs: number): Promise<void> {
  await database.write((transaction) => endMembership(transaction, BOB, { status, nowMs }));
}

function endOf(redemption: Redemption): string | undefined {
  return redemption.outcome === "ended" ? redemption.end : undefined;
}

/** Ada owns the group; Bob is a user. */
async function openWithFriends(open: Open): Promise<{ database: Database } & AsyncDisposable> {
  const store = await open();
  for (const id of ["user_ada", "user_bob"]) await addUser(store.database, id);
  await addGroup(store.database, GROUP, { ownerId: "user_ada" });
  return store;
}
