import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";

import { SilentLog } from "../observe/silent-log.ts";
import { OPERATOR_GROUP_ID } from "../store/access-schema.ts";
import { KyselyAccessStore } from "../store/kysely-access-store.ts";
import { openStore } from "../store/open-store.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { Directory } from "./directory.ts";
import { hashOfSecret } from "./key-secret.ts";
import { MemoryAccessStore } from "./memory-access-store.ts";
import type { KeyEnd, KeyKind, Principal } from "./principal.ts";

const AN_HOUR = 3_600_000;
const EXAMPLE = "192.0.2.1";

/** Ada owns `home` and is a member of `club`; Bob is a provider of `club` and owns it. All is at the hour 1. */
function someStore(): MemoryAccessStore {
  const store = new MemoryAccessStore();
  for (const id of ["ada", "bob"]) store.user(id);
  store.group("home", { ownerId: "ada" });
  store.group("club", { ownerId: "bob" });
  store.group("plaza", { kind: "public", ownerId: undefined });
  store.membership("home", "ada", { role: "owner" });
  store.membership("club", "ada");
  store.membership("club", "bob", { role: "owner" });
  return store;
}

function opened(store: MemoryAccessStore, log = new SilentLog(), now = () => AN_HOUR): Promise<Directory> {
  return Directory.open(store, { log, now });
}

function outcomeOf(directory: Directory, secret: string, kind: KeyKind = "api", address = EXAMPLE): string {
  return directory.identify(secret, kind, () => address).outcome;
}

function principalOf(directory: Directory, secret: string, kind: KeyKind = "api"): Principal {
  const identification = directory.identify(secret, kind, () => EXAMPLE);
  return identification.outcome === "known" ? identification.principal : assert.fail(identification.outcome);
}

/** What was told since, in words. */
function listen(directory: Directory): string[] {
  const told: string[] = [];
  directory.onEnded(({ keyId, groupId, reason }) => told.push([keyId, groupId ?? "all", reason].join(" ")));
  return told;
}

/** Everything that a change sets off has run: it takes microtasks only. */
async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

test("a key opens its own door, for a principal that says whose it is and what it may use", async () => {
  using store = someStore();
  store.key("sk-ada", { ownerId: "ada", groupId: "home", fallbackGroupId: "club", rules: { models: ["a"] } });
  store.key("sk-operator");
  using directory = await opened(store);

  const ada = principalOf(directory, "sk-ada");
  const operator = principalOf(directory, "sk-operator");

  assert.deepEqual([ada.keyId, ada.kind, ada.name, ada.userId], ["sk-ada", "api", "name of sk-ada", "ada"]);
  assert.deepEqual(ada.groupIds, ["home", "club"]);
  assert.deepEqual([operator.userId, operator.groupIds], [undefined, [OPERATOR_GROUP_ID]]);
  assert.equal(principalOf(directory, "sk-ada"), ada, "the same object each time");
  assert.equal(directory.size, 2);
});

