import assert from "node:assert/strict";
import { test } from "node:test";

import { OPERATOR, type UserActor } from "../identity/actor.ts";
import { OPERATOR_GROUP_ID } from "../store/access-schema.ts";
import { auditRecords } from "../store/audit-store.ts";
import { findGroup } from "../store/group-store.ts";
import { insertKey, keyById } from "../store/key-store.ts";
import { findMembership } from "../store/membership-store.ts";
import { createGroup, groupNamed, listGroups, readGroup, transferGroup, updateGroup } from "./groups.ts";
import { createInvite, readInvite } from "./invites.ts";
import { banMember, leaveGroup } from "./members.ts";
import { codeOf, openTestGroups } from "./test-groups.ts";

const NEW = { kind: "private", slug: "friends", name: "Friends" } as const;
const PAGE = { limit: 100 };

test("whoever makes a private group owns it and is its first member, and that is written down", async () => {
  await using groups = await openTestGroups();
  const ada = await groups.user("ada");

  const group = await createGroup(groups, ada, { ...NEW, name: " Friends ", memberLimits: { concurrency: 2 } });

  assert.deepEqual(
    [group.slug, group.name, group.kind, group.ownerId, group.memberLimits],
    ["friends", "Friends", "private", "user_ada", { concurrency: 2 }],
  );
  const membership = await findMembership(groups.database.db, { groupId: group.id, userId: "user_ada" });
  assert.deepEqual([membership?.role, membership?.status], ["owner", "active"]);
  const [entry] = await auditRecords(groups.database.db, {}, { limit: 1 });
  assert.deepEqual([entry?.action, entry?.actorId, entry?.groupId], ["group.create", "user_ada", group.id]);
});

test("a slug is lower-case letters, digits and hyphens, and no word that means something else", async () => {
  await using groups = await openTestGroups();
  const ada = await groups.user("ada");
  const attempt = (slug: string): Promise<string> => codeOf(createGroup(groups, ada, { ...NEW, slug }));

  for (const slug of [
    "ab",
    "a".repeat(65),
    "Friends",
    "fri ends",
    "-ab",
    "ab-",
    "frïends",
    "a_b",
    "operator",
    "auto",
  ]) {
    assert.equal(await attempt(slug), "invalid_request slug", slug);
  }
  assert.equal(await attempt("a-1"), "none");
  assert.equal(await attempt("a".repeat(64)), "none");
  assert.equal(await attempt("a-1"), "conflict slug");
});

test("a name is not empty, not long, and shows as what it is", async () => {
  await using groups = await openTestGroups();
  const ada = await groups.user("ada");

  for (const name of ["", "  ", "a\u0000b", "a\u202eb", "a".repeat(65)]) {
    assert.equal(await codeOf(createGroup(groups, ada, { ...NEW, name })), "invalid_request name", name);
  }
  const description = "a".repeat(501);
  assert.equal(await codeOf(createGroup(groups, ada, { ...NEW, description })), "invalid_request description");
});

test("a user owns only so many groups, and needs a confirmed address where there is mail", async () => {
  await using groups = await openTestGroups();
  const ada = await groups.user("ada");
  const bob = await groups.user("bob");
  const unconfirmed: UserActor = { ...bob, user: { ...bob.user, isEmailVerified: false } };
  for (const slug of ["one", "two", "three"]) await groups.group(ada, slug);

  assert.equal(await codeOf(groups.group(ada, "four")), "conflict");
  assert.equal(await codeOf(groups.group(unconfirmed, "four")), "forbidden");
  groups.settings.isMailOn = false;
  assert.equal(await codeOf(groups.group(unconfirmed, "four")), "none");
});

test("public groups are made by whoever runs the hub alone, and belong to the operator", async () => {
  await using groups = await openTestGroups();
  const ada = await groups.user("ada");
  const root = await groups.user("root", "root");
  const auditor = await groups.user("auditor", "auditor");

  assert.equal(await codeOf(createGroup(groups, ada, { ...NEW, kind: "public" })), "forbidden");
  assert.equal(await codeOf(createGroup(groups, auditor, NEW)), "forbidden");
  const byRoot = await createGroup(groups, root, { ...NEW, kind: "public" });
  const byCommand = await createGroup(groups, OPERATOR, { ...NEW, slug: "ours" });

  assert.deepEqual([byRoot.ownerId, byCommand.ownerId], [undefined, undefined]);
});

