import assert from "node:assert/strict";
import { test } from "node:test";

import type { UserActor } from "../identity/actor.ts";
import { hashOfSecret } from "../identity/key-secret.ts";
import { auditRecords } from "../store/audit-store.ts";
import type { GroupRecord } from "../store/group-store.ts";
import { findInvite } from "../store/invite-store.ts";
import { keyById } from "../store/key-store.ts";
import { findMembership } from "../store/membership-store.ts";
import {
  confirmJoin,
  joinWorker,
  type PolledDeviceJoin,
  pollDeviceJoin,
  readDeviceJoin,
  refuseJoin,
  startDeviceJoin,
  type StartedDeviceJoin,
} from "./device-joins.ts";
import { GROUP_LIMITS } from "./group-limits.ts";
import type { NewlyMadeInvite } from "./invites.ts";
import { revokeInvite } from "./invites.ts";
import { banMember, removeMember } from "./members.ts";
import { PollPace } from "./poll-pace.ts";
import { codeOf, openTestGroups, type TestGroups } from "./test-groups.ts";

test("a machine without an account gets a key once its person has said yes", async () => {
  await using story = await openStory();
  const { groups, bob, group, invite } = story;

  const started = await story.start();
  const before = await story.poll(started);
  const seen = await readDeviceJoin(groups, bob, started.userCode);
  const confirmed = await confirmJoin(groups, bob, started.userCode.toLowerCase());
  const after = await story.poll(started);

  assert.match(started.userCode, /^[0-9A-Z]{4}-[0-9A-Z]{4}$/);
  assert.equal(started.link, `https://hub.example/join#${invite.code}&machine=${started.userCode}`);
  assert.equal(started.group.id, group.id);
  assert.deepEqual(before, { state: "waiting", pollMs: 3000 });
  assert.deepEqual(
    [seen.machine, seen.address, seen.state, seen.group.slug],
    ["gaming-pc", "198.51.100.7", "waiting", "friends"],
  );
  assert.equal(confirmed.state, "confirmed");
  assert.ok(after.state === "joined");
  assert.match(after.secret, /^wk-[0-9A-Za-z]{43}$/);
  const key = await keyById(groups.database.db, after.keyId);
  assert.deepEqual(
    [key?.kind, key?.ownerId, key?.name, key?.rules, key?.hash],
    ["worker", "user_bob", "gaming-pc", { serveGroups: [group.id] }, hashOfSecret(after.secret)],
  );
  const membership = await findMembership(groups.database.db, { groupId: group.id, userId: "user_bob" });
  assert.equal(membership?.role, "provider");
});

test("the key is handed out once, however many ask at once", async () => {
  await using story = await openStory();
  const { groups, bob } = story;
  const started = await story.start();
  await confirmJoin(groups, bob, started.userCode);

  // Two hubs on one database: each has its own pace.
  const answers = await Promise.all([1, 2, 3].map(() => codeOf(story.pollElsewhere(started))));

  assert.deepEqual(answers.toSorted(), ["none", "not_found", "not_found"]);
  assert.equal((await groups.database.db.selectFrom("keys").select("id").execute()).length, 1);
  assert.equal(await codeOf(story.poll(started)), "not_found");
});

test("starting takes no use of the invite; saying yes does", async () => {
  await using story = await openStory();
  const { groups, bob, invite } = story;
  const uses = async (): Promise<number | undefined> =>
    (await findInvite(groups.database.db, { id: invite.invite.id }))?.uses;

  const started = await story.start();
  const before = await uses();
  await confirmJoin(groups, bob, started.userCode);

  assert.deepEqual([before, await uses()], [0, 1]);
});

test("who used the invite up may join with another machine; nobody else", async () => {
  await using story = await openStory({ maxUses: 1 });
  const { groups, bob } = story;
  const cyd = await groups.user("cyd");
  await confirmJoin(groups, bob, (await story.start()).userCode);
  const second = await story.start();

  assert.equal(await codeOf(confirmJoin(groups, cyd, second.userCode)), "invite_ended");
  assert.equal(await codeOf(confirmJoin(groups, bob, second.userCode)), "none");
  assert.equal((await story.poll(second)).state, "joined");
});