test("each key that does not open the door says why, and only to who has its secret", async () => {
  using store = someStore();
  store.user("zoe", { isDisabled: true });
  store.membership("club", "zoe");
  store.membership("plaza", "bob", { status: "banned" });
  for (const status of ["left", "removed", "banned"] as const) {
    store.user(status);
    store.membership("club", status, { status });
    store.key(`sk-${status}`, { ownerId: status, groupId: "club" });
  }
  store.group("gone", { ownerId: "ada", isDeleted: true });
  store.membership("gone", "ada", { role: "owner" });
  store.user("late");
  store.membership("club", "late", { expiresAtMs: AN_HOUR });
  store.key("sk-operator");
  store.key("wk-operator");
  store.key("sk-revoked", { isRevoked: true, isDisabled: true });
  store.key("sk-disabled", { isDisabled: true });
  store.key("sk-expired", { expiresAtMs: AN_HOUR });
  store.key("sk-of-disabled", { ownerId: "zoe", groupId: "club" });
  store.key("sk-of-nobody", { ownerId: "nobody yet", groupId: "plaza" });
  store.key("sk-stranger", { ownerId: "bob", groupId: "home" });
  store.key("sk-in-no-group", { ownerId: "ada", groupId: "never made" });
  store.key("sk-in-deleted", { ownerId: "ada", groupId: "gone", fallbackGroupId: "home" });
  store.key("sk-late", { ownerId: "late", groupId: "club" });
  store.key("sk-banned-in-public", { ownerId: "bob", groupId: "plaza" });
  store.key("sk-in-operators", { ownerId: "ada", groupId: OPERATOR_GROUP_ID });
  store.key("sk-exhausted", { isExhausted: true });
  store.key("sk-bound", { rules: { addresses: ["10.0.0.0/8"] } });
  using directory = await opened(store);

  const expected: readonly (readonly [secret: string, kind: KeyKind, outcome: string])[] = [
    ["sk-operator", "api", "known"],
    ["sk-operator", "worker", "wrong-kind"],
    ["wk-operator", "worker", "known"],
    ["wk-operator", "api", "wrong-kind"],
    ["sk-revoked", "api", "revoked"],
    ["sk-disabled", "api", "disabled"],
    ["sk-expired", "api", "expired"],
    ["sk-of-disabled", "api", "owner-disabled"],
    ["sk-of-nobody", "api", "owner-disabled"],
    ["sk-stranger", "api", "no-membership"],
    ["sk-in-no-group", "api", "no-membership"],
    ["sk-in-deleted", "api", "no-membership"],
    ["sk-left", "api", "no-membership"],
    ["sk-removed", "api", "no-membership"],
    ["sk-banned", "api", "no-membership"],
    ["sk-late", "api", "no-membership"],
    ["sk-banned-in-public", "api", "no-membership"],
    ["sk-in-operators", "api", "no-membership"],
    ["sk-exhausted", "api", "exhausted"],
    ["sk-bound", "api", "address-not-allowed"],
    ["sk-operato", "api", "unknown"],
    ["", "api", "unknown"],
    [hashOfSecret("sk-operator"), "api", "unknown"],
  ];
  assert.deepEqual(
    expected.map(([secret, kind]) => [secret, kind, outcomeOf(directory, secret, kind)]),
    expected,
  );
  assert.equal(outcomeOf(directory, "sk-bound", "api", "10.1.2.3"), "known");
});

test("public groups are for every user, the operator's own for those who run the hub", async () => {
  using store = someStore();
  for (const role of ["root", "admin", "auditor"] as const) store.user(role, { role });
  store.key("sk-plaza", { ownerId: "ada", groupId: "plaza" });
  for (const role of ["root", "admin", "auditor"]) {
    store.key(`sk-${role}`, { ownerId: role, groupId: OPERATOR_GROUP_ID });
  }
  using directory = await opened(store);

  assert.deepEqual(
    ["sk-plaza", "sk-root", "sk-admin", "sk-auditor"].map((secret) => outcomeOf(directory, secret)),
    ["known", "known", "known", "no-membership"],
  );
});

test("a secret longer than any of ours is unknown without being hashed", async () => {
  using store = someStore();
  const long = "k".repeat(257);
  store.key("sk-long", { hash: hashOfSecret(long) });
  using directory = await opened(store);

  assert.equal(outcomeOf(directory, long), "unknown");
});

