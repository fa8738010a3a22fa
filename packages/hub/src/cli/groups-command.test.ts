import assert from "node:assert/strict";
import { test } from "node:test";

import { temporaryFolder } from "../temporary-folder.ts";
import { runCli } from "./cli.ts";
import { failureOf } from "./failure.ts";

/** The command line on a data folder of its own, each command a second after the one before. */
function commandLine(folder: { readonly path: string }, publicUrl = "https://hub.example") {
  let nowMs = Date.UTC(2026, 0, 1);
  return async (...argv: string[]): Promise<{ stdout: string; stderr: string }> => {
    const written = { stdout: "", stderr: "" };
    const output = {
      stdout: (text: string) => void (written.stdout += text),
      stderr: (text: string) => void (written.stderr += text),
    };
    const env = { TOKILAKE_DATA_DIR: folder.path, TOKILAKE_PUBLIC_URL: publicUrl };
    nowMs += 1000;
    try {
      await runCli(argv, { env, output, now: () => nowMs });
    } catch (thrown) {
      written.stderr += failureOf(thrown).text;
    }
    return written;
  };
}

test("a group is made for somebody, renamed, looked at, and deleted when that is meant", async () => {
  using folder = temporaryFolder();
  const tokilake = commandLine(folder);
  const { stderr } = await tokilake("users", "create", "ada@example.com", "--name", "Ada");
  const ada = /\((user_\w+)\)/.exec(stderr)?.[1];

  const made = await tokilake("groups", "create", "friends", "--name", "Friends", "--owner", "ada@example.com");
  const id = made.stdout.trim();
  const renamed = await tokilake("groups", "rename", "friends", "pals");
  const list = await tokilake("groups", "list");
  const members = JSON.parse((await tokilake("groups", "members", "pals", "--json")).stdout) as object[];
  const preview = await tokilake("groups", "delete", id);
  const deleted = await tokilake("groups", "delete", id, "--yes");

  assert.match(id, /^group_/);
  assert.equal(made.stderr, "Made the private group friends of ada@example.com.\n");
  assert.equal(renamed.stderr, "friends is called pals now.\n");
  assert.match(list.stdout, new RegExp(`^${id} +pals +Friends +private +${ada} +2026-01-01 00:00$`, "m"));
  assert.match(list.stdout, /^group_operator +operator +Operator +operator +operator +first start$/m);
  assert.deepEqual(members, [
    {
      userId: ada,
      email: "ada@example.com",
      name: "Ada",
      role: "owner",
      status: "active",
      expiresAtMs: null,
      limits: null,
      joinedAtMs: Date.UTC(2026, 0, 1, 0, 0, 2),
    },
  ]);
  assert.match(
    preview.stderr,
    /^Deleting pals ends 0 API keys and 0 invites, and takes the group from 1 member and all workers/,
  );
  assert.equal(deleted.stderr, `Deleted the group pals (${id}).\n`);
  assert.match((await tokilake("groups", "members", "pals")).stderr, /There is no group "pals"/);
});

test("people are put into the operator's groups, removed, banned and forgiven", async () => {
  using folder = temporaryFolder();
  const tokilake = commandLine(folder);
  await tokilake("users", "create", "bob@example.com", "--name", "Bob");
  await tokilake("groups", "create", "all-of-us", "--public");

  const added = await tokilake(
    "groups",
    "add",
    "all-of-us",
    "bob@example.com",
    "--role",
    "provider",
    "--expires",
    "1d",
  );
  const members = await tokilake("groups", "members", "all-of-us");
  const removed = await tokilake("groups", "remove", "all-of-us", "bob@example.com");
  const banned = await tokilake("groups", "ban", "all-of-us", "bob@example.com");
  const refused = await tokilake("groups", "add", "all-of-us", "bob@example.com");
  const unbanned = await tokilake("groups", "unban", "all-of-us", "bob@example.com");

  assert.equal(added.stderr, "bob@example.com is a provider of all-of-us now.\n");
  assert.match(members.stdout, /bob@example\.com +Bob +provider +active +2026-01-02 00:00\n$/);
  assert.equal(removed.stderr, "bob@example.com was removed from all-of-us.\n");
  assert.equal(banned.stderr, "bob@example.com is banned from all-of-us.\n");
  assert.match(refused.stderr, /This user is banned/);
  assert.equal(unbanned.stderr, "bob@example.com may come back to all-of-us, with a new invite.\n");
});