test("no machine waits with a code that is wrong or ended, or that lets nobody serve", async () => {
  await using story = await openStory();
  const { groups, ada, group } = story;
  const forMembers = await groups.invite(ada, group, { role: "member" });
  const ended = await groups.invite(ada, group, { role: "provider" });
  await revokeInvite(groups, ada, ended.invite.id);
  const start = (code: string, machine = "pc"): Promise<string> =>
    codeOf(startDeviceJoin(groups, { code, machine, address: "198.51.100.7" }));

  assert.equal(await start("0000-0000-0000-0000"), "not_found");
  assert.equal(await start(ended.code), "invite_ended");
  assert.equal(await start(forMembers.code), "conflict");
  assert.equal(await start(story.invite.code, " "), "invalid_request machine");
  assert.equal(await start(story.invite.code, "pc\u001b[2J"), "invalid_request machine");
});

test("a machine asks no more often than it is told", async () => {
  await using story = await openStory();
  const started = await story.start();
  const ask = (): Promise<string> =>
    codeOf(pollDeviceJoin(story.groups, { secret: started.secret, address: "198.51.100.7" }));

  const first = await ask();
  const tooEarly = await ask();
  story.groups.pass(2999);
  const stillTooEarly = await ask();
  story.groups.pass(1);

  assert.deepEqual(
    [first, tooEarly, stillTooEarly, await ask()],
    ["none", "rate_limit_exceeded", "rate_limit_exceeded", "none"],
  );
});

test("after ten minutes nobody can say yes, and the machine is told to start again", async () => {
  await using story = await openStory();
  const { groups, bob } = story;
  const started = await story.start();
  const confirmedLate = await story.start();
  await confirmJoin(groups, bob, confirmedLate.userCode);

  groups.pass(600_000);

  assert.equal(started.expiresAtMs, groups.now());
  assert.equal(await codeOf(confirmJoin(groups, bob, started.userCode)), "not_found");
  assert.equal(await codeOf(readDeviceJoin(groups, bob, started.userCode)), "not_found");
  assert.equal(await codeOf(story.poll(started)), "not_found");
  assert.equal(await codeOf(story.poll(confirmedLate)), "not_found");
});

test("a machine is answered once: yes or no", async () => {
  await using story = await openStory();
  const { groups, bob } = story;
  const [yes, no] = [await story.start(), await story.start()];

  await confirmJoin(groups, bob, yes.userCode);
  await refuseJoin(groups, bob, no.userCode);

  assert.deepEqual(await story.poll(no), { state: "refused" });
  for (const { userCode } of [yes, no]) {
    assert.equal(await codeOf(confirmJoin(groups, bob, userCode)), "conflict");
    assert.equal(await codeOf(refuseJoin(groups, bob, userCode)), "conflict");
  }
  assert.equal((await readDeviceJoin(groups, bob, no.userCode)).state, "refused");
});

test("a yes that the invite does not allow leaves the machine waiting", async () => {
  await using story = await openStory();
  const { groups, ada, bob, group } = story;
  await banMember(groups, ada, { groupId: group.id, userId: "user_bob" });
  const started = await story.start();

  assert.equal(await codeOf(confirmJoin(groups, bob, started.userCode)), "forbidden");
  assert.equal((await story.poll(started)).state, "waiting");
  assert.equal(await codeOf(confirmJoin(groups, ada, started.userCode)), "none");
  assert.equal((await story.poll(started)).state, "joined");
});

test("who was removed between yes and the key gets none, and no key is left behind", async () => {
  await using story = await openStory();
  const { groups, ada, bob, group } = story;
  const started = await story.start();
  await confirmJoin(groups, bob, started.userCode);
  await removeMember(groups, ada, { groupId: group.id, userId: "user_bob" });

  assert.equal(await codeOf(story.poll(started)), "forbidden");
  assert.deepEqual(await groups.database.db.selectFrom("keys").select("id").execute(), []);
});

test("guessing the short code is limited", async () => {
  await using story = await openStory();
  const { groups, bob } = story;
  const tries: string[] = [];
  for (let i = 0; i < 11; i += 1) tries.push(await codeOf(confirmJoin(groups, bob, "0000-0000")));

  assert.deepEqual(tries, [...Array(10).fill("not_found"), "rate_limit_exceeded"]);
});