test("after a rotation both secrets open the door until the old one's time is over", async () => {
  using store = someStore();
  let nowMs = AN_HOUR;
  store.key("sk-first");
  using directory = await opened(store, new SilentLog(), () => nowMs);
  const first = principalOf(directory, "sk-first");

  const old = { hash: hashOfSecret("sk-first"), untilMs: AN_HOUR + 1_000 };
  store.key("sk-first", { hash: hashOfSecret("sk-second"), previous: old });
  await settled();
  const during = ["sk-first", "sk-second"].map((secret) => principalOf(directory, secret) === first);
  nowMs += 1_000;
  const after = ["sk-first", "sk-second"].map((secret) => outcomeOf(directory, secret));
  // The next rotation leaves no trace of the first secret.
  store.key("sk-first", { hash: hashOfSecret("sk-third"), previous: undefined });
  await settled();
  const atLast = ["sk-first", "sk-second", "sk-third"].map((secret) => outcomeOf(directory, secret));

  assert.deepEqual(during, [true, true]);
  assert.deepEqual(after, ["rotated", "known"]);
  assert.deepEqual(atLast, ["unknown", "unknown", "known"]);
});

test("a worker that came by a secret that is rotated away is told of its end, whichever secret it was at the time", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout", "Date"], now: AN_HOUR });
  using store = someStore();
  store.key("wk-a");
  using directory = await opened(store, new SilentLog(), Date.now);
  const told = listen(directory);
  const before = principalOf(directory, "wk-a", "worker");

  const old = { hash: hashOfSecret("wk-a"), untilMs: AN_HOUR + 1_000 };
  store.key("wk-a", { hash: hashOfSecret("wk-b"), previous: old, name: "renamed" });
  await settled();
  const byOld = principalOf(directory, "wk-a", "worker");
  const byNew = principalOf(directory, "wk-b", "worker");
  const during = [before, byOld, byNew].map(({ isRotatedAway }) => isRotatedAway);
  told.length = 0;
  context.mock.timers.tick(1_000);

  assert.deepEqual(during, [false, false, false]);
  assert.deepEqual(
    [before, byOld, byNew].map(({ isRotatedAway }) => isRotatedAway),
    [true, true, false],
  );
  assert.deepEqual(told, ["wk-a all rotated"]);
  assert.deepEqual([byOld.keyId, byOld.name, byOld.allowsModel("m")], ["wk-a", "renamed", true]);
  assert.equal(outcomeOf(directory, "wk-a", "worker"), "rotated");
});

test("a rotation without overlap, and the second of two, end the tunnels of a secret at once", async () => {
  using store = someStore();
  store.key("wk-a");
  using directory = await opened(store);
  const told = listen(directory);
  const first = principalOf(directory, "wk-a", "worker");

  const overlapping = { hash: hashOfSecret("wk-a"), untilMs: 2 * AN_HOUR };
  store.key("wk-a", { hash: hashOfSecret("wk-b"), previous: overlapping });
  await settled();
  const second = principalOf(directory, "wk-b", "worker");
  const afterOne = [first, second].map(({ isRotatedAway }) => isRotatedAway);
  store.key("wk-a", { hash: hashOfSecret("wk-c"), previous: { hash: hashOfSecret("wk-b"), untilMs: 2 * AN_HOUR } });
  await settled();
  const afterTwo = [first, second].map(({ isRotatedAway }) => isRotatedAway);
  store.key("wk-a", { hash: hashOfSecret("wk-d"), previous: undefined });
  await settled();

  assert.deepEqual(
    [afterOne, afterTwo],
    [
      [false, false],
      [true, false],
    ],
  );
  assert.equal(second.isRotatedAway, true);
  assert.deepEqual(directory.groupsToServe(second, undefined), []);
  assert.deepEqual(told, ["wk-a all rotated", "wk-a all rotated", "wk-a all rotated"]);
});

