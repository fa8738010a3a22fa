import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";

import { SilentLog } from "../observe/silent-log.ts";
import type { KeyRecord, KeyStore } from "../store/key-store.ts";
import { openStore } from "../store/open-store.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { issueKey } from "./issue-key.ts";
import { hashOfSecret } from "./key-secret.ts";
import { StoredKeyRing } from "./stored-key-ring.ts";

test("a key opens its own door, for a frozen principal that does not hold the secret", async () => {
  using store = new MemoryKeys();
  const { secret, key } = await issueKey(store, { kind: "api", name: "laptop", nowMs: 0 });
  using ring = await StoredKeyRing.open(store, new SilentLog());

  const identification = ring.identify(secret, "api");

  assert.deepEqual(identification, { outcome: "known", principal: { keyId: key.id, kind: "api", name: "laptop" } });
  assert.ok(identification.outcome === "known" && Object.isFrozen(identification.principal));
});

test("each wrong key is told apart", async () => {
  using store = new MemoryKeys();
  const api = await issueKey(store, { kind: "api", name: "a", nowMs: 0 });
  const worker = await issueKey(store, { kind: "worker", name: "w", nowMs: 0 });
  const revoked = await issueKey(store, { kind: "api", name: "r", nowMs: 0 });
  await store.revoke(revoked.key.id, 1);
  using ring = await StoredKeyRing.open(store, new SilentLog());

  assert.deepEqual(ring.identify(api.secret, "worker"), { outcome: "wrong-kind" });
  assert.deepEqual(ring.identify(worker.secret, "api"), { outcome: "wrong-kind" });
  assert.deepEqual(ring.identify(revoked.secret, "api"), { outcome: "revoked" });
  assert.deepEqual(ring.identify(api.secret.slice(0, -1), "api"), { outcome: "unknown" });
  assert.deepEqual(ring.identify("", "api"), { outcome: "unknown" });
});

test("a secret longer than any of ours is unknown without being hashed", async () => {
  using store = new MemoryKeys();
  const long = "k".repeat(257);
  await store.insert({ id: "key_1", kind: "api", name: "a", prefix: "", hash: hashOfSecret(long), createdAtMs: 0 });
  using ring = await StoredKeyRing.open(store, new SilentLog());

  assert.deepEqual(ring.identify(long, "api"), { outcome: "unknown" });
});

test("a key made or revoked later is known as such, and its revocation is told once", async () => {
  using store = new MemoryKeys();
  using ring = await StoredKeyRing.open(store, new SilentLog());
  const told: string[] = [];
  ring.onRevoked((keyId) => {
    told.push(`${keyId} ${ring.identify(secret, "api").outcome}`);
  });

  const { secret, key } = await issueKey(store, { kind: "api", name: "a", nowMs: 0 });
  await settled();
  const before = ring.identify(secret, "api").outcome;
  await store.revoke(key.id, 1);
  await settled();
  store.changed();
  await settled();

  assert.equal(before, "known");
  assert.deepEqual(told, [`${key.id} revoked`]);
});

test("a listener that fails does not keep the next one from hearing, and one that left hears nothing", async () => {
  using store = new MemoryKeys();
  const { key } = await issueKey(store, { kind: "api", name: "a", nowMs: 0 });
  const log = new SilentLog();
  using ring = await StoredKeyRing.open(store, log);
  const told: string[] = [];
  ring.onRevoked(() => {
    throw new Error("listener");
  });
  ring.onRevoked((keyId) => told.push(keyId));
  ring.onRevoked(() => told.push("left"))();

  await store.revoke(key.id, 1);
  await settled();

  assert.deepEqual(told, [key.id]);
  assert.deepEqual(log.messages, ["a listener to revoked keys failed"]);
});

test("more keys than fit in one page are all loaded", async () => {
  using store = new MemoryKeys();
  for (let i = 0; i < 10_001; i += 1) {
    await store.insert({
      id: `key_${i}`,
      kind: "api",
      name: "a",
      prefix: "",
      hash: hashOfSecret(`sk-${i}`),
      createdAtMs: 0,
    });
  }

  using ring = await StoredKeyRing.open(store, new SilentLog());

  assert.equal(ring.size, 10_001);
  assert.equal(ring.identify("sk-10000", "api").outcome, "known");
});

test("while the keys cannot be read the known ones stay good, and the change is seen afterwards", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  using store = new MemoryKeys();
  const { secret, key } = await issueKey(store, { kind: "api", name: "a", nowMs: 0 });
  const log = new SilentLog();
  using ring = await StoredKeyRing.open(store, log);
  store.isBroken = true;

  await store.revoke(key.id, 1);
  await settled();
  const whileBroken = ring.identify(secret, "api").outcome;
  store.isBroken = false;
  context.mock.timers.tick(1000);
  await settled();

  assert.equal(whileBroken, "known");
  assert.equal(ring.identify(secret, "api").outcome, "revoked");
  assert.deepEqual(log.messages, ["keys could not be read again; new and revoked keys are not seen until they can"]);
});

