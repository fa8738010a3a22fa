import assert from "node:assert/strict";
import { test } from "node:test";

import { temporaryFolder } from "../temporary-folder.ts";
import { runCli } from "./cli.ts";
import { failureOf } from "./failure.ts";

/** The command line on a data folder of its own. */
function commandLine(folder: { readonly path: string }) {
  return async (...argv: string[]): Promise<{ stdout: string; stderr: string }> => {
    const written = { stdout: "", stderr: "" };
    const output = {
      stdout: (text: string) => void (written.stdout += text),
      stderr: (text: string) => void (written.stderr += text),
    };
    try {
      await runCli(argv, { env: { TOKILAKE_DATA_DIR: folder.path }, output, now: () => Date.UTC(2026, 0, 1) });
    } catch (thrown) {
      written.stderr += failureOf(thrown).text;
    }
    return written;
  };
}

test("a user is made, found, given a role, kept out and let in again", async () => {
  using folder = temporaryFolder();
  const tokilake = commandLine(folder);

  const made = await tokilake("users", "create", "Ada@Example.com", "--name", "Ada");
  const id = /\((user_\w+)\)/.exec(made.stderr)?.[1] ?? "";
  const link = await tokilake("users", "reset-link", id);
  const again = await tokilake("users", "create", "ada@example.com");
  const role = await tokilake("users", "role", "ada@example.com", "admin");
  const disabled = await tokilake("users", "disable", id);
  const list = await tokilake("users", "list");
  const enabled = await tokilake("users", "enable", "ada@example.com");
  const json = JSON.parse((await tokilake("users", "list", "--json", "--role", "admin")).stdout) as object[];

  assert.equal(made.stderr, `Made the user ada@example.com (${id}). Whoever opens this link chooses the password:\n`);
  for (const { stdout } of [made, link]) {
    assert.match(stdout, /^http:\/\/localhost:19981\/reset-password#[\w-]{43}\n$/);
  }
  assert.match(again.stderr, /There is a user with this e-mail address already/);
  assert.equal(role.stderr, "ada@example.com has the role admin now.\n");
  assert.equal(disabled.stderr, "ada@example.com is disabled.\n");
  assert.equal(
    list.stdout,
    "ID                                     E-MAIL           NAME  ROLE   CREATED           STATUS\n" +
      `${id}  ada@example.com  Ada   admin  2026-01-01 00:00  disabled\n`,
  );
  assert.equal(enabled.stderr, "ada@example.com is enabled.\n");
  assert.deepEqual(json, [
    {
      id,
      email: "ada@example.com",
      name: "Ada",
      role: "admin",
      hasPassword: false,
      hasSecondFactor: false,
      createdAtMs: Date.UTC(2026, 0, 1),
      emailVerifiedAtMs: null,
      disabledAtMs: null,
    },
  ]);
});

test("each mistake about users is said with the next step", async () => {
  using folder = temporaryFolder();
  const tokilake = commandLine(folder);
  const said = async (...argv: string[]): Promise<string> => (await tokilake(...argv)).stderr;

  assert.match(await said("users"), /^tokilake: users what\? It is tokilake users list, users create, .* or users /);
  assert.match(await said("users", "role", "a@b.c"), /Which one\? tokilake users role ID\|EMAIL ROLE/);
  assert.match(await said("users", "role", "a@b.c", "king"), /one of root, admin, auditor, user, not "king"/);
  assert.match(await said("users", "disable", "nobody@example.com"), /There is no user "nobody@example\.com"/);
  assert.match(await said("users", "list", "--kind", "api"), /--kind does not belong to tokilake users list/);
  assert.equal(await said("users", "list"), "There are no such users.\n");
});

test("help on a noun has its part only", async () => {
  using folder = temporaryFolder();
  const tokilake = commandLine(folder);

  const { stdout } = await tokilake("users", "--help");

  assert.match(stdout, /users role ID\|EMAIL ROLE/);
  assert.doesNotMatch(stdout, /keys create/);
});
