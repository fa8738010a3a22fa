import assert from "node:assert/strict";
import { test } from "node:test";

import { OPERATOR_GROUP_ID, type UserRole } from "../store/access-schema.ts";
import { auditRecords } from "../store/audit-store.ts";
import type { Database } from "../store/database.ts";
import { deleteGroup, insertGroup } from "../store/group-store.ts";
import { endMembership, putMembership } from "../store/membership-store.ts";
import { openStore } from "../store/open-store.ts";
import { changeUser, insertUser } from "../store/user-store.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { type Actor, OPERATOR } from "./actor.ts";
import { KEY_LIMITS } from "./key-checks.ts";
import { hashOfSecret } from "./key-secret.ts";
import {
  createKey,
  type FreshKey,
  type KeyInput,
  type KeysDeps,
  listKeys,
  readKey,
  revokeKey,
  rotateKey,
  updateKey,
} from "./keys.ts";

const NOW = 1_000_000;

interface World extends AsyncDisposable {
  readonly deps: KeysDeps;
  readonly database: Database;
  /** Actions in the audit log, the newest first. */
  audited(): Promise<string[]>;
}

/** Ada owns `home` and is in `club`, Bob is a provider there; `plaza` is public. Root and Adam run the hub, Otto audits it. */
async function openWorld(): Promise<World> {
  const folder = temporaryFolder();
  const store = await openStore(`sqlite:${folder.file("hub.db")}`);
  const { database } = store;
  const roles = { ada: "user", bob: "user", adam: "admin", otto: "auditor", root: "root" } as const;
  await database.write(async (transaction) => {
    for (const [id, role] of Object.entries(roles)) {
      await insertUser(transaction, {
        id,
        email: `${id}@example.com`,
        emailVerifiedAtMs: 0,
        name: id,
        role,
        passwordHash: undefined,
        createdAtMs: 0,
      });
    }
    const groups = { home: "ada", club: "bob", plaza: undefined } as const;
    for (const [id, ownerId] of Object.entries(groups)) {
      const kind = ownerId === undefined ? "public" : "private";
      await insertGroup(transaction, {
        id,
        kind,
        slug: id,
        name: id,
        description: "",
        ownerId,
        memberLimits: {},
        createdAtMs: 0,
      });
    }
    await putMembership(transaction, { groupId: "home", userId: "ada", role: "owner", joinedAtMs: 0 });
    await putMembership(transaction, { groupId: "club", userId: "ada", role: "member", joinedAtMs: 0 });
    await putMembership(transaction, { groupId: "club", userId: "bob", role: "provider", joinedAtMs: 0 });
  });
  return {
    deps: { database, now: () => NOW },
    database,
    audited: async () => (await auditRecords(database.db, {}, { limit: 100 })).map(({ action }) => action),
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

function actor(id: string, role: UserRole = "user"): Actor {
  return {
    kind: "user",
    user: { id, email: `${id}@example.com`, name: id, role, isEmailVerified: true },
    via: { kind: "sign-in", id: "signin_1", confirmedAtMs: 0 },
    address: "192.0.2.1",
  };
}

const ADA = actor("ada");
const BOB = actor("bob");
const ADAM = actor("adam", "admin");
const ROOT = actor("root", "root");
const OTTO = actor("otto", "auditor");

function adasKey(world: World, more: Partial<KeyInput> = {}): Promise<FreshKey> {
  return createKey(world.deps, ADA, { kind: "api", name: "laptop", groupId: "home", ...more });
}

function seen({ key }: FreshKey, version = key.version): { keyId: string; version: number } {
  return { keyId: key.id, version };
}

test("a key belongs to who makes it; its secret is given once and kept as its hash", async () => {
  await using world = await openWorld();

  const { secret, key } = await adasKey(world, {
    name: " laptop ",
    fallbackGroupId: "club",
    expiresAtMs: NOW + 1,
    spendingLimit: 1_500_000_000n,
    rules: { models: ["llama*"], addresses: ["192.0.2.0/24"], limits: { requestsPerMinute: 3 } },
  });

  assert.match(secret, /^sk-[0-9A-Za-z]{43}$/);
  const { hash, ...shown } = await readKey(world.deps, ADA, key.id);
  assert.equal(hash, hashOfSecret(secret));
  assert.deepEqual(shown, {
    id: key.id,
    kind: "api",
    name: "laptop",
    prefix: secret.slice(0, 9),
    createdAtMs: NOW,
    ownerId: "ada",
    groupId: "home",
    fallbackGroupId: "club",
    expiresAtMs: NOW + 1,
    spendingLimit: 1_500_000_000n,
    rules: { models: ["llama*"], addresses: ["192.0.2.0/24"], limits: { requestsPerMinute: 3 } },
    revokedAtMs: undefined,
    disabledAtMs: undefined,
    lastUsedAtMs: undefined,
    spent: 0n,
    previousUntilMs: undefined,
    version: 1,
    revision: key.revision,
  });
});

test("the audit log says what was done with a key, and holds nothing that opens a door", async () => {
  await using world = await openWorld();

  const at = (ms: number): KeysDeps => ({ ...world.deps, now: () => NOW + ms });
  const made = await adasKey(world, { spendingLimit: 1_500_000_000n });
  const updated = await updateKey(at(1), ADA, seen(made), { name: "desktop", spendingLimit: undefined });
  const rotated = await rotateKey(at(2), ADA, seen(made, updated.version), { overlapMs: 5 });
  await revokeKey(at(3), ROOT, seen(rotated));
  await revokeKey(at(4), ROOT, { keyId: made.key.id, version: undefined });

  const records = await auditRecords(world.database.db, {}, { limit: 10 });
  assert.deepEqual(
    records.map(({ action, actorId, objectId }) => [action, actorId, objectId === made.key.id]),
    [
      ["key.revoke", "root", true],
      ["key.rotate", "ada", true],
      ["key.update", "ada", true],
      ["key.create", "ada", true],
    ],
  );
  assert.deepEqual(records[2]?.before, { name: "laptop", spending_limit: "1.5" });
  assert.deepEqual(records[2]?.after, { name: "desktop" });
  assert.deepEqual(records[1]?.after, { prefix: rotated.key.prefix, previous_until_ms: NOW + 7 });
  const text = JSON.stringify(records);
  for (const { secret } of [made, rotated]) {
    assert.ok(!text.includes(secret) && !text.includes(secret.slice(10)) && !text.includes(hashOfSecret(secret)));
  }
});

test("a failed change leaves neither the change nor an entry in the audit log", async () => {
  await using world = await openWorld();

  await assert.rejects(adasKey(world, { groupId: "nowhere" }), { code: "invalid_request", param: "group_id" });

  assert.deepEqual(await world.audited(), []);
  assert.deepEqual(await listKeys(world.deps, OPERATOR, { all: true }, { limit: 10 }), []);
});

test("a key of others is not found, whatever is asked of it", async () => {
  await using world = await openWorld();
  const made = await adasKey(world);
  const theirs: (() => Promise<unknown>)[] = [
    () => readKey(world.deps, BOB, made.key.id),
    () => updateKey(world.deps, BOB, seen(made), { name: "mine" }),
    () => rotateKey(world.deps, BOB, seen(made), { overlapMs: 0 }),
    () => revokeKey(world.deps, BOB, seen(made)),
    () => updateKey(world.deps, OTTO, seen(made), { name: "mine" }),
    () => readKey(world.deps, BOB, "key_none"),
  ];

  for (const act of theirs) {
    await assert.rejects(act, { code: "not_found", message: "There is no such key, or you may not see it." });
  }
  assert.equal((await readKey(world.deps, OTTO, made.key.id)).name, "laptop");
});

test("lists have one's own keys; those who see all may ask for all", async () => {
  await using world = await openWorld();
  const first = await adasKey(world);
  const worker = await createKey(world.deps, ADA, { kind: "worker", name: "pc" });
  await revokeKey(world.deps, ADA, seen(first));
  await createKey(world.deps, BOB, { kind: "api", name: "b", groupId: "plaza", fallbackGroupId: "club" });
  await createKey(world.deps, OPERATOR, { kind: "api", name: "o" });
  const names = async (...args: [Actor, Parameters<typeof listKeys>[2]]): Promise<string[]> =>
    (await listKeys(world.deps, ...args, { limit: 10 })).map(({ name }) => name).toSorted();

  assert.deepEqual(await names(ADA, {}), ["laptop", "pc"]);
  assert.deepEqual(await names(ADA, { kind: "worker" }), ["pc"]);
  assert.deepEqual(await names(ADA, { isRevoked: false }), ["pc"]);
  assert.deepEqual(await names(ADA, { ownerId: "ada" }), ["laptop", "pc"]);
  assert.deepEqual(await names(ADAM, {}), []);
  assert.deepEqual(await names(ADAM, { all: true }), ["b", "laptop", "o", "pc"]);
  assert.deepEqual(await names(OTTO, { all: true, groupId: "club" }), ["b"]);
  assert.deepEqual(await names(OTTO, { ownerId: "bob" }), ["b"]);
  assert.deepEqual(await names(OPERATOR, {}), ["b", "laptop", "o", "pc"]);
  await assert.rejects(listKeys(world.deps, ADA, { all: true }, { limit: 1 }), { code: "forbidden" });
  await assert.rejects(listKeys(world.deps, ADA, { ownerId: "bob" }, { limit: 1 }), { code: "forbidden" });
  assert.equal(worker.secret.startsWith("wk-"), true);
});

test("a key is for a group that its owner may use, and nobody learns which other groups there are", async () => {
  await using world = await openWorld();
  const cases: readonly (readonly [actor: Actor, input: Partial<KeyInput>, param: string | undefined])[] = [
    [ADA, { groupId: "home" }, undefined],
    [ADA, { groupId: "plaza", fallbackGroupId: "home" }, undefined],
    [BOB, { groupId: "home" }, "group_id"],
    [BOB, { groupId: "never" }, "group_id"],
    [BOB, { groupId: "club", fallbackGroupId: "home" }, "fallback_group_id"],
    [ADA, { groupId: "home", fallbackGroupId: "home" }, "fallback_group_id"],
    [ADA, { groupId: OPERATOR_GROUP_ID }, "group_id"],
    [ADA, {}, "group_id"],
    [ADAM, {}, undefined],
    [ADAM, { groupId: "home" }, "group_id"],
    [OTTO, {}, "group_id"],
    [OPERATOR, {}, undefined],
    [OPERATOR, { groupId: "plaza" }, undefined],
    [OPERATOR, { groupId: "home" }, "group_id"],
    [ADA, { kind: "worker", groupId: "home" }, "group_id"],
    [ADA, { kind: "worker", fallbackGroupId: "home" }, "fallback_group_id"],
    [ADA, { kind: "worker", rules: { serveGroups: ["home", "plaza", "club"] } }, undefined],
    [BOB, { kind: "worker", rules: { serveGroups: ["club", "home"] } }, "serve_groups"],
  ];

  const results = await Promise.all(
    cases.map(([who, input]) =>
      createKey(world.deps, who, { kind: "api", name: "k", ...input }).then(
        () => undefined,
        (error: unknown) => error,
      ),
    ),
  );

  assert.deepEqual(
    results.map((error) => (error instanceof Error && "param" in error ? error.param : error)),
    cases.map(([, , param]) => param),
  );
  const [secretGroup, noGroup] = [results[2], results[3]];
  assert.equal(secretGroup instanceof Error && secretGroup.message, noGroup instanceof Error && noGroup.message);
});

test("who was banned, has left or whose time is over makes no key for the group", async () => {
  await using world = await openWorld();
  await world.database.write(async (transaction) => {
    const bob = { groupId: "plaza", userId: "bob" };
    await endMembership(transaction, bob, { status: "banned", nowMs: 0 });
    await endMembership(transaction, { ...bob, groupId: "club" }, { status: "left", nowMs: 0 });
    const late = { groupId: "club", userId: "ada", role: "member", joinedAtMs: 0, expiresAtMs: NOW } as const;
    await putMembership(transaction, late);
  });
  await world.database.write((transaction) => deleteGroup(transaction, "home", 1));

  for (const [who, groupId] of [
    [BOB, "plaza"] as const,
    [BOB, "club"] as const,
    [ADA, "club"] as const,
    [ADA, "home"] as const,
  ]) {
    await assert.rejects(createKey(world.deps, who, { kind: "api", name: "k", groupId }), { param: "group_id" });
  }
});

test("only the operator makes a key for somebody else, for a user who is there", async () => {
  await using world = await openWorld();
  const forAda = { kind: "api", name: "k", ownerId: "ada", groupId: "home" } as const;

  const { key } = await createKey(world.deps, OPERATOR, forAda);

  assert.equal(key.ownerId, "ada");
  for (const who of [BOB, ADAM, ROOT]) await assert.rejects(createKey(world.deps, who, forAda), { code: "forbidden" });
  await assert.rejects(createKey(world.deps, OPERATOR, { ...forAda, ownerId: "nobody" }), { param: "owner_id" });
  await world.database.write((transaction) => changeUser(transaction, "ada", { disabledAtMs: 1 }));
  await assert.rejects(createKey(world.deps, OPERATOR, forAda), { param: "owner_id" });
});

test("who runs the hub changes and ends keys of others, but never gets their secrets, nor touches root's", async () => {
  await using world = await openWorld();
  const made = await adasKey(world);
  const roots = await createKey(world.deps, ROOT, { kind: "api", name: "r" });

  const disabled = await updateKey(world.deps, ADAM, seen(made), { isDisabled: true });

  assert.equal(disabled.disabledAtMs, NOW);
  for (const who of [ADAM, ROOT]) {
    await assert.rejects(rotateKey(world.deps, who, seen(made, disabled.version), { overlapMs: 0 }), {
      code: "forbidden",
    });
  }
  await assert.rejects(revokeKey(world.deps, ADAM, seen(roots)), { code: "forbidden" });
  await assert.rejects(updateKey(world.deps, ADAM, seen(roots), { isDisabled: true }), { code: "forbidden" });
  assert.notEqual((await revokeKey(world.deps, ADAM, seen(made, disabled.version))).revokedAtMs, undefined);
});

test("a change that is not based on the newest version is refused, and changes nothing", async () => {
  await using world = await openWorld();
  const made = await adasKey(world);

  const updated = await updateKey(world.deps, ADA, seen(made), { name: "new", isDisabled: true });

  assert.deepEqual([updated.version, updated.name, updated.disabledAtMs], [2, "new", NOW]);
  const stale = { code: "precondition_failed" };
  await assert.rejects(updateKey(world.deps, ADA, seen(made), { name: "old" }), stale);
  await assert.rejects(rotateKey(world.deps, ADA, seen(made), { overlapMs: 0 }), stale);
  await assert.rejects(revokeKey(world.deps, ADA, seen(made)), stale);
  assert.deepEqual(await readKey(world.deps, ADA, made.key.id), updated);
});

test("what is not named in a change stays, what is undefined stops restricting, and a disabled key can be enabled", async () => {
  await using world = await openWorld();
  const made = await adasKey(world, { fallbackGroupId: "club", expiresAtMs: NOW + 9, rules: { models: ["a"] } });
  await updateKey(world.deps, ADA, seen(made), { isDisabled: true });

  const { key } = made;
  const freed = await updateKey(world.deps, ADA, seen(made, 2), {
    isDisabled: false,
    fallbackGroupId: undefined,
    expiresAtMs: undefined,
    rules: {},
  });

  assert.deepEqual(freed, {
    ...key,
    fallbackGroupId: undefined,
    expiresAtMs: undefined,
    rules: {},
    version: 3,
    revision: freed.revision,
  });
});

test("a key is moved only to a group that its owner may use, whoever moves it", async () => {
  await using world = await openWorld();
  const made = await adasKey(world);
  const bobs = await createKey(world.deps, BOB, { kind: "api", name: "b", groupId: "club" });

  await assert.rejects(updateKey(world.deps, OPERATOR, seen(bobs), { groupId: "home" }), { param: "group_id" });
  await assert.rejects(updateKey(world.deps, ADA, seen(made), { groupId: undefined }), { param: "group_id" });
  assert.equal((await updateKey(world.deps, ADA, seen(made), { groupId: "club" })).groupId, "club");
});

test("a key whose group is gone can still be renamed", async () => {
  await using world = await openWorld();
  const made = await adasKey(world);
  await world.database.write((transaction) => deleteGroup(transaction, "home", 1));

  assert.equal((await updateKey(world.deps, ADA, seen(made), { name: "new" })).name, "new");
});

test("a rotation gives a new secret, and the old one its time, at most seven days", async () => {
  await using world = await openWorld();
  const made = await adasKey(world);

  const second = await rotateKey(world.deps, ADA, seen(made), { overlapMs: KEY_LIMITS.maxOverlapMs });
  const third = await rotateKey(world.deps, OPERATOR, seen(second), { overlapMs: 0 });

  assert.notEqual(second.secret, made.secret);
  assert.equal(second.key.hash, hashOfSecret(second.secret));
  assert.equal(second.key.previousUntilMs, NOW + 7 * 24 * 3600_000);
  assert.equal(third.key.previousUntilMs, undefined);
  for (const overlapMs of [KEY_LIMITS.maxOverlapMs + 1, -1, 0.5, Number.NaN]) {
    await assert.rejects(rotateKey(world.deps, ADA, seen(third), { overlapMs }), { param: "overlap_ms" });
  }
});

test("a revoked key is never changed again", async () => {
  await using world = await openWorld();
  const made = await adasKey(world);
  const { version } = await revokeKey(world.deps, ADA, seen(made));

  await assert.rejects(updateKey(world.deps, ADA, seen(made, version), { isDisabled: false }), { code: "conflict" });
  await assert.rejects(rotateKey(world.deps, ADA, seen(made, version), { overlapMs: 0 }), { code: "conflict" });
  assert.equal((await revokeKey(world.deps, ADA, seen(made))).version, version);
});

test("names, expiries, amounts and rules are refused by the field that is wrong", async () => {
  await using world = await openWorld();
  const cases: readonly (readonly [input: Partial<KeyInput>, param: string])[] = [
    [{ name: " " }, "name"],
    [{ name: "a".repeat(65) }, "name"],
    [{ name: "a\u001b[2J" }, "name"],
    [{ name: "a\u202eb" }, "name"],
    [{ expiresAtMs: NOW }, "expires_at_ms"],
    [{ spendingLimit: 0n }, "spending_limit"],
    [{ spendingLimit: 2n ** 53n }, "spending_limit"],
    [{ rules: { models: Array.from({ length: 101 }, () => "m") } }, "models"],
    [{ rules: { models: ["ok", "a*b"] } }, "models.1"],
    [{ rules: { models: ["é".repeat(129)] } }, "models.0"],
    [{ rules: { addresses: ["10.0.0.0/33"] } }, "addresses.0"],
    [{ rules: { addresses: ["localhost"] } }, "addresses.0"],
    [{ rules: { addresses: Array.from({ length: 101 }, () => "::1") } }, "addresses"],
    [{ rules: { limits: { concurrency: 0 } } }, "limits.concurrency"],
    [{ rules: { excludeOwners: [""] } }, "exclude_owners.0"],
    [{ rules: { serveGroups: ["home"] } }, "serve_groups"],
    [{ kind: "worker", groupId: undefined, rules: { models: ["a"] } }, "models"],
    [{ kind: "worker", groupId: undefined, rules: { limits: {} } }, "limits"],
    [{ rules: { colour: "red" } as object }, "rules"],
  ];

  for (const [input, param] of cases) {
    await assert.rejects(adasKey(world, input), { code: "invalid_request", param }, JSON.stringify(Object.keys(input)));
  }
});

test("a user has a bounded number of keys; revoked ones do not count, the operator's have no bound", async () => {
  await using world = await openWorld();
  let last: FreshKey | undefined;
  for (let n = 0; n < KEY_LIMITS.maxKeysPerUser; n += 1) last = await adasKey(world);

  await assert.rejects(adasKey(world), { code: "conflict" });
  await revokeKey(world.deps, ADA, seen(last ?? assert.fail()));
  await adasKey(world);
});