test("whatever ends a key is told once, with the reason, and what does not end it is not told", async () => {
  const cases: readonly (readonly [change: (store: MemoryAccessStore) => void, told: string])[] = [
    [(store) => store.key("sk-ada", { ...ADA, isRevoked: true }), "sk-ada all revoked"],
    [(store) => store.key("sk-ada", { ...ADA, isDisabled: true }), "sk-ada all disabled"],
    [(store) => store.key("sk-ada", { ...ADA, expiresAtMs: AN_HOUR }), "sk-ada all expired"],
    [(store) => store.user("ada", { isDisabled: true }), "sk-ada all owner-disabled"],
    [(store) => store.group("home", { ownerId: "ada", isDeleted: true }), "sk-ada all no-membership"],
    [(store) => store.membership("home", "ada", { status: "removed" }), "sk-ada all no-membership"],
    [(store) => store.membership("home", "ada", { status: "banned" }), "sk-ada all no-membership"],
    [(store) => store.membership("home", "ada", { status: "left" }), "sk-ada all no-membership"],
    [(store) => store.membership("home", "ada", { expiresAtMs: AN_HOUR }), "sk-ada all no-membership"],
    [(store) => store.membership("club", "ada", { status: "removed" }), "sk-ada club no-membership"],
    [(store) => store.group("club", { ownerId: "bob", isDeleted: true }), "sk-ada club no-membership"],
    [(store) => store.key("sk-ada", { ...ADA, name: "new", isExhausted: true, rules: { models: [] } }), ""],
    [(store) => store.key("sk-ada", { ...ADA, groupId: "plaza", fallbackGroupId: undefined }), ""],
    [(store) => store.group("home", { ownerId: "ada", slug: "new", memberLimits: { concurrency: 1 } }), ""],
    [(store) => store.membership("home", "ada", { role: "member", limits: { concurrency: 1 } }), ""],
    [(store) => store.membership("club", "bob", { status: "removed" }), ""],
    [(store) => store.user("ada", { role: "auditor" }), ""],
  ];

  for (const [change, expected] of cases) {
    using store = someStore();
    store.key("sk-ada", ADA);
    using directory = await opened(store);
    const told = listen(directory);
    change(store);
    await settled();
    store.changed();
    await settled();
    assert.equal(told.join(), expected, change.toString());
  }
});

const ADA = { ownerId: "ada", groupId: "home", fallbackGroupId: "club" } as const;

test("a second group that is lost is no more in the list, and there again when it is back", async () => {
  using store = someStore();
  store.key("sk-ada", ADA);
  using directory = await opened(store);
  const ada = principalOf(directory, "sk-ada");

  store.membership("club", "ada", { status: "removed" });
  await settled();
  const without = ada.groupIds;
  store.membership("club", "ada");
  await settled();

  assert.deepEqual([without, ada.groupIds], [["home"], ["home", "club"]]);
});

test("what ends by time is told at that time", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout", "Date"], now: AN_HOUR });
  using store = someStore();
  store.membership("home", "ada", { role: "owner", expiresAtMs: AN_HOUR + 3_000 });
  store.membership("club", "ada", { expiresAtMs: AN_HOUR + 2_000 });
  store.key("sk-ada", ADA);
  store.key("sk-short", { expiresAtMs: AN_HOUR + 1_000 });
  store.key("sk-longer", { expiresAtMs: AN_HOUR + 1_000 });
  using directory = await opened(store, new SilentLog(), Date.now);
  const told = listen(directory);
  const groupIds: (readonly string[])[] = [];
  directory.onEnded(({ keyId }) => keyId === "sk-ada" && groupIds.push(ada.groupIds));
  const ada = principalOf(directory, "sk-ada");
  store.key("sk-longer", { expiresAtMs: AN_HOUR + 9_000 });
  await settled();

  const at: string[][] = [];
  for (let n = 0; n < 3; n += 1) {
    context.mock.timers.tick(999);
    at.push(told.splice(0));
    context.mock.timers.tick(1);
    at.push(told.splice(0));
  }

  assert.deepEqual(at, [
    [],
    ["sk-short all expired"],
    [],
    ["sk-ada club no-membership"],
    [],
    ["sk-ada all no-membership"],
  ]);
  assert.deepEqual(groupIds[0], ["home"]);
  assert.equal(outcomeOf(directory, "sk-longer"), "known");
});

