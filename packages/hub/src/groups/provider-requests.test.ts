import assert from "node:assert/strict";
import { test } from "node:test";

import { OPERATOR, type UserActor } from "../identity/actor.ts";
import type { GroupRecord } from "../store/group-store.ts";
import { countOpenProviderRequests } from "../store/provider-request-store.ts";
import { deleteGroup } from "./delete-group.ts";
import { GROUP_LIMITS } from "./group-limits.ts";
import { createGroup } from "./groups.ts";
import { mayServe } from "./may-serve.ts";
import { banMember, leaveGroup, removeMember, updateMember } from "./members.ts";
import { decideRequest, listProviderRequests, requestToServe } from "./provider-requests.ts";
import { codeOf, openTestGroups, type TestGroups } from "./test-groups.ts";

const PAGE = { limit: 100 };

test("serving into a public group is asked for by a user and approved by whoever runs the hub", async () => {
  await using story = await openStory();
  const { groups, bob, admin, open } = story;
  const serves = (): Promise<boolean> =>
    mayServe(groups.database.db, { userId: "user_bob", groupId: open.id }, groups.now());

  const request = await requestToServe(groups, bob, { groupId: open.id, note: "two 4090s" });
  const before = await serves();
  const listed = await listProviderRequests(groups, admin, open.id, PAGE);
  const decided = await decideRequest(groups, admin, { groupId: open.id, id: request.id, decision: "approved" });

  assert.deepEqual(
    listed.map(({ id, email, note }) => [id, email, note]),
    [[request.id, "bob@example.com", "two 4090s"]],
  );
  assert.deepEqual([decided.decision, decided.decidedBy], ["approved", "user_admin"]);
  assert.deepEqual([before, await serves()], [false, true]);
  assert.equal(await codeOf(requestToServe(groups, bob, { groupId: open.id, note: "" })), "conflict");
  assert.deepEqual(await listProviderRequests(groups, admin, open.id, PAGE), []);
});

test("nobody approves their own request, nor sees those of others", async () => {
  await using story = await openStory();
  const { groups, bob, open } = story;
  const cyd = await groups.user("cyd");
  const { id } = await requestToServe(groups, bob, { groupId: open.id, note: "" });
  const decide = (actor: UserActor, decision: "approved" | "refused"): Promise<string> =>
    codeOf(decideRequest(groups, actor, { groupId: open.id, id, decision }));

  assert.equal(await decide(bob, "approved"), "forbidden");
  assert.equal(await decide(cyd, "approved"), "not_found");
  assert.equal(await decide(cyd, "refused"), "not_found");
  assert.equal(await codeOf(listProviderRequests(groups, bob, open.id, PAGE)), "forbidden");
  assert.equal(await mayServe(groups.database.db, { userId: "user_bob", groupId: open.id }, groups.now()), false);
});

test("a request is taken back by who made it, and may be made again", async () => {
  await using story = await openStory();
  const { groups, bob, admin, open } = story;
  const { id } = await requestToServe(groups, bob, { groupId: open.id, note: "" });
  const asked = { groupId: open.id, id, decision: "refused" } as const;

  const twice = await codeOf(requestToServe(groups, bob, { groupId: open.id, note: "" }));
  await decideRequest(groups, bob, asked);

  assert.equal(twice, "conflict");
  assert.equal(await codeOf(decideRequest(groups, admin, asked)), "conflict");
  assert.equal(await codeOf(requestToServe(groups, bob, { groupId: open.id, note: "" })), "none");
});

test("a private group is asked by its members only, and its owner decides", async () => {
  await using story = await openStory();
  const { groups, bob } = story;
  const ada = await groups.user("ada");
  const group = await groups.group(ada);
  const asked = { groupId: group.id, note: "" };

  const asStranger = await codeOf(requestToServe(groups, bob, asked));
  await groups.join(ada, bob, group);
  const { id } = await requestToServe(groups, bob, asked);
  await decideRequest(groups, ada, { groupId: group.id, id, decision: "approved" });

  assert.equal(asStranger, "not_found");
  assert.equal(await mayServe(groups.database.db, { userId: "user_bob", groupId: group.id }, groups.now()), true);
});