test("only the operator's command makes a group for somebody else", async () => {
  await using groups = await openTestGroups();
  const root = await groups.user("root", "root");
  await groups.user("ada");

  assert.equal(await codeOf(createGroup(groups, root, { ...NEW, ownerId: "user_ada" })), "forbidden");
  const group = await createGroup(groups, OPERATOR, { ...NEW, ownerId: "user_ada" });
  const membership = await findMembership(groups.database.db, { groupId: group.id, userId: "user_ada" });
  assert.deepEqual([group.ownerId, membership?.role], ["user_ada", "owner"]);
});

test("other people's groups are as if they were not there", async () => {
  await using groups = await openTestGroups();
  const ada = await groups.user("ada");
  const bob = await groups.user("bob");
  const group = await groups.group(ada);
  const asked = { groupId: group.id, version: undefined };

  const attempts = [
    readGroup(groups, bob, group.id),
    groupNamed(groups, bob, "friends"),
    groupNamed(groups, bob, "nothing"),
    updateGroup(groups, bob, { ...asked, patch: { name: "mine" } }),
    transferGroup(groups, bob, { ...asked, userId: "user_bob" }),
    leaveGroup(groups, bob, group.id),
  ];

  assert.deepEqual(await Promise.all(attempts.map(codeOf)), Array(6).fill("not_found"));
  assert.deepEqual(await listGroups(groups, bob, { all: false }, PAGE), []);
});

test("a member sees the group and changes nothing of it; a user who was banned does not even see a public one", async () => {
  await using groups = await openTestGroups();
  const ada = await groups.user("ada");
  const bob = await groups.user("bob");
  const root = await groups.user("root", "root");
  const group = await groups.group(ada);
  const open = await createGroup(groups, root, { ...NEW, kind: "public", slug: "all-of-us" });
  await groups.join(ada, bob, group, "provider");
  const change = (groupId: string): Promise<string> =>
    codeOf(updateGroup(groups, bob, { groupId, version: undefined, patch: { name: "mine" } }));

  const seen = await readGroup(groups, bob, group.id);
  const listed = await listGroups(groups, bob, { all: false }, PAGE);
  const changes = [await change(group.id), await change(open.id)];
  await banMember(groups, root, { groupId: open.id, userId: "user_bob" });

  assert.deepEqual([seen.membership?.role, seen.canManage], ["provider", false]);
  assert.deepEqual(listed.map(({ group: { slug } }) => slug).toSorted(), ["all-of-us", "friends"]);
  assert.deepEqual(changes, ["forbidden", "forbidden"]);
  assert.equal(await codeOf(readGroup(groups, bob, open.id)), "not_found");
});

test("whoever runs the hub sees and manages every group, an auditor sees them", async () => {
  await using groups = await openTestGroups();
  const ada = await groups.user("ada");
  const admin = await groups.user("admin", "admin");
  const auditor = await groups.user("auditor", "auditor");
  const group = await groups.group(ada);
  const all = async (actor: UserActor): Promise<number> =>
    (await listGroups(groups, actor, { all: true }, PAGE)).length;

  assert.deepEqual([await all(admin), await all(auditor)], [2, 2]);
  assert.equal(await codeOf(all(ada)), "forbidden");
  assert.equal((await readGroup(groups, admin, group.id)).canManage, true);
  const patch = { groupId: group.id, version: undefined, patch: { name: "x" } };
  assert.equal(await codeOf(updateGroup(groups, auditor, patch)), "forbidden");
  assert.equal(await codeOf(updateGroup(groups, admin, patch)), "none");
});

test("a group gets a new slug and name; its keys know it by its id", async () => {
  await using groups = await openTestGroups();
  const ada = await groups.user("ada");
  const group = await groups.group(ada);
  await groups.group(ada, "others");
  await groups.database.write((transaction) =>
    insertKey(transaction, { ...KEY, ownerId: "user_ada", groupId: group.id }),
  );
  const update = (patch: Parameters<typeof updateGroup>[2]["patch"], version = 1): ReturnType<typeof updateGroup> =>
    updateGroup(groups, ada, { groupId: group.id, version, patch });

  const renamed = await update({ slug: "pals", name: "Pals", memberLimits: { requestsPerMinute: 5 } });

  assert.deepEqual([renamed.id, renamed.slug, renamed.name, renamed.version], [group.id, "pals", "Pals", 2]);
  assert.equal((await keyById(groups.database.db, "key_1"))?.groupId, group.id);
  assert.equal((await groupNamed(groups, ada, "pals")).id, group.id);
  assert.equal((await groupNamed(groups, ada, group.id)).id, group.id);
  assert.equal(await codeOf(update({ name: "again" })), "precondition_failed");
  assert.equal(await codeOf(update({ slug: "others" }, 2)), "conflict slug");
  assert.equal(await codeOf(update({ slug: "pals" }, 2)), "none");
  const entries = await auditRecords(groups.database.db, { action: "group.update" }, { limit: 2 });
  assert.deepEqual(
    entries.map(({ before, after }) => ({ before, after })).find(({ before }) => before?.["slug"] !== undefined),
    {
      before: { slug: "friends", name: "friends", member_limits: {} },
      after: { slug: "pals", name: "Pals", member_limits: { requests_per_minute: 5 } },
    },
  );
});