test("a worker serves where its owner provides, among what its key and itself name", async () => {
  using store = someStore();
  store.group("guild", { ownerId: "bob", slug: "the-guild" });
  store.membership("guild", "ada", { role: "provider" });
  store.membership("plaza", "bob", { role: "provider" });
  store.user("root", { role: "root" });
  store.group("gone", { ownerId: "ada", isDeleted: true });
  store.membership("gone", "ada", { role: "owner" });
  store.user("late");
  store.membership("club", "late", { role: "provider", expiresAtMs: AN_HOUR });
  store.user("off", { isDisabled: true });
  store.membership("club", "off", { role: "provider" });
  store.key("wk-ada", { ownerId: "ada" });
  store.key("wk-ada-guild", { ownerId: "ada", rules: { serveGroups: ["guild", "club"] } });
  store.key("wk-ada-revoked", { ownerId: "ada", isRevoked: true });
  for (const owner of ["bob", "root", "late", "off"]) store.key(`wk-${owner}`, { ownerId: owner });
  store.key("wk-operator");
  store.key("wk-operator-plaza", { rules: { serveGroups: ["plaza"] } });
  using directory = await opened(store);
  const serves = (keyId: string, named?: string[]): readonly string[] =>
    directory.groupsToServe(someWorker(keyId), named).toSorted();

  // Ada is a member of the club, which is not enough to serve there.
  assert.deepEqual(serves("wk-ada"), ["guild", "home"]);
  assert.deepEqual(serves("wk-ada", ["the-guild", "club", "nowhere"]), ["guild"]);
  assert.deepEqual(serves("wk-ada", ["home"]), ["home"]);
  assert.deepEqual(serves("wk-ada", []), []);
  assert.deepEqual(serves("wk-ada-guild"), ["guild"]);
  assert.deepEqual(serves("wk-ada-guild", ["home"]), []);
  assert.deepEqual(serves("wk-bob"), ["club", "plaza"]);
  // Whoever runs the hub serves into public groups of the operator's only when that is said.
  assert.deepEqual(serves("wk-operator"), [OPERATOR_GROUP_ID]);
  assert.deepEqual(serves("wk-root"), [OPERATOR_GROUP_ID]);
  assert.deepEqual(serves("wk-operator", ["plaza", "home"]), ["plaza"]);
  assert.deepEqual(serves("wk-root", ["plaza", "operator"]), [OPERATOR_GROUP_ID, "plaza"]);
  assert.deepEqual(serves("wk-operator-plaza"), ["plaza"]);
  store.membership("plaza", "root", { status: "banned" });
  await settled();
  assert.deepEqual(serves("wk-root", ["plaza", "operator"]), [OPERATOR_GROUP_ID]);
  for (const nowhere of ["wk-late", "wk-off", "wk-ada-revoked", "wk-unknown"]) assert.deepEqual(serves(nowhere), []);
});