test("who is no member any more is not brought back by the request", async () => {
  await using story = await openStory();
  const { groups, bob } = story;
  const ada = await groups.user("ada");
  const group = await groups.group(ada);
  await groups.join(ada, bob, group);
  const { id } = await requestToServe(groups, bob, { groupId: group.id, note: "" });
  const bobs = { groupId: group.id, userId: "user_bob" };
  const soon = { expiresAtMs: groups.now() + 1 };
  await updateMember(groups, ada, { key: bobs, version: undefined, patch: soon });
  groups.pass(1);
  const approval = { groupId: group.id, id, decision: "approved" } as const;

  assert.equal(await codeOf(decideRequest(groups, ada, approval)), "conflict");
  assert.equal(await codeOf(decideRequest(groups, ada, { ...approval, decision: "refused" })), "none");
});

test("a request ends with the group, and when its user leaves, is removed or banned: nobody could take it back", async () => {
  await using story = await openStory();
  const { groups, bob } = story;
  const ada = await groups.user("ada");
  const ends: readonly ((group: GroupRecord) => Promise<unknown>)[] = [
    (group) => leaveGroup(groups, bob, group.id),
    (group) => removeMember(groups, ada, { groupId: group.id, userId: "user_bob" }),
    (group) => banMember(groups, ada, { groupId: group.id, userId: "user_bob" }),
    (group) => deleteGroup(groups, ada, { groupId: group.id, version: undefined }),
  ];
  groups.settings.maxGroupsPerUser = ends.length;
  const waiting: number[] = [];

  for (const [index, end] of ends.entries()) {
    const group = await groups.group(ada, `friends-${index}`);
    await groups.join(ada, bob, group);
    await requestToServe(groups, bob, { groupId: group.id, note: "" });
    await end(group);
    waiting.push(await countOpenProviderRequests(groups.database.db, { userId: "user_bob" }));
  }

  assert.deepEqual(waiting, [0, 0, 0, 0]);
});

test("a request of another group is not to be found, and who is banned asks for nothing", async () => {
  await using story = await openStory();
  const { groups, bob, admin, open } = story;
  const ada = await groups.user("ada");
  const group = await groups.group(ada);
  const { id } = await requestToServe(groups, bob, { groupId: open.id, note: "" });

  const elsewhere = { groupId: group.id, id, decision: "approved" } as const;
  assert.equal(await codeOf(decideRequest(groups, ada, elsewhere)), "not_found");
  await banMember(groups, admin, { groupId: open.id, userId: "user_bob" });
  assert.equal(await codeOf(requestToServe(groups, bob, { groupId: open.id, note: "" })), "not_found");
  const approval = { groupId: open.id, id, decision: "approved" } as const;
  assert.equal(await codeOf(decideRequest(groups, admin, approval)), "not_found");
});

test("only so many requests of a user wait", async () => {
  await using story = await openStory();
  const { groups, bob } = story;
  const outcomes: string[] = [];
  for (let i = 0; i <= GROUP_LIMITS.maxRequestsPerUser; i += 1) {
    const group = await createGroup(groups, OPERATOR, { kind: "public", slug: `public-${i}`, name: "x" });
    outcomes.push(await codeOf(requestToServe(groups, bob, { groupId: group.id, note: "" })));
  }

  assert.deepEqual(outcomes, [...Array(GROUP_LIMITS.maxRequestsPerUser).fill("none"), "conflict"]);
});

interface Story extends AsyncDisposable {
  readonly groups: TestGroups;
  readonly bob: UserActor;
  readonly admin: UserActor;
  readonly open: GroupRecord;
}

/** A public group, somebody who runs the hub, and Bob. */
async function openStory(): Promise<Story> {
  const groups = await openTestGroups();
  const bob = await groups.user("bob");
  const admin = await groups.user("admin", "admin");
  const open = await createGroup(groups, admin, { kind: "public", slug: "all-of-us", name: "All" });
  return { groups, bob, admin, open, [Symbol.asyncDispose]: () => groups[Symbol.asyncDispose]() };
}