test("a key that is revoked while the keys are loaded for the first time stays revoked", async () => {
  using store = new MemoryKeys();
  const { secret, key } = await issueKey(store, { kind: "api", name: "a", nowMs: 0 });
  const answers = store.holdAnswers();

  const opening = StoredKeyRing.open(store, new SilentLog());
  await store.revoke(key.id, 1);
  await settled();
  // The look that began later, and knows of the revocation, ends first.
  for (const answer of answers.toReversed()) {
    answer();
    await settled();
  }
  using ring = await opening;

  assert.equal(answers.length, 2);
  assert.equal(ring.identify(secret, "api").outcome, "revoked");
});

test("a change during a look is looked at again", async () => {
  using store = new MemoryKeys();
  using ring = await StoredKeyRing.open(store, new SilentLog());
  const answers = store.holdAnswers();

  const first = await issueKey(store, { kind: "api", name: "a", nowMs: 0 });
  const second = await issueKey(store, { kind: "api", name: "b", nowMs: 0 });
  for (const next of [0, 1]) {
    await settled();
    answers[next]?.();
  }
  await settled();

  assert.equal(ring.identify(first.secret, "api").outcome, "known");
  assert.equal(ring.identify(second.secret, "api").outcome, "known");
});

test("a key ring cannot be opened without its keys", async () => {
  using store = new MemoryKeys();
  store.isBroken = true;

  await assert.rejects(StoredKeyRing.open(store, new SilentLog()), /broken/);
  assert.equal(store.watchers.size, 0);
});

test("a key that the command line revokes is revoked in a running key ring", { timeout: 20_000 }, async (context) => {
  // The watch does not keep a process alive; a hub's server does.
  const keepAlive = setInterval(() => {}, 1000);
  context.after(() => clearInterval(keepAlive));
  using folder = temporaryFolder();
  const tokilake = async (...argv: string[]): Promise<string> => {
    const main = new URL("../main.ts", import.meta.url).pathname;
    const { stdout } = await promisify(execFile)(process.execPath, [main, ...argv, "--data-dir", folder.path]);
    return stdout.trim();
  };
  await using store = await openStore(`sqlite:${folder.file("tokilake.db")}`);
  using ring = await StoredKeyRing.open(store.keys, new SilentLog());
  const revoked = Promise.withResolvers<string>();
  ring.onRevoked(revoked.resolve);

  const secret = await tokilake("keys", "create", "--kind", "worker", "--name", "pc");
  await tokilake("keys", "revoke", "pc");
  const keyId = await revoked.promise;

  assert.equal(ring.identify(secret, "worker").outcome, "revoked");
  assert.equal((await store.keys.list(1))[0]?.id, keyId);
});

/** Everything that a change sets off has run: it takes microtasks only. */
async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

class MemoryKeys implements Pick<KeyStore, "insert" | "changedSince" | "watch">, Disposable {
  readonly watchers = new Set<() => void>();
  isBroken = false;
  #keys: KeyRecord[] = [];
  #revision = 0;
  #held: (() => void)[] | undefined;

  async insert(key: Parameters<KeyStore["insert"]>[0]): Promise<void> {
    this.#revision += 1;
    this.#keys.push({ ...key, revokedAtMs: undefined, lastUsedAtMs: undefined, revision: this.#revision });
    this.changed();
  }

  async revoke(id: string, nowMs: number): Promise<void> {
    this.#revision += 1;
    const revision = this.#revision;
    this.#keys = this.#keys.map((key) => (key.id === id ? { ...key, revokedAtMs: nowMs, revision } : key));
    this.changed();
  }

  async changedSince(revision: number, limit: number): Promise<readonly KeyRecord[]> {
    if (this.isBroken) throw new Error("broken");
    const changed = this.#keys.filter((key) => key.revision > revision);
    if (this.#held !== undefined) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#held.push(resolve);
      await promise;
    }
    return changed.toSorted((a, b) => a.revision - b.revision).slice(0, limit);
  }

  /** From now on each answer waits until it is let go; what it says is what was true when it was asked for. */
  holdAnswers(): (() => void)[] {
    this.#held = [];
    return this.#held;
  }

  watch(onChange: () => void): () => void {
    this.watchers.add(onChange);
    return () => this.watchers.delete(onChange);
  }

  changed(): void {
    for (const watcher of this.watchers) watcher();
  }

  [Symbol.dispose](): void {
    assert.equal(this.watchers.size, 0, "the ring must stop watching");
  }
}
