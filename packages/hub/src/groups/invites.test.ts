import assert from "node:assert/strict";
import { test } from "node:test";

import { OPERATOR } from "../identity/actor.ts";
import { inviteHashOf } from "../identity/invite-code.ts";
import { auditRecords } from "../store/audit-store.ts";
import { findInvite } from "../store/invite-store.ts";
import { createGroup, transferGroup } from "./groups.ts";
import { createInvite, listInvites, listInviteUses, readInvite, revokeInvite } from "./invites.ts";
import { redeemCode } from "./redeem.ts";
import { codeOf, openTestGroups } from "./test-groups.ts";

const PAGE = { limit: 100 };

test("an invite is shown once; what is kept is a hash and four characters", async () => {
  await using groups = await openTestGroups();
  const ada = await groups.user("ada");
  const group = await groups.group(ada);

  const { invite, code, link } = await groups.invite(ada, group, { note: "for Bob", role: "provider", maxUses: 2 });

  assert.match(code, /^[0-9A-Z]{4}(-[0-9A-Z]{4}){3}$/);
  assert.equal(link, `https://hub.example/join#${code}`);
  assert.equal(invite.prefix, code.slice(0, 4));
  assert.deepEqual([invite.state, invite.uses, invite.maxUses, invite.role], ["open", 0, 2, "provider"]);
  const kept = await groups.database.db.selectFrom("invites").selectAll().execute();
  assert.equal(kept[0]?.hash, inviteHashOf(code));
  const audited = await auditRecords(groups.database.db, {}, PAGE);
  const bare = code.replaceAll("-", "");
  for (const text of [JSON.stringify(kept), JSON.stringify(audited)]) {
    assert.ok(!text.replaceAll("-", "").includes(bare), "the code itself is kept nowhere");
  }
});

test("only whoever manages a group invites into it, sees its invites and revokes them", async () => {
  await using groups = await openTestGroups();
  const [ada, bob, cyd] = [await groups.user("ada"), await groups.user("bob"), await groups.user("cyd")];
  const admin = await groups.user("admin", "admin");
  const auditor = await groups.user("auditor", "auditor");
  const group = await groups.group(ada);
  await groups.join(ada, bob, group, "provider");
  const { invite } = await groups.invite(ada, group);
  const codesFor = (actor: typeof ada): Promise<string[]> =>
    Promise.all(
      [
        groups.invite(actor, group),
        listInvites(groups, actor, group.id, PAGE),
        readInvite(groups, actor, invite.id),
        listInviteUses(groups, actor, invite.id, PAGE),
        revokeInvite(groups, actor, invite.id),
      ].map(codeOf),
    );

  assert.deepEqual(await codesFor(bob), ["forbidden", "forbidden", "not_found", "not_found", "not_found"]);
  assert.deepEqual(await codesFor(cyd), Array(5).fill("not_found"));
  assert.deepEqual(await codesFor(auditor), ["forbidden", "none", "none", "none", "forbidden"]);
  assert.deepEqual(await codesFor(admin), Array(5).fill("none"));
  assert.deepEqual(await codesFor(ada), Array(5).fill("none"));
});

test("an invite to the hub alone is made by whoever runs it, and gives no role", async () => {
  await using groups = await openTestGroups();
  const ada = await groups.user("ada");
  const admin = await groups.user("admin", "admin");
  const toHub = { role: "member", maxUses: 1 } as const;

  assert.equal(await codeOf(createInvite(groups, ada, toHub)), "forbidden");
  assert.equal(await codeOf(listInvites(groups, ada, undefined, PAGE)), "forbidden");
  assert.equal(await codeOf(createInvite(groups, admin, { ...toHub, role: "provider" })), "invalid_request role");
  const byAdmin = await createInvite(groups, admin, toHub);
  const byCommand = await createInvite(groups, OPERATOR, toHub);
  const { id } = byCommand.invite;
  const attempts = [readInvite(groups, ada, id), revokeInvite(groups, ada, id), listInviteUses(groups, ada, id, PAGE)];
  assert.deepEqual(await Promise.all(attempts.map(codeOf)), Array(3).fill("not_found"));
  const ids = (await listInvites(groups, OPERATOR, undefined, PAGE)).map(({ id }) => id);
  assert.deepEqual(ids.toSorted(), [byAdmin.invite.id, byCommand.invite.id].toSorted());
});

test("what an invite says is within bounds", async () => {
  await using groups = await openTestGroups();
  const ada = await groups.user("ada");
  const group = await groups.group(ada);
  const attempt = (input: object): Promise<string> => codeOf(groups.invite(ada, group, input));

  for (const maxUses of [0, -1, 1.5, 10_001, Number.NaN]) {
    assert.equal(await attempt({ maxUses }), "invalid_request max_uses", String(maxUses));
  }
  assert.equal(await attempt({ expiresAtMs: groups.now() }), "invalid_request expires_at_ms");
  assert.equal(await attempt({ note: "x".repeat(201) }), "invalid_request note");
  assert.equal(await attempt({ note: "a\u001b[2J" }), "invalid_request note");
  assert.equal(await attempt({ maxUses: 10_000, expiresAtMs: groups.now() + 1, note: "x".repeat(200) }), "none");
});

