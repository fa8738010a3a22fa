import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";

import { OPERATOR, type UserActor } from "../identity/actor.ts";
import { auditRecords, hubActor } from "../store/audit-store.ts";
import { findInvite } from "../store/invite-store.ts";
import { countMemberships, findMembership } from "../store/membership-store.ts";
import { insertUser } from "../store/user-store.ts";
import { createGroup } from "./groups.ts";
import { inviteDesk } from "./invite-desk.ts";
import { createInvite, listInviteUses } from "./invites.ts";
import { banMember } from "./members.ts";
import { previewInvite, redeemCode } from "./redeem.ts";
import { codeOf, openTestGroups } from "./test-groups.ts";

test("a code makes a member, however it is typed, and says so in the audit log", async () => {
  await using groups = await openTestGroups();
  const [ada, bob] = [await groups.user("ada"), await groups.user("bob")];
  const group = await groups.group(ada);
  const { invite, code } = await groups.invite(ada, group, { role: "provider" });

  const redeemed = await redeemCode(groups, bob, ` ${code.toLowerCase().replaceAll("-", " ")} `);

  assert.deepEqual(
    [redeemed.outcome, redeemed.group?.id, redeemed.membership?.role],
    ["redeemed", group.id, "provider"],
  );
  const entries = await auditRecords(groups.database.db, { actorId: "user_bob" }, { limit: 10 });
  assert.deepEqual(entries.map(({ action, objectId }) => `${action} ${objectId}`).toSorted(), [
    `invite.redeem ${invite.id}`,
    "member.join user_bob",
  ]);
  assert.deepEqual(new Set(entries.map(({ groupId }) => groupId)), new Set([group.id]));
});

test("who is a member already takes no use, and hears it", async () => {
  await using groups = await openTestGroups();
  const ada = await groups.user("ada");
  const group = await groups.group(ada);
  const { invite, code } = await groups.invite(ada, group);

  const redeemed = await redeemCode(groups, ada, code);

  assert.deepEqual([redeemed.outcome, redeemed.membership?.role], ["already-member", "owner"]);
  assert.equal((await findInvite(groups.database.db, { id: invite.id }))?.uses, 0);
});

test("whoever holds a code sees what it offers, and not who else is there", async () => {
  await using groups = await openTestGroups();
  const ada = await groups.user("ada");
  const group = await groups.group(ada);
  const expiresAtMs = groups.now() + 1000;
  const { code } = await groups.invite(ada, group, { role: "provider", expiresAtMs });
  const { code: toHub } = await createInvite(groups, OPERATOR, { role: "member", maxUses: 1 });

  const offered = await previewInvite(groups, "192.0.2.9", code);
  const hub = await previewInvite(groups, "192.0.2.9", toHub);

  assert.deepEqual(
    [offered.role, offered.group?.slug, offered.invitedBy, offered.expiresAtMs],
    ["provider", "friends", "ada", expiresAtMs],
  );
  assert.deepEqual(hub, { role: "member", group: undefined, invitedBy: undefined, expiresAtMs: undefined });
});

test("a code that is wrong is told nothing but that; after a handful the next must wait, and a right one need not", async () => {
  await using groups = await openTestGroups();
  const [ada, bob] = [await groups.user("ada"), await groups.user("bob")];
  const group = await groups.group(ada);
  const { code } = await groups.invite(ada, group);
  const guess = (): Promise<string> => codeOf(redeemCode(groups, bob, "0000-0000-0000-0000"));

  const tries = [];
  for (let i = 0; i < 12; i += 1) tries.push(await guess());
  const right = await codeOf(redeemCode(groups, bob, code));
  groups.pass(60_000);

  assert.deepEqual(tries, [...Array(10).fill("not_found"), ...Array(2).fill("rate_limit_exceeded")]);
  assert.equal(right, "none");
  assert.equal(await guess(), "not_found");
});

test("guessing is limited by the account and by the network, whichever is shared", async () => {
  await using groups = await openTestGroups();
  const bob = await groups.user("bob");
  const tries: string[] = [];
  const guess = async (from: UserActor | string): Promise<void> => {
    tries.push(await codeOf(previewInvite(groups, from, "0000-0000-0000-0000")));
  };

  for (let i = 0; i < 10; i += 1) await guess({ ...bob, address: `198.51.100.${i}` });
  await guess({ ...bob, address: "203.0.113.1" });
  for (let i = 0; i < 10; i += 1) await guess(`2001:db8::${i}`);
  await guess("2001:db8::ffff");
  await guess("2001:db8:0:1::1");

  assert.deepEqual(tries, [
    ...Array(10).fill("not_found"),
    "rate_limit_exceeded",
    ...Array(10).fill("not_found"),
    "rate_limit_exceeded",
    "not_found",
  ]);
});

test("a code that is wrong, or comes too late, waits for nobody who writes", async () => {
  await using groups = await openTestGroups();
  const [ada, bob] = [await groups.user("ada"), await groups.user("bob")];
  const { code } = await groups.invite(ada, await groups.group(ada), { expiresAtMs: groups.now() + 1 });
  groups.pass(1);
  const before = await groups.database.db.selectFrom("meta").selectAll().execute();

  await codeOf(redeemCode(groups, bob, "0000-0000-0000-0000"));
  await codeOf(redeemCode(groups, bob, "nonsense"));
  await codeOf(redeemCode(groups, bob, code));
  await redeemCode(groups, ada, code);

  assert.deepEqual(await groups.database.db.selectFrom("meta").selectAll().execute(), before);
});