test("an invite's link is all that is on stdout; it is listed by its first characters, and revoked", async () => {
  using folder = temporaryFolder();
  const tokilake = commandLine(folder);
  await tokilake("groups", "create", "friends");

  const made = await tokilake(
    "invites",
    "create",
    "--group",
    "friends",
    "--role",
    "provider",
    "--uses",
    "5",
    "--note",
    "for Bob",
  );
  const toHub = await tokilake("invites", "create", "--expires", "7d");
  const list = await tokilake("invites", "list", "--group", "friends");
  const [json] = JSON.parse((await tokilake("invites", "list", "--json")).stdout) as { id: string; state: string }[];
  const id = /\((invite_\w+)\)/.exec(made.stderr)?.[1] ?? "";
  const uses = await tokilake("invites", "uses", id);
  const revoked = await tokilake("invites", "revoke", id);
  const again = await tokilake("invites", "revoke", id);

  assert.match(made.stdout, /^https:\/\/hub\.example\/join#[0-9A-Z]{4}(-[0-9A-Z]{4}){3}\n$/);
  const code = made.stdout.trim().split("#")[1] ?? "";
  assert.match(made.stderr, /^Made an invite into friends as provider, good 5 times /);
  assert.match(toHub.stderr, /^Made an invite to the hub, good once /);
  assert.match(list.stdout, new RegExp(`^${id} +${code.slice(0, 4)}… +provider +0/5 +open +never +for Bob$`, "m"));
  assert.doesNotMatch(list.stdout, new RegExp(code));
  assert.equal(json?.state, "open");
  assert.equal(uses.stderr, "Nobody used it.\n");
  assert.equal(revoked.stderr, `Revoked the invite ${code.slice(0, 4)}… (${id}), which was used 0 times.\n`);
  assert.equal(again.stderr, revoked.stderr);
});

test("what is typed wrong is said with what would be right", async () => {
  using folder = temporaryFolder();
  const tokilake = commandLine(folder);

  const said = [
    await tokilake("groups", "create", "friends", "--public", "--owner", "ada@example.com"),
    await tokilake("groups", "create", "friends", "--owner", "ada@example.com"),
    await tokilake("groups", "create", "Friends"),
    await tokilake("groups", "members", "nothing"),
    await tokilake("invites", "create", "--role", "owner"),
    await tokilake("invites", "create", "--uses", "0"),
    await tokilake("invites", "create", "--expires", "soon"),
    await tokilake("invites", "create", "--expires", "2020-01-01"),
    await tokilake("invites", "revoke", "invite_none"),
    await tokilake("invites", "list"),
  ].map(({ stderr }) => stderr);

  for (const [index, text] of [
    /--public and --owner do not go together/,
    /There is no user "ada@example\.com"\. See which there are: tokilake users list/,
    /SLUG: must be 3 to 64 lower-case letters/,
    /There is no group "nothing"\. See which there are: tokilake groups list/,
    /--role is provider or member, not "owner"/,
    /--uses is a whole number/,
    /--expires is a day such as 2030-12-31/,
    /--expires: must be a time to come/,
    /There is no such invite/,
    /There are no invites to the hub alone; name a group with --group/,
  ].entries()) {
    assert.match(said[index] ?? "", text);
  }
});

test("an invite's link that opens on this machine alone is said to be one", async () => {
  using folder = temporaryFolder();

  const { stdout, stderr } = await commandLine(folder, "")("invites", "create");

  assert.match(stdout, /^http:\/\/localhost:19981\/join#/);
  assert.match(stderr, /^The link opens on this machine alone; TOKILAKE_PUBLIC_URL says/m);
  assert.doesNotMatch((await commandLine(folder)("invites", "create")).stderr, /TOKILAKE_PUBLIC_URL/);
});
