import assert from "node:assert/strict";
import { test } from "node:test";

import type { UserActor } from "../identity/actor.ts";
import { OPERATOR_GROUP_ID } from "../store/access-schema.ts";
import { findGroup, type GroupRecord } from "../store/group-store.ts";
import { insertClaims } from "../store/model-claim-store.ts";
import { GROUP_LIMITS } from "./group-limits.ts";
import { leaveGroup, removeMember, updateMember } from "./members.ts";
import { allowModel, ANYBODY, type Claimed, claimModels, listClaims, releaseModel } from "./model-claims.ts";
import { codeOf, openTestGroups, type TestGroups } from "./test-groups.ts";

/** What is said to who may not serve there. */
const NOTHING: Claimed = { allowed: [], taken: [], tooMany: [], misleading: [] };

test("the first to serve a name keeps it, also while their worker is away", async () => {
  await using story = await openStory();

  const ada = await story.claim("user_ada", ["llama", "qwen"]);
  const bob = await story.claim("user_bob", ["qwen", "phi"]);
  const adaAgain = await story.claim("user_ada", ["llama", "phi"]);

  assert.deepEqual(ada, { allowed: ["llama", "qwen"], taken: [], tooMany: [], misleading: [] });
  assert.deepEqual(bob, { allowed: ["phi"], taken: ["qwen"], tooMany: [], misleading: [] });
  assert.deepEqual(adaAgain, { allowed: ["llama"], taken: ["phi"], tooMany: [], misleading: [] });
});

test("of two who claim a name at once one gets it", async () => {
  await using story = await openStory();

  const claims = await Promise.all(["user_ada", "user_bob"].map((owner) => story.claim(owner, ["llama", "qwen"])));

  const [most, least] = claims.map(({ allowed }) => allowed.length).toSorted((one, other) => other - one);
  assert.deepEqual([most, least], [2, 0]);
});

test("a claim that brings nothing new writes nothing", async () => {
  await using story = await openStory();
  await story.claim("user_ada", ["llama"]);
  const { db } = story.groups.database;
  const before = await db.selectFrom("meta").selectAll().execute();

  await story.claim("user_ada", ["llama", "llama"]);
  await story.claim("user_bob", ["llama"]);

  assert.deepEqual(await db.selectFrom("meta").selectAll().execute(), before);
});

test("the group's owner lets others serve a name, by their ids or all of them, and running hubs are told", async () => {
  await using story = await openStory();
  const { groups, ada, group } = story;
  await story.claim("user_ada", ["llama"]);
  const revision = async (): Promise<number> => (await findGroup(groups.database.db, group.id))?.revision ?? 0;
  const before = await revision();

  await allowModel(groups, ada, { groupId: group.id, model: "llama", also: ["user_bob"] });
  const byId = await story.claim("user_bob", ["llama"]);
  await allowModel(groups, ada, { groupId: group.id, model: "llama", also: [] });
  const no = await story.claim("user_bob", ["llama"]);
  await allowModel(groups, ada, { groupId: group.id, model: "llama", also: [ANYBODY] });
  const all = await story.claim("user_bob", ["llama"]);

  assert.deepEqual(
    [byId, no, all].map(({ allowed }) => allowed.length),
    [1, 0, 1],
  );
  assert.ok((await revision()) > before);
});

test("who is let in is checked, and who lets in", async () => {
  await using story = await openStory();
  const { groups, ada, bob, group } = story;
  await story.claim("user_bob", ["llama"]);
  await groups.user("cyd");
  const allow = (actor: UserActor, also: readonly string[], model = "llama"): Promise<string> =>
    codeOf(allowModel(groups, actor, { groupId: group.id, model, also }));

  assert.equal(await allow(bob, [ANYBODY]), "forbidden");
  assert.equal(await allow(ada, ["user_cyd"]), "invalid_request also");
  assert.equal(await allow(ada, ["user_none"]), "invalid_request also");
  assert.equal(
    await allow(
      ada,
      Array.from({ length: 101 }, (_, i) => `user_${i}`),
    ),
    "invalid_request also",
  );
  assert.equal(await allow(ada, [ANYBODY], "unknown"), "not_found");
  assert.equal(await allow(ada, ["user_ada", "user_ada"]), "none");
});