test("a worker is told why a group that it or its key names is not served, and of none that its owner may not see", async () => {
  using store = someStore();
  store.group("guild", { ownerId: "bob", slug: "the-guild" });
  store.membership("guild", "ada", { role: "provider" });
  store.group("secret", { ownerId: "bob", slug: "bobs-secret" });
  store.membership("secret", "ada", { role: "provider", status: "removed" });
  store.key("wk-ada", { ownerId: "ada" });
  store.key("wk-ada-guild", { ownerId: "ada", rules: { serveGroups: ["guild", "plaza", "secret"] } });
  store.key("wk-operator");
  store.key("wk-operator-plaza", { rules: { serveGroups: ["plaza"] } });
  using directory = await opened(store);
  const told = (keyId: string, named?: string[]): string[] =>
    directory.notServed(someWorker(keyId), named).map(({ group, slug, why }) => `${group} (${slug}) ${why}`);

  // Whoever names nothing is told of nothing.
  assert.deepEqual(told("wk-ada"), []);
  assert.deepEqual(told("wk-ada", ["home", "the-guild", "guild"]), []);
  assert.deepEqual(told("wk-ada", ["club", "plaza", "bobs-secret", "secret", "nowhere"]), [
    "club (club) not-a-provider",
    "plaza (plaza) not-approved",
    "bobs-secret (undefined) not-allowed",
    "secret (undefined) not-allowed",
    "nowhere (undefined) not-allowed",
  ]);
  assert.deepEqual(told("wk-ada-guild"), ["plaza (plaza) not-approved", "secret (undefined) not-allowed"]);
  assert.deepEqual(told("wk-ada-guild", ["home", "the-guild"]), ["home (home) not-allowed-by-key"]);
  assert.deepEqual(told("wk-operator", ["operator", "plaza"]), []);
  assert.deepEqual(told("wk-operator", ["home"]), ["home (undefined) not-allowed"]);
  assert.deepEqual(told("wk-operator-plaza", ["operator"]), ["operator (operator) not-allowed-by-key"]);
  assert.deepEqual([directory.slugOf("guild"), directory.slugOf("nowhere")], ["the-guild", undefined]);

  store.membership("plaza", "ada", { status: "banned" });
  store.group("market", { kind: "public", ownerId: undefined, isDeleted: true });
  store.membership("club", "ada", { role: "provider" });
  await settled();
  assert.deepEqual(told("wk-ada", ["club", "plaza", "market"]), [
    "plaza (undefined) not-allowed",
    "market (undefined) not-allowed",
  ]);
  assert.deepEqual(told("wk-unknown", ["club"]), []);
});

test("whoever serves is told when where they serve may have changed", async () => {
  using store = someStore();
  store.key("wk-ada", { ownerId: "ada" });
  store.key("wk-bob", { ownerId: "bob" });
  using directory = await opened(store);
  const told: string[] = [];
  directory.onWorkerChanged((keyId) => told.push(keyId));
  directory.onGroupChanged((groupId) => told.push(groupId));
  const heard = async (change: () => void): Promise<string[]> => {
    change();
    await settled();
    return told.splice(0);
  };

  assert.deepEqual(await heard(() => store.membership("club", "ada", { role: "provider" })), ["wk-ada"]);
  assert.deepEqual(await heard(() => store.user("bob", { isDisabled: true })), ["wk-bob"]);
  assert.deepEqual(await heard(() => store.key("wk-ada", { ownerId: "ada", rules: { serveModels: [] } })), ["wk-ada"]);
  assert.deepEqual(await heard(() => store.group("club", { ownerId: "bob" })), ["club"]);
  // The names that a provider kept are free, so that others in the group may serve them.
  assert.deepEqual(await heard(() => store.membership("club", "ada", { status: "left" })), ["wk-ada", "club"]);
  assert.deepEqual(await heard(() => store.membership("club", "ada", { status: "removed" })), ["wk-ada"]);
  assert.deepEqual(await heard(() => store.key("sk-ada", ADA)), []);
});

test("a provider whose time is over leaves their names to others at that time", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout", "Date"], now: AN_HOUR });
  using store = someStore();
  store.membership("club", "ada", { role: "provider", expiresAtMs: AN_HOUR + 1_000 });
  using directory = await opened(store, new SilentLog(), Date.now);
  const told: string[] = [];
  directory.onGroupChanged((groupId) => told.push(groupId));

  context.mock.timers.tick(999);
  const before = [...told];
  context.mock.timers.tick(1);

  assert.deepEqual([before, told], [[], ["club"]]);
});

