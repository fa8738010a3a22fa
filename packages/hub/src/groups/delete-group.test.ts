import assert from "node:assert/strict";
import { test } from "node:test";

import { OPERATOR } from "../identity/actor.ts";
import { OPERATOR_GROUP_ID } from "../store/access-schema.ts";
import { insertKey } from "../store/key-store.ts";
import { deleteGroup, previewDeletion } from "./delete-group.ts";
import { listGroupWorkers } from "./group-workers.ts";
import { createGroup, readGroup, updateGroup } from "./groups.ts";
import { claimModels } from "./model-claims.ts";
import { redeemCode } from "./redeem.ts";
import { codeOf, openTestGroups } from "./test-groups.ts";

const KEY = { kind: "api", name: "laptop", prefix: "sk-1", createdAtMs: 0 } as const;
const WORKER = { nodeName: undefined, connectedAtMs: 5, models: ["llama"], running: 0, slots: 4 };

test("before a deletion its owner sees which keys, members, invites and workers it would hit", async () => {
  await using groups = await openTestGroups();
  const [ada, bob] = [await groups.user("ada"), await groups.user("bob")];
  const group = await groups.group(ada);
  const other = await groups.group(ada, "others");
  await groups.join(ada, bob, group);
  await groups.invite(ada, group);
  groups.fleet.workers.push(
    { ...WORKER, id: "worker_2", workerId: "gaming-pc", ownerId: "user_ada" },
    { ...WORKER, id: "worker_1", workerId: "attic", ownerId: undefined },
  );
  const keys = [
    { ownerId: "user_bob", groupId: group.id },
    { ownerId: "user_bob", groupId: other.id, fallbackGroupId: group.id },
    { ownerId: "user_ada", groupId: group.id },
    { ownerId: "user_ada", groupId: other.id },
  ];
  for (const [index, key] of keys.entries()) {
    const row = { ...KEY, ...key, id: `key_${index}`, hash: `hash ${index}` };
    await groups.database.write((transaction) => insertKey(transaction, row));
  }

  const preview = await previewDeletion(groups, ada, group.id);

  assert.deepEqual(
    { ...preview, group: preview.group.version },
    {
      group: 1,
      keys: 3,
      keyOwners: [
        { userId: "user_bob", name: "bob", keys: 2 },
        { userId: "user_ada", name: "ada", keys: 1 },
      ],
      members: 2,
      invites: 1,
      workers: ["attic", "gaming-pc"],
      workersInAll: 2,
    },
  );
  assert.equal(await codeOf(previewDeletion(groups, bob, group.id)), "forbidden");
});

test("a deletion needs the version that was previewed, and is only the owner's to do", async () => {
  await using groups = await openTestGroups();
  const [ada, bob] = [await groups.user("ada"), await groups.user("bob")];
  const group = await groups.group(ada);
  await groups.join(ada, bob, group);
  const remove = (actor: typeof ada, version: number): Promise<string> =>
    codeOf(deleteGroup(groups, actor, { groupId: group.id, version }));

  await updateGroup(groups, ada, { groupId: group.id, version: 1, patch: { name: "x" } });

  assert.deepEqual(
    [await remove(bob, 2), await remove(ada, 1), await remove(ada, 2), await remove(ada, 2)],
    ["forbidden", "precondition_failed", "none", "not_found"],
  );
});

test("a deleted group is gone with its invites and claims, and its slug is free", async () => {
  await using groups = await openTestGroups();
  const [ada, bob] = [await groups.user("ada"), await groups.user("bob")];
  const group = await groups.group(ada);
  const { code } = await groups.invite(ada, group);
  await claimModels(groups, { groupId: group.id, ownerId: "user_ada", models: ["llama"] });

  await deleteGroup(groups, ada, { groupId: group.id, version: 1 });

  assert.equal(await codeOf(readGroup(groups, ada, group.id)), "not_found");
  assert.equal(await codeOf(redeemCode(groups, bob, code)), "invite_ended");
  assert.deepEqual(await groups.database.db.selectFrom("model_claims").selectAll().execute(), []);
  assert.equal(await codeOf(groups.group(bob)), "none");
  const row = await groups.database.db.selectFrom("groups").selectAll().where("id", "=", group.id).executeTakeFirst();
  assert.equal(row?.deleted_at_ms, groups.now());
  const claimed = await claimModels(groups, { groupId: group.id, ownerId: "user_ada", models: ["llama"] });
  assert.deepEqual(claimed.allowed, []);
});

test("the operator's group cannot be deleted; a public one can, by whoever runs the hub", async () => {
  await using groups = await openTestGroups();
  const ada = await groups.user("ada");
  const open = await createGroup(groups, OPERATOR, { kind: "public", slug: "all-of-us", name: "All" });

  assert.equal(await codeOf(previewDeletion(groups, OPERATOR, OPERATOR_GROUP_ID)), "conflict");
  assert.equal(await codeOf(deleteGroup(groups, OPERATOR, { groupId: OPERATOR_GROUP_ID, version: 1 })), "conflict");
  assert.equal(await codeOf(deleteGroup(groups, ada, { groupId: open.id, version: 1 })), "forbidden");
  assert.equal(await codeOf(deleteGroup(groups, OPERATOR, { groupId: open.id, version: 1 })), "none");
});

test("members see who serves what, a page at a time; others do not", async () => {
  await using groups = await openTestGroups();
  const [ada, bob, cyd] = [await groups.user("ada"), await groups.user("bob"), await groups.user("cyd")];
  const admin = await groups.user("admin", "admin");
  const group = await groups.group(ada);
  await groups.join(ada, bob, group);
  groups.fleet.workers.push(
    { ...WORKER, id: "worker_2", workerId: "gaming-pc", ownerId: "user_ada" },
    { ...WORKER, id: "worker_1", workerId: "gaming-pc", ownerId: "user_bob" },
    { ...WORKER, id: "worker_3", workerId: "attic", ownerId: undefined },
  );

  const seen = await listGroupWorkers(groups, bob, group.id, { limit: 10 });
  const second = await listGroupWorkers(groups, admin, group.id, { limit: 1, after: seen[0]?.place });
  const third = await listGroupWorkers(groups, admin, group.id, { limit: 1, after: seen[1]?.place });

  assert.deepEqual(
    seen.map(({ id, workerId, ownerName, models }) => [id, workerId, ownerName, models]),
    [
      ["worker_3", "attic", "operator", ["llama"]],
      ["worker_1", "gaming-pc", "bob", ["llama"]],
      ["worker_2", "gaming-pc", "ada", ["llama"]],
    ],
  );
  assert.deepEqual([second[0]?.id, third[0]?.id], ["worker_1", "worker_2"]);
  assert.equal(await codeOf(listGroupWorkers(groups, cyd, group.id, { limit: 10 })), "not_found");
});