test("only so many machines wait, of one address and with one invite", async () => {
  await using story = await openStory();
  const { groups, invite } = story;
  const start = (address: string): Promise<string> =>
    codeOf(startDeviceJoin(groups, { code: invite.code, machine: "pc", address }));
  const { maxDeviceJoinsPerAddress, maxDeviceJoinsPerInvite } = GROUP_LIMITS;

  const ofOne: string[] = [];
  for (let i = 0; i <= maxDeviceJoinsPerAddress; i += 1) ofOne.push(await start("2001:db8::1"));
  const sameNetwork = await start("2001:db8::2");
  for (let i = maxDeviceJoinsPerAddress; i < maxDeviceJoinsPerInvite; i += 1) await start(`198.51.100.${i}`);
  const ofInvite = await start("203.0.113.1");
  groups.pass(600_000);

  assert.deepEqual(ofOne, [...Array(maxDeviceJoinsPerAddress).fill("none"), "rate_limit_exceeded"]);
  assert.deepEqual(
    [sameNetwork, ofInvite, await start("203.0.113.1")],
    ["rate_limit_exceeded", "rate_limit_exceeded", "none"],
  );
});

test("with an account's token a machine joins in one step", async () => {
  await using story = await openStory();
  const { groups, bob, group, invite } = story;

  const joined = await joinWorker(groups, bob, { code: invite.code, machine: "rack" });
  const second = await joinWorker(groups, bob, { code: invite.code, machine: "rack 2" });

  assert.equal(joined.group.id, group.id);
  const keys = await groups.database.db.selectFrom("keys").selectAll().orderBy("name").execute();
  assert.deepEqual(
    keys.map(({ id, name, owner_id: owner }) => [id, name, owner]),
    [
      [joined.keyId, "rack", "user_bob"],
      [second.keyId, "rack 2", "user_bob"],
    ],
  );
  assert.equal((await findInvite(groups.database.db, { id: invite.invite.id }))?.uses, 1);
  assert.equal(await codeOf(joinWorker(groups, bob, { code: "0000-0000-0000-0000", machine: "x" })), "not_found");
});

test("who said yes to which machine is written down, without any secret", async () => {
  await using story = await openStory();
  const { groups, bob } = story;
  const started = await story.start();
  await confirmJoin(groups, bob, started.userCode);
  const joined = await story.poll(started);
  assert.ok(joined.state === "joined");

  const records = await auditRecords(groups.database.db, {}, { limit: 100 });

  const confirm = records.find(({ action }) => action === "device-join.confirm");
  assert.deepEqual([confirm?.actorId, confirm?.after], ["user_bob", { machine: "gaming-pc", address: "198.51.100.7" }]);
  const made = records.find(({ action }) => action === "key.create");
  assert.deepEqual([made?.actorKind, made?.requestId, made?.objectId], ["hub", "req_1", joined.keyId]);
  assert.equal(made?.after?.["owner_id"], "user_bob");
  const text = JSON.stringify(records);
  for (const secret of [started.secret, started.userCode, joined.secret, story.invite.code]) {
    assert.ok(!text.includes(secret));
  }
});

interface Story extends AsyncDisposable {
  readonly groups: TestGroups;
  readonly ada: UserActor;
  readonly bob: UserActor;
  readonly group: GroupRecord;
  readonly invite: NewlyMadeInvite;
  start(): Promise<StartedDeviceJoin>;
  /** After as long as a machine must wait. */
  poll(started: StartedDeviceJoin): Promise<PolledDeviceJoin>;
  /** At another hub of the same database. */
  pollElsewhere(started: StartedDeviceJoin): Promise<PolledDeviceJoin>;
}

/** Ada owns a group and made an invite for providers; Bob is a user. */
async function openStory(input: { readonly maxUses?: number } = {}): Promise<Story> {
  const groups = await openTestGroups();
  const ada = await groups.user("ada");
  const bob = await groups.user("bob");
  const group = await groups.group(ada);
  const invite = await groups.invite(ada, group, { role: "provider", ...input });
  const asked = ({ secret }: StartedDeviceJoin) => ({ secret, address: "198.51.100.7", requestId: "req_1" });
  return {
    groups,
    ada,
    bob,
    group,
    invite,
    start: () => startDeviceJoin(groups, { code: invite.code, machine: "gaming-pc", address: "198.51.100.7" }),
    poll: (started) => {
      groups.pass(GROUP_LIMITS.devicePollMs);
      return pollDeviceJoin(groups, asked(started));
    },
    pollElsewhere: (started) => pollDeviceJoin({ ...groups, pace: new PollPace(groups.now) }, asked(started)),
    [Symbol.asyncDispose]: () => groups[Symbol.asyncDispose](),
  };
}