test("a name is freed by who keeps it and by the group's owner, and the next to serve it has it", async () => {
  await using story = await openStory();
  const { groups, ada, bob, group } = story;
  const cyd = await groups.user("cyd");
  await groups.join(ada, cyd, group, "provider");
  await story.claim("user_bob", ["llama", "qwen"]);
  const release = (actor: UserActor, model: string): Promise<string> =>
    codeOf(releaseModel(groups, actor, { groupId: group.id, model }));

  assert.equal(await release(cyd, "llama"), "forbidden");
  assert.deepEqual([await release(bob, "llama"), await release(ada, "qwen")], ["none", "none"]);
  assert.equal(await release(ada, "qwen"), "not_found");
  assert.deepEqual((await story.claim("user_cyd", ["llama", "qwen"])).allowed, ["llama", "qwen"]);
});

test("who may serve no more keeps no names: removed, gone, a mere member, or run out", async () => {
  for (const end of ["removed", "left", "member", "expired", "disabled"] as const) {
    await using story = await openStory();
    const { groups, ada, bob, group } = story;
    const key = { groupId: group.id, userId: "user_bob" };
    const update = (patch: Parameters<typeof updateMember>[2]["patch"]): Promise<unknown> =>
      updateMember(groups, ada, { key, version: undefined, patch });
    await story.claim("user_bob", ["llama"]);

    if (end === "removed") await removeMember(groups, ada, key);
    if (end === "left") await leaveGroup(groups, bob, group.id);
    if (end === "member") await update({ role: "member" });
    if (end === "expired") await update({ expiresAtMs: groups.now() + 1 });
    if (end === "disabled") {
      await groups.database.db.updateTable("users").set({ disabled_at_ms: 1 }).where("id", "=", "user_bob").execute();
    }
    groups.pass(1);

    // What nobody did to the membership shows when somebody else wants the name.
    const left = await listClaims(groups, ada, group.id, { limit: 10 });
    assert.equal(left.length, end === "expired" || end === "disabled" ? 1 : 0, end);
    assert.deepEqual(await story.claim("user_bob", ["llama"]), NOTHING, end);
    assert.deepEqual((await story.claim("user_ada", ["llama"])).allowed, ["llama"], end);
  }
});

test("an owner keeps only so many names in a group", async () => {
  await using story = await openStory();
  const most = GROUP_LIMITS.maxClaimsPerOwner;
  const names = Array.from({ length: most + 2 }, (_, index) => `model-${index}`);

  const claimed = await story.claim("user_ada", names);
  const again = await story.claim("user_ada", names.slice(-2));

  assert.deepEqual([claimed.allowed.length, claimed.tooMany], [most, [`model-${most}`, `model-${most + 1}`]]);
  assert.equal(again.tooMany.length, 2);
  assert.equal((await story.claim("user_bob", names.slice(-2))).allowed.length, 2);
});

test("the operator's workers claim in the operator's groups, and in no others", async () => {
  await using story = await openStory();
  const { groups, group } = story;
  await groups.user("admin", "admin");
  const claim = (groupId: string, ownerId: string | undefined): Promise<Claimed> =>
    claimModels(groups, { groupId, ownerId, models: ["llama"] });

  assert.deepEqual((await claim(OPERATOR_GROUP_ID, undefined)).allowed, ["llama"]);
  assert.deepEqual((await claim(OPERATOR_GROUP_ID, undefined)).allowed, ["llama"]);
  assert.deepEqual((await claim(OPERATOR_GROUP_ID, "user_admin")).taken, ["llama"]);
  assert.deepEqual(await claim(group.id, undefined), NOTHING);
});