test("a thousand tries at once on an invite of twenty uses: twenty get in", { timeout: 120_000 }, async () => {
  await using groups = await openTestGroups();
  const ada = await groups.user("ada");
  const group = await groups.group(ada);
  const { invite, code } = await groups.invite(ada, group, { maxUses: 20 });
  const guests = await Promise.all(Array.from({ length: 50 }, (_, index) => groups.user(`guest${index}`)));

  // Twenty tries of each, so that some are members already when they try again.
  const tries = Array.from({ length: 1000 }, (_, index) => guests[index % 50] ?? ada);
  const outcomes = await Promise.all(tries.map((guest) => codeOf(redeemCode(groups, guest, code))));

  const members = await countMemberships(groups.database.db, { groupId: group.id }, groups.now());
  assert.equal(members, 21);
  assert.deepEqual(
    [outcomes.filter((code) => code === "none").length, outcomes.filter((code) => code === "invite_ended").length],
    [20 * 20, 30 * 20],
  );
  assert.equal((await findInvite(groups.database.db, { id: invite.id }))?.uses, 20);
});

test("three processes on one database let in no more than one would", { timeout: 120_000 }, async () => {
  await using groups = await openTestGroups();
  groups.settings.maxMembersPerGroup = 1000;
  const ada = await groups.user("ada");
  const group = await groups.group(ada);
  const { invite, code } = await groups.invite(ada, group, { maxUses: 10 });
  for (let index = 0; index < 60; index += 1) await groups.user(`guest${index}`);

  const processes = [0, 1, 2].map((part) =>
    spawn(process.execPath, [new URL("__fixtures__/redeem-all.ts", import.meta.url).pathname], {
      env: { ...process.env, DATABASE_URL: groups.databaseUrl, CODE: code, PART: String(part) },
      stdio: ["ignore", "inherit", "inherit"],
    }),
  );
  const codes = await Promise.all(processes.map(async (child) => (await once(child, "exit"))[0] as unknown));

  assert.deepEqual(codes, [0, 0, 0]);
  const { db } = groups.database;
  assert.equal((await findInvite(db, { id: invite.id }))?.uses, 10);
  assert.equal(await countMemberships(db, { groupId: group.id }, groups.now()), 11);
  assert.equal((await listInviteUses(groups, ada, invite.id, { limit: 100 })).length, 10);
});

test("who was banned stays out, with whatever invite, also of a public group", async () => {
  await using groups = await openTestGroups();
  const bob = await groups.user("bob");
  const open = await createGroup(groups, OPERATOR, { kind: "public", slug: "all-of-us", name: "All" });
  await banMember(groups, OPERATOR, { groupId: open.id, userId: "user_bob" });
  groups.pass(1);
  const { code } = await createInvite(groups, OPERATOR, { groupId: open.id, role: "provider", maxUses: 1 });

  assert.equal(await codeOf(redeemCode(groups, bob, code)), "forbidden");
});

test("a full group says so, and the invite keeps its use", async () => {
  await using groups = await openTestGroups();
  groups.settings.maxMembersPerGroup = 1;
  const [ada, bob] = [await groups.user("ada"), await groups.user("bob")];
  const group = await groups.group(ada);
  const { code } = await groups.invite(ada, group, { maxUses: 1 });

  const full = await codeOf(redeemCode(groups, bob, code));
  groups.settings.maxMembersPerGroup = 2;

  assert.equal(full, "conflict");
  assert.equal(await codeOf(redeemCode(groups, bob, code)), "none");
});

test("an invite makes an account's first group in the transaction that makes the account, or neither", async () => {
  await using groups = await openTestGroups();
  const ada = await groups.user("ada");
  const group = await groups.group(ada);
  const { code } = await groups.invite(ada, group, { maxUses: 1 });
  const desk = inviteDesk(groups);
  const register = (name: string): Promise<string> =>
    codeOf(
      groups.database.write(async (transaction) => {
        const user = await insertUser(transaction, {
          id: `user_${name}`,
          email: `${name}@example.com`,
          emailVerifiedAtMs: undefined,
          name,
          role: "user",
          passwordHash: undefined,
          createdAtMs: groups.now(),
        });
        assert.ok(user !== undefined);
        await desk.redeem(transaction, code, { user, by: hubActor({ address: "192.0.2.1" }) }, groups.now());
      }),
    );

  const { db } = groups.database;
  await desk.check(code, "192.0.2.1");
  const first = await register("bob");
  const second = await register("cyd");

  const wrong: string[] = [];
  for (let times = 0; times < 11; times += 1) wrong.push(await codeOf(desk.check("0000-0000-0000-0000", "192.0.2.1")));

  assert.deepEqual([wrong.slice(0, 10), wrong[10]], [Array(10).fill("not_found"), "rate_limit_exceeded"]);
  assert.deepEqual([first, second], ["none", "invite_ended"]);
  assert.equal((await findMembership(db, { groupId: group.id, userId: "user_bob" }))?.role, "member");
  assert.equal(await db.selectFrom("users").selectAll().where("id", "=", "user_cyd").executeTakeFirst(), undefined);
  assert.equal(await codeOf(desk.check(code, "192.0.2.2")), "invite_ended");
  assert.equal(await codeOf(desk.check("0000-0000-0000-0000", "192.0.2.2")), "not_found");
  assert.equal(await codeOf(desk.check("?", "192.0.2.2")), "not_found");
});
