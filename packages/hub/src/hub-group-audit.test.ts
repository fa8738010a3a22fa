import assert from "node:assert/strict";
import { test } from "node:test";

import { audit } from "./store/audit-store.ts";
import { insertGroup } from "./store/group-store.ts";
import { putMembership } from "./store/membership-store.ts";
import { startTestAdmin, type TestAdmin, type TestUser } from "./test-admin.ts";

test("a group's part of the audit log is for its owner and for those who audit", async () => {
  await using admin = await startTestAdmin();
  const [owner, member, stranger] = [await admin.user("ada"), await admin.user("bob"), await admin.user("eve")];
  const auditor = await admin.user("ann", "auditor");
  await makeGroup(admin, "group_1", owner.id, member.id);
  const operator = { kind: "operator", via: { kind: "command" }, address: "" } as const;
  const made = { action: "group.create", objectType: "group", objectId: "group_1", groupId: "group_1" };
  await audit(admin.database.db, operator, made, 1);
  await audit(admin.database.db, operator, { action: "group.x", objectType: "group", objectId: "group_2" }, 2);
  const statusOf = async (who: TestUser, id: string): Promise<number> =>
    (await admin.call(who, "GET", `/api/groups/${id}/audit`)).status;

  const response = await admin.call(owner, "GET", "/api/groups/group_1/audit?action=group.*");
  const { data } = (await response.json()) as { data: readonly { object_id: string }[] };

  assert.deepEqual(
    data.map((entry) => entry.object_id),
    ["group_1"],
  );
  assert.equal(await statusOf(auditor, "group_1"), 200);
  assert.equal(await statusOf(member, "group_1"), 403);
  assert.equal(await statusOf(stranger, "group_1"), 404);
  assert.equal(await statusOf(owner, "group_2"), 404);
});

async function makeGroup(admin: TestAdmin, id: string, ownerId: string, ...memberIds: string[]): Promise<void> {
  await admin.database.write(async (transaction) => {
    const group = { id, kind: "private", slug: id, name: id, description: "", memberLimits: {} } as const;
    await insertGroup(transaction, { ...group, ownerId, createdAtMs: 1 });
    await putMembership(transaction, { groupId: id, userId: ownerId, role: "owner", joinedAtMs: 1 });
    for (const userId of memberIds) {
      await putMembership(transaction, { groupId: id, userId, role: "member", joinedAtMs: 1 });
    }
  });
}
