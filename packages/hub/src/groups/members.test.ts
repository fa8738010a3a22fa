import assert from "node:assert/strict";
import { test } from "node:test";

import { OPERATOR, type UserActor } from "../identity/actor.ts";
import { OPERATOR_GROUP_ID } from "../store/access-schema.ts";
import { auditRecords } from "../store/audit-store.ts";
import type { GroupRecord } from "../store/group-store.ts";
import type { InviteRole } from "../store/invite-store.ts";
import { findMembership } from "../store/membership-store.ts";
import { createGroup } from "./groups.ts";
import { mayServe } from "./may-serve.ts";
import {
  banMember,
  grantMembership,
  leaveGroup,
  listMembers,
  readMember,
  removeMember,
  unbanMember,
  updateMember,
} from "./members.ts";
import { redeemCode } from "./redeem.ts";
import { codeOf, openTestGroups, type TestGroups } from "./test-groups.ts";

const PAGE = { limit: 100 };

test("members see who is in their group, and whoever manages it sees who was and how to write to them", async () => {
  await using story = await openStory();
  const { groups, ada, bob, group } = story;
  const cyd = await groups.user("cyd");
  await groups.join(ada, cyd, group);
  await removeMember(groups, ada, { groupId: group.id, userId: "user_cyd" });

  const forBob = await listMembers(groups, bob, group.id, PAGE);
  const forAda = await listMembers(groups, ada, group.id, PAGE);

  assert.deepEqual(
    forBob.map(({ name, email, role }) => [name, email, role]),
    [
      ["ada", undefined, "owner"],
      ["bob", undefined, "provider"],
    ],
  );
  assert.deepEqual(
    forAda.map(({ email, status }) => [email, status]),
    [
      ["ada@example.com", "active"],
      ["bob@example.com", "active"],
      ["cyd@example.com", "removed"],
    ],
  );
  assert.equal((await readMember(groups, bob, story.bobs)).email, "bob@example.com");
  assert.equal((await readMember(groups, bob, { ...story.bobs, userId: "user_ada" })).email, undefined);
  assert.equal(await codeOf(readMember(groups, bob, { ...story.bobs, userId: "user_cyd" })), "not_found");
});

test("who is no member of a public group does not see its members", async () => {
  await using groups = await openTestGroups();
  const bob = await groups.user("bob");
  const open = await createGroup(groups, OPERATOR, { kind: "public", slug: "all-of-us", name: "All" });

  assert.equal(await codeOf(listMembers(groups, bob, open.id, PAGE)), "forbidden");
  assert.equal(await codeOf(readMember(groups, bob, { groupId: open.id, userId: "user_bob" })), "forbidden");
});

test("the owner sets a member's role, end and limits, and takes them back", async () => {
  await using story = await openStory();
  const { groups, ada, bobs } = story;
  const limits = { requestsPerMinute: 10 };
  const expiresAtMs = groups.now() + 1000;

  const changed = await updateMember(groups, ada, {
    key: bobs,
    version: 1,
    patch: { role: "member", expiresAtMs, limits },
  });
  const back = await updateMember(groups, ada, { key: bobs, version: 2, patch: { expiresAtMs: null, limits: null } });

  assert.deepEqual([changed.role, changed.expiresAtMs, changed.limits], ["member", expiresAtMs, limits]);
  assert.deepEqual([back.role, back.expiresAtMs, back.limits], ["member", undefined, undefined]);
  const stale = { key: bobs, version: 2, patch: {} };
  assert.equal(await codeOf(updateMember(groups, ada, stale)), "precondition_failed");
  const past = { key: bobs, version: 3, patch: { expiresAtMs: groups.now() } };
  assert.equal(await codeOf(updateMember(groups, ada, past)), "invalid_request expires_at_ms");
});

test("a membership that ran out is over for its user, and the owner can prolong it", async () => {
  await using story = await openStory();
  const { groups, ada, bob, bobs, group } = story;
  await updateMember(groups, ada, { key: bobs, version: 1, patch: { expiresAtMs: groups.now() + 1000 } });
  groups.pass(1000);

  const whileOver = await codeOf(listMembers(groups, bob, group.id, PAGE));
  await updateMember(groups, ada, { key: bobs, version: 2, patch: { expiresAtMs: null } });

  assert.equal(whileOver, "not_found");
  assert.equal(await codeOf(listMembers(groups, bob, group.id, PAGE)), "none");
});

test("members change, remove and ban nobody, not even themselves", async () => {
  await using story = await openStory();
  const { groups, ada, bob, bobs, group } = story;
  const cyd = await groups.user("cyd");
  await groups.join(ada, cyd, group);

  for (const userId of ["user_bob", "user_cyd", "user_ada"]) {
    const key = { ...bobs, userId };
    const attempts = [
      updateMember(groups, bob, { key, version: undefined, patch: { role: "provider" } }),
      removeMember(groups, bob, key),
      banMember(groups, bob, key),
      unbanMember(groups, bob, key),
      grantMembership(groups, bob, { ...key, role: "provider" }),
    ];
    assert.deepEqual(await Promise.all(attempts.map(codeOf)), Array(5).fill("forbidden"), userId);
  }
});

