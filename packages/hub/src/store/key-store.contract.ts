import assert from "node:assert/strict";
import { test } from "node:test";

import type { KeyKind, KeyStore, NewKey } from "./key-store.ts";

/** The tests that every {@link KeyStore} must pass. Each implementation's test file calls this with its own factory. */
export function keyStoreContract(name: string, open: () => Promise<{ keys: KeyStore } & AsyncDisposable>): void {
  test(`${name}: a key is found again as it was kept`, async () => {
    await using store = await open();

    await store.keys.insert(key("key_1", "laptop"));

    assert.deepEqual(await store.keys.list(10), [
      {
        id: "key_1",
        kind: "api",
        name: "laptop",
        prefix: "sk-key_1",
        hash: "hash of key_1",
        createdAtMs: 1000,
        revokedAtMs: undefined,
        lastUsedAtMs: undefined,
        revision: 1,
      },
    ]);
  });

  test(`${name}: the newest keys come first, and no more than asked for`, async () => {
    await using store = await open();
    for (const id of ["key_1", "key_2", "key_3"]) await store.keys.insert(key(id, id));

    assert.deepEqual(idsOf(await store.keys.list(2)), ["key_3", "key_2"]);
  });

  test(`${name}: a second key with the same hash is refused`, async () => {
    await using store = await open();
    await store.keys.insert(key("key_1", "a"));

    await assert.rejects(store.keys.insert({ ...key("key_2", "b"), hash: "hash of key_1" }));
    assert.equal((await store.keys.list(10)).length, 1);
  });

  test(`${name}: a key is revoked by its id or by its name, once`, async () => {
    await using store = await open();
    await store.keys.insert(key("key_1", "laptop"));
    await store.keys.insert(key("key_2", "desktop", "worker"));

    const byId = await store.keys.revoke("key_1", 5000);
    const byName = await store.keys.revoke("desktop", 6000);
    const again = await store.keys.revoke("key_1", 7000);

    assert.equal(byId.outcome === "revoked" && byId.key.revokedAtMs, 5000);
    assert.equal(byName.outcome === "revoked" && byName.key.id, "key_2");
    assert.equal(again.outcome === "already-revoked" && again.key.revokedAtMs, 5000);
    assert.deepEqual(await store.keys.revoke("nobody", 1), { outcome: "unknown" });
  });

  test(`${name}: of several keys with one name none is revoked, until one of them is live`, async () => {
    await using store = await open();
    await store.keys.insert(key("key_1", "laptop"));
    await store.keys.insert(key("key_2", "laptop"));

    const ambiguous = await store.keys.revoke("laptop", 1);
    await store.keys.revoke("key_1", 2);
    const clear = await store.keys.revoke("laptop", 3);
    const all = await store.keys.revoke("laptop", 4);

    assert.deepEqual(ambiguous.outcome === "ambiguous" && idsOf(ambiguous.keys), ["key_2", "key_1"]);
    assert.equal(clear.outcome === "revoked" && clear.key.id, "key_2");
    assert.equal(all.outcome, "already-revoked");
  });

  test(`${name}: a key whose name is another key's id does not stand in its way`, async () => {
    await using store = await open();
    await store.keys.insert(key("key_1", "laptop"));
    await store.keys.insert(key("key_2", "key_1"));

    const revocation = await store.keys.revoke("key_1", 1);

    assert.equal(revocation.outcome === "revoked" && revocation.key.id, "key_1");
  });

  test(`${name}: changes are told in their order, from any point on`, async () => {
    await using store = await open();
    await store.keys.insert(key("key_1", "a"));
    await store.keys.insert(key("key_2", "b"));
    const [, second] = await store.keys.changedSince(0, 10);
    await store.keys.revoke("key_1", 1);

    assert.deepEqual(idsOf(await store.keys.changedSince(0, 10)), ["key_2", "key_1"]);
    assert.deepEqual(idsOf(await store.keys.changedSince(0, 1)), ["key_2"]);
    assert.deepEqual(idsOf(await store.keys.changedSince(second?.revision ?? 0, 10)), ["key_1"]);
    assert.deepEqual(await store.keys.changedSince(3, 10), []);
  });

  test(`${name}: watchers hear of a new and of a revoked key, until they stop`, async () => {
    await using store = await open();
    // They may also be called when nothing changed, so that only whether they were counts.
    const heard = new Set<string>();
    const stop = store.keys.watch(() => heard.add("first"));
    const stopSecond = store.keys.watch(() => heard.add("second"));

    await store.keys.insert(key("key_1", "a"));
    assert.deepEqual([...heard].toSorted(), ["first", "second"]);
    stop();
    heard.clear();
    await store.keys.revoke("key_1", 1);
    assert.deepEqual([...heard], ["second"]);
    stopSecond();
    heard.clear();
    await store.keys.insert(key("key_2", "a"));

    assert.deepEqual([...heard], []);
  });
}

function key(id: string, name: string, kind: KeyKind = "api"): NewKey {
  return { id, kind, name, prefix: `sk-${id}`, hash: `hash of ${id}`, createdAtMs: 1000 };
}

function idsOf(keys: readonly { readonly id: string }[]): string[] {
  return keys.map(({ id }) => id);
}
