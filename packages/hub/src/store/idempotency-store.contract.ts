import assert from "node:assert/strict";
import { test } from "node:test";

import type { Database } from "./database.ts";
import { beginAnswer, forgetAnswer, IDEMPOTENCY_LIMITS, keepAnswer } from "./idempotency-store.ts";

const REQUEST = { id: "hash of ada and key", actorId: "user_ada", requestHash: "hash of the request" };

/** The tests that kept answers must pass on each database. */
export function idempotencyStoreContract(
  name: string,
  open: () => Promise<{ database: Database } & AsyncDisposable>,
): void {
  test(`${name}: of many creates with one key at once exactly one begins, and the others hear that it runs`, async () => {
    await using store = await open();
    const { db } = store.database;

    const beginnings = await Promise.all([1, 2, 3, 4, 5].map(() => beginAnswer(db, REQUEST, 1000)));

    assert.deepEqual(beginnings.map(({ outcome }) => outcome).toSorted(), [
      "begun",
      "running",
      "running",
      "running",
      "running",
    ]);
  });

  test(`${name}: an answer that was kept is given again, to the same request only`, async () => {
    await using store = await open();
    const { db } = store.database;
    await beginAnswer(db, REQUEST, 1000);
    await keepAnswer(db, REQUEST.id, "the answer");

    assert.deepEqual(await beginAnswer(db, REQUEST, 2000), { outcome: "answered", answer: "the answer" });
    assert.deepEqual(await beginAnswer(db, { ...REQUEST, requestHash: "another" }, 2000), {
      outcome: "another-request",
    });
  });

  test(`${name}: a create that failed may be tried again with its key`, async () => {
    await using store = await open();
    const { db } = store.database;
    await beginAnswer(db, REQUEST, 1000);

    await forgetAnswer(db, REQUEST.id);

    assert.deepEqual(await beginAnswer(db, REQUEST, 1001), { outcome: "begun" });
  });

  test(`${name}: a create whose process died is not done a second time, as it may have been done`, async () => {
    await using store = await open();
    const { db } = store.database;
    await beginAnswer(db, REQUEST, 1000);
    const { runningMs } = IDEMPOTENCY_LIMITS;

    assert.deepEqual(await beginAnswer(db, REQUEST, 1000 + runningMs - 1), { outcome: "running" });
    assert.deepEqual(await beginAnswer(db, REQUEST, 1000 + runningMs), { outcome: "unknown" });
    assert.deepEqual(await beginAnswer(db, { ...REQUEST, requestHash: "another" }, 2000), {
      outcome: "another-request",
    });
  });

  test(`${name}: answers are kept for a day`, async () => {
    await using store = await open();
    const { db } = store.database;
    await beginAnswer(db, REQUEST, 1000);
    await keepAnswer(db, REQUEST.id, "the answer");
    const { keptMs } = IDEMPOTENCY_LIMITS;

    assert.equal((await beginAnswer(db, REQUEST, 1000 + keptMs - 1)).outcome, "answered");
    assert.equal((await beginAnswer(db, REQUEST, 1000 + keptMs)).outcome, "begun");
  });

  test(`${name}: of one actor's answers the oldest go first, and nobody else's`, async () => {
    await using store = await open();
    const { db } = store.database;
    const { perActor } = IDEMPOTENCY_LIMITS;
    const rows = Array.from({ length: perActor }, (_, index) => ({
      id: `id ${index}`,
      actor_id: "user_ada",
      request_hash: "h",
      created_at_ms: 1000 + index,
      answer: "a",
    }));
    await db
      .insertInto("idempotent_answers")
      .values([{ id: "bob's", actor_id: "user_bob", request_hash: "h", created_at_ms: 1, answer: "a" }, ...rows])
      .execute();

    await beginAnswer(db, REQUEST, 5000);

    const kept = await db.selectFrom("idempotent_answers").select("id").orderBy("created_at_ms").execute();
    assert.equal(kept.length, perActor + 1);
    assert.deepEqual(
      kept.slice(0, 2).map(({ id }) => id),
      ["bob's", "id 1"],
    );
  });
}