test("the operator's own group keeps its slug", async () => {
  await using groups = await openTestGroups();
  const asked = { groupId: OPERATOR_GROUP_ID, version: undefined };

  assert.equal(await codeOf(updateGroup(groups, OPERATOR, { ...asked, patch: { slug: "mine" } })), "conflict");
  assert.equal(await codeOf(updateGroup(groups, OPERATOR, { ...asked, patch: { name: "Mine" } })), "none");
});

test("a group is given to a member at once; who had it stays as a provider, and their invites end", async () => {
  await using groups = await openTestGroups();
  const [ada, bob] = [await groups.user("ada"), await groups.user("bob")];
  const group = await groups.group(ada);
  await groups.join(ada, bob, group);
  const { invite } = await groups.invite(ada, group);

  const given = await transferGroup(groups, ada, { groupId: group.id, version: 1, userId: "user_bob" });

  const roles = ["user_ada", "user_bob"].map(async (userId) => {
    return (await findMembership(groups.database.db, { groupId: group.id, userId }))?.role;
  });
  assert.equal(given.ownerId, "user_bob");
  assert.deepEqual(await Promise.all(roles), ["provider", "owner"]);
  assert.equal((await readInvite(groups, bob, invite.id)).state, "revoked");
  assert.equal(await codeOf(createInvite(groups, ada, { groupId: group.id, role: "member", maxUses: 1 })), "forbidden");
});

test("a group is given to nobody who is not an active member, or owns as many as they may", async () => {
  await using groups = await openTestGroups();
  const [ada, bob, cyd] = [await groups.user("ada"), await groups.user("bob"), await groups.user("cyd")];
  const group = await groups.group(ada);
  const transfer = (userId: string, groupId = group.id): Promise<string> =>
    codeOf(transferGroup(groups, ada, { groupId, version: undefined, userId }));

  assert.equal(await transfer("user_bob"), "invalid_request user_id");
  assert.equal(await transfer("user_none"), "invalid_request user_id");
  assert.equal(await transfer("user_ada"), "conflict");
  await groups.join(ada, bob, group);
  await leaveGroup(groups, bob, group.id);
  assert.equal(await transfer("user_bob"), "invalid_request user_id");
  await groups.join(ada, cyd, group);
  await groups.database.db.updateTable("users").set({ disabled_at_ms: 1 }).where("id", "=", "user_cyd").execute();
  assert.equal(await transfer("user_cyd"), "invalid_request user_id");
  await groups.join(ada, bob, group);
  for (const slug of ["one", "two", "three"]) await groups.group(bob, slug);
  assert.equal(await transfer("user_bob"), "conflict");
  assert.equal((await findGroup(groups.database.db, group.id))?.ownerId, "user_ada");
});

test("only private groups are given away", async () => {
  await using groups = await openTestGroups();
  const root = await groups.user("root", "root");
  const open = await createGroup(groups, root, { ...NEW, kind: "public" });

  for (const groupId of [open.id, OPERATOR_GROUP_ID]) {
    const asked = { groupId, version: undefined, userId: "user_root" };
    assert.equal(await codeOf(transferGroup(groups, root, asked)), "conflict");
  }
});

test("a group that the operator made can be given to one of its members", async () => {
  await using groups = await openTestGroups();
  const bob = await groups.user("bob");
  const root = await groups.user("root", "root");
  const group = await createGroup(groups, OPERATOR, NEW);
  await groups.join(root, bob, group);

  const given = await transferGroup(groups, root, { groupId: group.id, version: undefined, userId: "user_bob" });

  assert.equal(given.ownerId, "user_bob");
});

test("a refused change leaves no trace", async () => {
  await using groups = await openTestGroups();
  const ada = await groups.user("ada");
  const group = await groups.group(ada);
  const before = await groups.audited();

  await codeOf(transferGroup(groups, ada, { groupId: group.id, version: undefined, userId: "user_none" }));
  await codeOf(groups.group(ada));

  assert.deepEqual(await groups.audited(), before);
});

const KEY = { id: "key_1", kind: "api", name: "laptop", prefix: "sk-1", hash: "hash", createdAtMs: 0 } as const;