test("a member's limits are the group's unless they have their own, the same object for all of their keys", async () => {
  using store = someStore();
  store.group("home", { ownerId: "ada", memberLimits: { concurrency: 2, requestsPerMinute: 60 } });
  store.membership("home", "ada", { limits: { concurrency: 5 } });
  store.key("sk-one", ADA);
  store.key("sk-two", { ownerId: "ada", groupId: "home", rules: { limits: { tokensPerMinute: 9 } } });
  store.key("sk-operator");
  using directory = await opened(store);
  const [one, two] = ["sk-one", "sk-two"].map((secret) => principalOf(directory, secret));

  const limits = one?.memberOf("home")?.limits;
  store.group("home", { ownerId: "ada", memberLimits: {} });
  await settled();

  assert.deepEqual(limits, { concurrency: 5, requestsPerMinute: 60 });
  assert.deepEqual(one?.memberOf("home")?.limits, { concurrency: 5 });
  assert.equal(one?.memberOf("home"), two?.memberOf("home"));
  assert.notEqual(one?.memberOf("club"), one?.memberOf("home"));
  assert.deepEqual([one?.limits, two?.limits], [undefined, { tokensPerMinute: 9 }]);
  assert.equal(principalOf(directory, "sk-operator").memberOf(OPERATOR_GROUP_ID), undefined);
});

test("a list of models has names and beginnings of names", async () => {
  using store = someStore();
  store.key("sk-some", { rules: { models: ["llama3:8b", "org/*"], serveModels: [] } });
  store.key("sk-none", { rules: { models: [] } });
  store.key("sk-every", { rules: { models: ["*"] } });
  store.key("wk-some", { rules: { models: [], serveModels: ["llama*"] } });
  using directory = await opened(store);
  const allowed = (secret: string, kind: KeyKind = "api"): string[] =>
    ["llama3:8b", "llama3:8b-q4", "org/", "org/model", "organ", "*", "org/*"].filter((model) =>
      principalOf(directory, secret, kind).allowsModel(model),
    );

  assert.deepEqual(allowed("sk-some"), ["llama3:8b", "org/", "org/model", "org/*"]);
  assert.deepEqual(allowed("sk-none"), []);
  assert.equal(allowed("sk-every").length, 7);
  assert.deepEqual(allowed("wk-some", "worker"), ["llama3:8b", "llama3:8b-q4"]);
});

test("a key pins workers only when one of its four lists says so", async () => {
  using store = someStore();
  store.key("sk-free", { rules: { models: ["a"] } });
  store.key("sk-pinned", { rules: { excludeOwners: ["bob"] } });
  using directory = await opened(store);

  assert.equal(principalOf(directory, "sk-free").pins, undefined);
  assert.deepEqual(principalOf(directory, "sk-pinned").pins, { excludeOwners: ["bob"] });
});

test("a key made or revoked later is known as such, and its revocation is told once", async () => {
  using store = someStore();
  using directory = await opened(store);
  const told = listen(directory);
  const whenTold: string[] = [];
  directory.onEnded(() => whenTold.push(outcomeOf(directory, "sk-new")));

  store.key("sk-new");
  await settled();
  const before = outcomeOf(directory, "sk-new");
  store.key("sk-new", { isRevoked: true });
  await settled();

  assert.equal(before, "known");
  assert.deepEqual([told, whenTold], [["sk-new all revoked"], ["revoked"]]);
  assert.equal(directory.size, 0);
});

test("a listener that fails does not keep the next one from hearing, and one that left hears nothing", async () => {
  using store = someStore();
  store.key("sk-a");
  const log = new SilentLog();
  using directory = await opened(store, log);
  directory.onEnded(() => {
    throw new Error("listener");
  });
  const told: KeyEnd[] = [];
  directory.onEnded((end) => told.push(end));
  directory.onEnded((end) => told.push(end))();

  store.key("sk-a", { isRevoked: true });
  await settled();

  assert.equal(told.length, 1);
  assert.deepEqual(log.messages, ["a listener to keys that end failed"]);
});

test("more keys than fit in one page are all loaded", async () => {
  using store = someStore();
  for (let n = 0; n < 10_001; n += 1) store.key(`sk-${n}`);

  using directory = await opened(store);

  assert.equal(directory.size, 10_001);
  assert.equal(outcomeOf(directory, "sk-10000"), "known");
});

