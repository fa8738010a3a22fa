import assert from "node:assert/strict";
import { test } from "node:test";

import { type AuditActor, type AuditFilter, audit, auditRecords } from "./audit-store.ts";
import type { Database } from "./database.ts";

const ADA: AuditActor = {
  kind: "user",
  user: { id: "user_ada", email: "ada@example.com" },
  via: { kind: "token", id: "token_1" },
  address: "192.0.2.7",
  requestId: "req_1",
};
const OPERATOR: AuditActor = { kind: "operator", via: { kind: "command" }, address: "" };

/** The tests that the audit log must pass on each database. */
export function auditStoreContract(name: string, open: () => Promise<{ database: Database } & AsyncDisposable>): void {
  test(`${name}: an entry says who did what to what, from where, and what it was before and after`, async () => {
    await using store = await open();
    const { db } = store.database;
    const renamed = { action: "group.update", objectType: "group", objectId: "group_1", groupId: "group_1" };

    await audit(
      db,
      ADA,
      { ...renamed, before: { name: "a" }, after: { name: "b", memberLimits: { requestsPerMinute: 1 } } },
      5000,
    );

    const [record] = await auditRecords(db, {}, { limit: 10 });
    assert.match(record?.id ?? "", /^audit_0000000013887[0-9a-f]{19}$/);
    assert.deepEqual(record, {
      id: record?.id,
      atMs: 5000,
      actorKind: "user",
      actorId: "user_ada",
      actorName: "ada@example.com",
      via: "token token_1",
      ...renamed,
      address: "192.0.2.7",
      requestId: "req_1",
      before: { name: "a" },
      after: { name: "b", member_limits: { requests_per_minute: 1 } },
    });
  });

  test(`${name}: the operator and the hub itself act without an account`, async () => {
    await using store = await open();
    const { db } = store.database;
    const entry = { action: "user.create", objectType: "user", objectId: "user_1" };

    await audit(db, OPERATOR, entry, 1);
    await audit(db, { kind: "hub", address: "192.0.2.9" }, entry, 2);

    const told = (await auditRecords(db, {}, { limit: 10 })).map(({ actorKind, actorId, actorName, via, address }) => [
      actorKind,
      actorId,
      actorName,
      via,
      address,
    ]);
    assert.deepEqual(told, [
      ["hub", undefined, "hub", "hub", "192.0.2.9"],
      ["operator", undefined, "operator", "command", ""],
    ]);
  });

  test(`${name}: an entry goes with the change that it tells of`, async () => {
    await using store = await open();
    const failing = store.database.write(async ({ db }) => {
      await audit(db, OPERATOR, { action: "a.b", objectType: "a", objectId: "1" }, 1);
      throw new Error("the change failed");
    });

    await assert.rejects(failing, /the change failed/);

    assert.deepEqual(await auditRecords(store.database.db, {}, { limit: 10 }), []);
  });

  test(`${name}: what was written stays as it is`, async () => {
    await using store = await open();
    const { db } = store.database;
    await audit(db, OPERATOR, { action: "a.b", objectType: "a", objectId: "1" }, 1);

    await assert.rejects(db.updateTable("audit_log").set({ action: "c" }).execute(), /append-only/);
    await assert.rejects(db.deleteFrom("audit_log").execute(), /append-only/);

    assert.equal((await auditRecords(db, {}, { limit: 10 }))[0]?.action, "a.b");
  });

  test(`${name}: entries are found by actor, action, object, group and time`, async () => {
    await using store = await open();
    const { db } = store.database;
    await audit(db, ADA, { action: "group.create", objectType: "group", objectId: "g1", groupId: "g1" }, 1000);
    await audit(db, ADA, { action: "groups.x", objectType: "key", objectId: "k1" }, 2000);
    await audit(db, OPERATOR, { action: "group.delete", objectType: "group", objectId: "g2", groupId: "g2" }, 3000);
    const found = async (filter: AuditFilter): Promise<number[]> =>
      (await auditRecords(db, filter, { limit: 10 })).map(({ atMs }) => atMs);

    assert.deepEqual(await found({ actorId: "user_ada" }), [2000, 1000]);
    assert.deepEqual(await found({ action: "group.*" }), [3000, 1000]);
    assert.deepEqual(await found({ action: "group.create" }), [1000]);
    assert.deepEqual(await found({ action: "GROUP.*" }), []);
    assert.deepEqual(await found({ action: "%.*" }), []);
    assert.deepEqual(await found({ objectType: "group", objectId: "g2" }), [3000]);
    assert.deepEqual(await found({ groupId: "g1" }), [1000]);
    assert.deepEqual(await found({ sinceMs: 1000, untilMs: 3000 }), [2000, 1000]);
    assert.deepEqual(await found({ sinceMs: 1001 }), [3000, 2000]);
  });

  test(`${name}: pages follow each other without a gap`, async () => {
    await using store = await open();
    const { db } = store.database;
    for (const at of [1, 2, 3]) await audit(db, ADA, { action: "a.b", objectType: "a", objectId: String(at) }, at);

    const first = await auditRecords(db, {}, { limit: 2 });
    const second = await auditRecords(db, {}, { limit: 2, after: first[1]?.id });

    assert.deepEqual(
      [...first, ...second].map(({ objectId }) => objectId),
      ["3", "2", "1"],
    );
  });
}