test("the owner can be changed, removed and banned by nobody", async () => {
  await using story = await openStory();
  const { groups, ada, group } = story;
  const root = await groups.user("root", "root");
  const key = { groupId: group.id, userId: "user_ada" };

  for (const actor of [ada, root]) {
    const attempts = [
      updateMember(groups, actor, { key, version: undefined, patch: { role: "member" } }),
      removeMember(groups, actor, key),
      banMember(groups, actor, key),
    ];
    assert.deepEqual(await Promise.all(attempts.map(codeOf)), Array(3).fill("conflict"));
  }
});

test("a member leaves, the owner cannot", async () => {
  await using story = await openStory();
  const { groups, ada, bob, group, bobs } = story;

  await leaveGroup(groups, bob, group.id);

  assert.equal((await findMembership(groups.database.db, bobs))?.status, "left");
  assert.equal(await codeOf(leaveGroup(groups, bob, group.id)), "not_found");
  assert.equal(await codeOf(leaveGroup(groups, ada, group.id)), "conflict");
  assert.equal(await codeOf(leaveGroup(groups, OPERATOR, group.id)), "conflict");
});

test("who was removed comes back with a newer invite, who was banned with none until that is lifted", async () => {
  await using story = await openStory();
  const { groups, ada, bob, group, bobs } = story;
  const old = await groups.invite(ada, group);
  const redeem = ({ code }: { code: string }): Promise<string> => codeOf(redeemCode(groups, bob, code));
  const newer = async (): Promise<{ code: string }> => {
    groups.pass(1);
    return groups.invite(ada, group);
  };

  await removeMember(groups, ada, bobs);
  const withOld = await redeem(old);
  const withNew = await redeem(await newer());
  await banMember(groups, ada, bobs);
  const banned = await redeem(await newer());
  const unbanned = await unbanMember(groups, ada, bobs);
  const afterwards = [await redeem(old), await redeem(await newer())];

  assert.deepEqual([withOld, withNew, banned], ["forbidden", "none", "forbidden"]);
  assert.equal(unbanned.status, "removed");
  assert.deepEqual(afterwards, ["forbidden", "none"]);
});

test("a provider who was made a member becomes none again with an invite that was there, however they had become one", async () => {
  await using story = await openStory();
  const { groups, ada, group } = story;
  const cyd = await groups.user("cyd");
  const admin = await groups.user("admin", "admin");
  const open = await createGroup(groups, admin, { kind: "public", slug: "all-of-us", name: "All" });
  await groups.join(ada, cyd, group);
  const key = { groupId: group.id, userId: "user_cyd" };
  const byOwner = (role: InviteRole): Promise<unknown> =>
    updateMember(groups, ada, { key, version: undefined, patch: { role } });
  const byAdmin = (role: InviteRole): Promise<unknown> =>
    grantMembership(groups, admin, { groupId: open.id, userId: "user_cyd", role });
  const outcomes: string[] = [];

  for (const [owner, where, give] of [
    [ada, group, byOwner],
    [admin, open, byAdmin],
  ] as const) {
    const old = await groups.invite(owner, where, { role: "provider" });
    await give("provider");
    groups.pass(1);
    const between = await groups.invite(owner, where, { role: "provider" });
    await give("member");
    groups.pass(1);
    const newer = await groups.invite(owner, where, { role: "provider" });
    for (const { code } of [old, between, newer]) outcomes.push(await codeOf(redeemCode(groups, cyd, code)));
  }

  assert.deepEqual(outcomes, ["forbidden", "forbidden", "none", "forbidden", "forbidden", "none"]);
});

test("a membership that ran out is not prolonged in a group that is full by now", async () => {
  await using story = await openStory();
  const { groups, ada, group, bobs } = story;
  groups.settings.maxMembersPerGroup = 2;
  await updateMember(groups, ada, { key: bobs, version: undefined, patch: { expiresAtMs: groups.now() + 1 } });
  groups.pass(1);
  await groups.join(ada, await groups.user("cyd"), group);
  const prolonged = { key: bobs, version: undefined, patch: { expiresAtMs: null } };

  const whileFull = await codeOf(updateMember(groups, ada, prolonged));
  await removeMember(groups, ada, { groupId: group.id, userId: "user_cyd" });
  const withRoom = await codeOf(updateMember(groups, ada, prolonged));

  assert.deepEqual([whileFull, withRoom], ["conflict", "none"]);
});

test("somebody who never was a member can be banned; somebody who does not exist cannot", async () => {
  await using story = await openStory();
  const { groups, ada, group } = story;
  const cyd = await groups.user("cyd");
  const { code } = await groups.invite(ada, group);

  await banMember(groups, ada, { groupId: group.id, userId: "user_cyd" });

  assert.equal(await codeOf(redeemCode(groups, cyd, code)), "forbidden");
  for (const end of [removeMember, banMember, unbanMember]) {
    assert.equal(await codeOf(end(groups, ada, { groupId: group.id, userId: "user_none" })), "not_found");
  }
  assert.equal(await codeOf(removeMember(groups, ada, { groupId: group.id, userId: "user_cyd" })), "not_found");
});