test("members see whose names they are", async () => {
  await using story = await openStory();
  const { groups, bob, group } = story;
  await story.claim("user_ada", ["qwen", "llama"]);

  const claims = await listClaims(groups, bob, group.id, { limit: 10 });

  assert.deepEqual(
    claims.map(({ model, ownerId }) => [model, ownerId]),
    [
      ["llama", "user_ada"],
      ["qwen", "user_ada"],
    ],
  );
  const cyd = await groups.user("cyd");
  assert.equal(await codeOf(listClaims(groups, cyd, group.id, { limit: 10 })), "not_found");
});

test("names that differ in case, width or form are one name, in whatever spelling their keeper has it", async () => {
  await using story = await openStory();
  const { groups, ada, group } = story;

  const ada1 = await story.claim("user_ada", ["Llama3:8B", "ﬁne"]);
  const bob = await story.claim("user_bob", ["llama3:8b", "LLAMA3:8B", "ｌｌａｍａ３：８ｂ", "fine", "llama3"]);
  const ada2 = await story.claim("user_ada", ["llama3:8b", "Llama3:8B", "qwen", "QWEN"]);

  assert.deepEqual(ada1.allowed, ["Llama3:8B", "ﬁne"]);
  assert.deepEqual([bob.allowed, bob.taken.length], [["llama3"], 4]);
  assert.deepEqual(ada2.allowed, ["llama3:8b", "Llama3:8B", "qwen", "QWEN"]);
  const kept = async (): Promise<readonly string[]> =>
    (await listClaims(groups, ada, group.id, { limit: 10 })).map(({ model }) => model);
  assert.deepEqual(await kept(), ["ﬁne", "llama3", "Llama3:8B", "qwen"]);
  // By any spelling others are let in, and the name is freed.
  await allowModel(groups, ada, { groupId: group.id, model: "LLAMA3:8b", also: ["user_bob"] });
  assert.deepEqual((await story.claim("user_bob", ["llama3:8B"])).allowed, ["llama3:8B"]);
  await releaseModel(groups, ada, { groupId: group.id, model: "llama3:8b" });
  assert.deepEqual(await kept(), ["ﬁne", "llama3", "qwen"]);
});

test("a name that misleads is not claimed, nor written for; one that is claimed already stays", async () => {
  await using story = await openStory();
  const { db } = story.groups.database;
  await insertClaims(db, { groupId: story.group.id, ownerId: "user_ada" }, ["gpt-\u043ess"], 1);
  const before = await db.selectFrom("meta").selectAll().execute();

  const ada = await story.claim("user_ada", ["gpt-\u043ess", "ll\u0430ma"]);
  const bob = await story.claim("user_bob", ["gpt-\u043ess"]);

  assert.deepEqual(ada, { allowed: ["gpt-\u043ess"], taken: [], tooMany: [], misleading: ["ll\u0430ma"] });
  assert.deepEqual(bob.taken, ["gpt-\u043ess"]);
  assert.deepEqual(await db.selectFrom("meta").selectAll().execute(), before);
});

interface Story extends AsyncDisposable {
  readonly groups: TestGroups;
  readonly ada: UserActor;
  readonly bob: UserActor;
  readonly group: GroupRecord;
  claim(ownerId: string, models: readonly string[]): Promise<Claimed>;
}

/** Ada owns a group where Bob is a provider. */
async function openStory(): Promise<Story> {
  const groups = await openTestGroups();
  const ada = await groups.user("ada");
  const bob = await groups.user("bob");
  const group = await groups.group(ada);
  await groups.join(ada, bob, group, "provider");
  return {
    groups,
    ada,
    bob,
    group,
    claim: (ownerId, models) => claimModels(groups, { groupId: group.id, ownerId, models }),
    [Symbol.asyncDispose]: () => groups[Symbol.asyncDispose](),
  };
}