test("a group has only so many open invites, and those that ended are dropped in time", async () => {
  await using groups = await openTestGroups();
  const [ada, bob] = [await groups.user("ada"), await groups.user("bob")];
  const group = await groups.group(ada);
  const made = await Promise.all(Array.from({ length: 10 }, () => groups.invite(ada, group, { maxUses: 1 })));
  const [first, second] = made;
  assert.ok(first !== undefined && second !== undefined);

  const full = await codeOf(groups.invite(ada, group));
  await revokeInvite(groups, ada, first.invite.id);
  await redeemCode(groups, bob, second.code);
  const next = await codeOf(groups.invite(ada, group));
  groups.pass(90 * 24 * 3600_000 + 1);
  await groups.invite(ada, group);

  assert.deepEqual([full, next], ["conflict", "none"]);
  const { db } = groups.database;
  assert.equal(await findInvite(db, { id: first.invite.id }), undefined);
  assert.equal(await findInvite(db, { id: second.invite.id }), undefined);
  assert.equal((await listInvites(groups, ada, group.id, PAGE)).length, 10);
});

test("how an invite stands is told to whoever manages its group", async () => {
  await using groups = await openTestGroups();
  const [ada, bob] = [await groups.user("ada"), await groups.user("bob")];
  const group = await groups.group(ada);
  const invites = {
    open: await groups.invite(ada, group),
    revoked: await groups.invite(ada, group),
    expired: await groups.invite(ada, group, { expiresAtMs: groups.now() + 10 }),
    "used-up": await groups.invite(ada, group, { maxUses: 1 }),
  };
  await revokeInvite(groups, ada, invites.revoked.invite.id);
  await redeemCode(groups, bob, invites["used-up"].code);
  groups.pass(10);

  for (const [state, { invite }] of Object.entries(invites)) {
    assert.equal((await readInvite(groups, ada, invite.id)).state, state);
  }
  const listed = await listInvites(groups, ada, group.id, PAGE);
  assert.deepEqual(listed.map(({ state }) => state).toSorted(), Object.keys(invites).toSorted());
  assert.deepEqual(
    (await listInviteUses(groups, ada, invites["used-up"].invite.id, PAGE)).map(({ name }) => name),
    ["bob"],
  );
});

test("an invite ends with its maker's right: an admin's by being one no more, an owner's by giving the group away", async () => {
  await using groups = await openTestGroups();
  const [ada, bob, cyd] = [await groups.user("ada"), await groups.user("bob"), await groups.user("cyd")];
  const admin = await groups.user("admin", "admin");
  const group = await groups.group(ada);
  await groups.join(ada, bob, group);
  const byAdmin = await groups.invite(admin, group);
  const byAda = await groups.invite(ada, group);
  await groups.database.db.updateTable("users").set({ role: "user" }).where("id", "=", "user_admin").execute();

  const afterAdmin = await codeOf(redeemCode(groups, cyd, byAdmin.code));
  await transferGroup(groups, ada, { groupId: group.id, version: undefined, userId: "user_bob" });
  const afterAda = await codeOf(redeemCode(groups, cyd, byAda.code));

  assert.deepEqual([afterAdmin, afterAda], ["invite_ended", "invite_ended"]);
  assert.equal((await readInvite(groups, bob, byAdmin.invite.id)).state, "void");
});

test("revoking once more does nothing, and a revoked code lets nobody in", async () => {
  await using groups = await openTestGroups();
  const [ada, bob] = [await groups.user("ada"), await groups.user("bob")];
  const group = await groups.group(ada);
  const { invite, code } = await groups.invite(ada, group);

  const first = await revokeInvite(groups, ada, invite.id);
  groups.pass(5);
  const again = await revokeInvite(groups, ada, invite.id);

  assert.deepEqual([first.state, again.state, again.revokedAtMs], ["revoked", "revoked", first.revokedAtMs]);
  assert.equal(await codeOf(redeemCode(groups, bob, code)), "invite_ended");
  const entries = (await groups.audited()).filter((entry) => entry.startsWith("invite.revoke"));
  assert.equal(entries.length, 1);
});

test("a public group's invites are made by whoever runs the hub alone", async () => {
  await using groups = await openTestGroups();
  const ada = await groups.user("ada");
  const open = await createGroup(groups, OPERATOR, { kind: "public", slug: "all-of-us", name: "All" });

  assert.equal(await codeOf(groups.invite(ada, open, { role: "provider" })), "forbidden");
});