test("into the operator's groups people are put by whoever runs the hub, into others by nobody", async () => {
  await using story = await openStory();
  const { groups, ada, group } = story;
  await groups.user("cyd");
  const admin = await groups.user("admin", "admin");
  const open = await createGroup(groups, admin, { kind: "public", slug: "all-of-us", name: "All" });
  const grant = (groupId: string, userId = "user_cyd"): Promise<string> =>
    codeOf(grantMembership(groups, admin, { groupId, userId, role: "provider" }));

  assert.deepEqual([await grant(open.id), await grant(OPERATOR_GROUP_ID)], ["none", "none"]);
  assert.equal(await grant(group.id), "forbidden");
  assert.equal(await codeOf(grantMembership(groups, ada, { ...story.bobs, role: "provider" })), "forbidden");
  assert.equal(await grant(open.id, "user_none"), "not_found");
  assert.equal(await mayServe(groups.database.db, { userId: "user_cyd", groupId: open.id }, groups.now()), true);
  await banMember(groups, admin, { groupId: open.id, userId: "user_cyd" });
  assert.equal(await grant(open.id), "conflict");
});

test("a full group takes nobody more", async () => {
  await using groups = await openTestGroups();
  groups.settings.maxMembersPerGroup = 1;
  for (const name of ["bob", "cyd"]) await groups.user(name);
  const grant = (userId: string): Promise<string> =>
    codeOf(grantMembership(groups, OPERATOR, { groupId: OPERATOR_GROUP_ID, userId, role: "member" }));

  assert.deepEqual(
    [await grant("user_bob"), await grant("user_cyd"), await grant("user_bob")],
    ["none", "conflict", "none"],
  );
});

test("who may serve: owner and providers as long as they are active, and whoever runs the hub where it is theirs", async () => {
  await using story = await openStory();
  const { groups, ada, bobs, group } = story;
  await groups.join(ada, await groups.user("cyd"), group, "member");
  await groups.user("admin", "admin");
  const { db } = groups.database;
  const may = (userId: string | undefined, groupId = group.id): Promise<boolean> =>
    mayServe(db, { userId, groupId }, groups.now());

  assert.deepEqual(await Promise.all([may("user_ada"), may("user_bob"), may("user_cyd"), may("user_none")]), [
    true,
    true,
    false,
    false,
  ]);
  assert.deepEqual(await Promise.all([may(undefined), may("user_admin"), may(undefined, OPERATOR_GROUP_ID)]), [
    false,
    false,
    true,
  ]);
  assert.deepEqual(await Promise.all([may("user_admin", OPERATOR_GROUP_ID), may("user_bob", OPERATOR_GROUP_ID)]), [
    true,
    false,
  ]);
  assert.equal(await may("user_bob", "group_none"), false);
  await db.updateTable("users").set({ disabled_at_ms: 1 }).where("id", "=", "user_bob").execute();
  assert.equal(await may("user_bob"), false);
  await db.updateTable("users").set({ disabled_at_ms: null }).where("id", "=", "user_bob").execute();
  await removeMember(groups, ada, bobs);
  assert.equal(await may("user_bob"), false);
});

test("each change of a membership gets a revision that running hubs follow, and an entry that says what it was", async () => {
  await using story = await openStory();
  const { groups, ada, bobs } = story;
  const revision = async (): Promise<number> => (await findMembership(groups.database.db, bobs))?.revision ?? 0;
  const revisions = [await revision()];

  await updateMember(groups, ada, { key: bobs, version: undefined, patch: { role: "member" } });
  revisions.push(await revision());
  await removeMember(groups, ada, bobs);
  revisions.push(await revision());

  assert.deepEqual(
    revisions,
    revisions.toSorted((a, b) => a - b),
  );
  assert.equal(new Set(revisions).size, 3);
  const [entry] = await auditRecords(groups.database.db, { action: "member.remove" }, { limit: 1 });
  assert.deepEqual([entry?.actorId, entry?.objectId, entry?.groupId], ["user_ada", "user_bob", bobs.groupId]);
  assert.deepEqual([entry?.before?.["status"], entry?.after?.["status"]], ["active", "removed"]);
});

interface Story extends AsyncDisposable {
  readonly groups: TestGroups;
  readonly ada: UserActor;
  readonly bob: UserActor;
  readonly group: GroupRecord;
  readonly bobs: { readonly groupId: string; readonly userId: string };
}

/** Ada owns a group where Bob is a provider. */
async function openStory(): Promise<Story> {
  const groups = await openTestGroups();
  const ada = await groups.user("ada");
  const bob = await groups.user("bob");
  const group = await groups.group(ada);
  await groups.join(ada, bob, group, "provider");
  const bobs = { groupId: group.id, userId: "user_bob" };
  return { groups, ada, bob, group, bobs, [Symbol.asyncDispose]: () => groups[Symbol.asyncDispose]() };
}