test("while the database cannot be read what is known stays good, and the change is seen afterwards", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  using store = someStore();
  store.key("sk-a");
  const log = new SilentLog();
  using directory = await opened(store, log);
  store.isBroken = true;

  store.key("sk-a", { isRevoked: true });
  await settled();
  const whileBroken = outcomeOf(directory, "sk-a");
  store.isBroken = false;
  context.mock.timers.tick(1_000);
  await settled();

  assert.deepEqual([whileBroken, outcomeOf(directory, "sk-a")], ["known", "revoked"]);
  assert.deepEqual(log.messages, ["keys could not be read again; new and revoked keys are not seen until they can"]);
});

test("a key that is revoked while everything is loaded for the first time is revoked", async () => {
  using store = someStore();
  store.key("sk-a");
  const answers = store.holdAnswers();

  const opening = opened(store);
  await letGo(answers, 3);
  store.key("sk-a", { isRevoked: true });
  await letGo(answers, 8);
  using directory = await opening;

  assert.equal(outcomeOf(directory, "sk-a"), "revoked");
});

test("a change during a look is looked at again", async () => {
  using store = someStore();
  using directory = await opened(store);
  const answers = store.holdAnswers();

  store.key("sk-a");
  await letGo(answers, 4);
  store.key("sk-b");
  await letGo(answers, 8);

  assert.deepEqual([outcomeOf(directory, "sk-a"), outcomeOf(directory, "sk-b")], ["known", "known"]);
});

/** Lets answers go one by one, until `count` were. */
async function letGo(answers: readonly (() => void)[], count: number): Promise<void> {
  for (let n = 0; n < count; n += 1) {
    await settled();
    answers[n]?.();
  }
  await settled();
}

test("a directory cannot be opened without its keys", async () => {
  using store = someStore();
  store.isBroken = true;

  await assert.rejects(opened(store), /broken/);
  assert.equal(store.watchers.size, 0);
});

test("a key that the command line revokes ends in a running directory", { timeout: 20_000 }, async (context) => {
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
  using directory = await Directory.open(new KyselyAccessStore(store.database), {
    log: new SilentLog(),
    now: Date.now,
  });
  const ended = Promise.withResolvers<KeyEnd>();
  directory.onEnded(ended.resolve);

  const secret = await tokilake("keys", "create", "--kind", "worker", "--name", "pc");
  await tokilake("keys", "revoke", "pc");
  const end = await ended.promise;

  assert.equal(outcomeOf(directory, secret, "worker"), "revoked");
  assert.deepEqual(end, { keyId: end.keyId, groupId: undefined, reason: "revoked" });
});

function someWorker(keyId: string): Principal {
  return {
    keyId,
    kind: "worker",
    name: "",
    userId: undefined,
    groupIds: [],
    limits: undefined,
    isRotatedAway: false,
    pins: undefined,
    memberOf: () => undefined,
    allowsModel: () => true,
  };
}

test("whoever waits until the directory has caught up finds what was written before", async () => {
  using store = someStore();
  using directory = await opened(store);
  const answers = store.holdAnswers();
  store.key("sk-new");
  let isCaughtUp = false;

  const waiting = directory.caughtUp().then(() => (isCaughtUp = true));
  await settled();
  assert.deepEqual([isCaughtUp, outcomeOf(directory, "sk-new")], [false, "unknown"]);
  // One table after the other.
  while (!isCaughtUp) {
    for (const letGo of answers.splice(0)) letGo();
    await settled();
  }

  await waiting;
  assert.equal(outcomeOf(directory, "sk-new"), "known");
});

test("nobody waits for a directory whose database is broken", async () => {
  using store = someStore();
  using directory = await opened(store);
  store.isBroken = true;
  store.key("sk-new");

  await directory.caughtUp();

  assert.equal(outcomeOf(directory, "sk-new"), "unknown");
});
