import assert from "node:assert/strict";
import { test } from "node:test";

import { auditRecords } from "../store/audit-store.ts";
import { rootsOf } from "../store/user-store.ts";
import { register } from "./registration.ts";
import { firstRun, setUp } from "./set-up.ts";
import { PASSWORD, type TestAccounts, testAccounts, visitor } from "./test-accounts.ts";

const ROOT = { email: "Root@Hub.example", password: PASSWORD, name: "Root" };

test("a new hub has nobody and no password, but a link for whoever sees its log", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;

  const run = await firstRun(deps, undefined);

  assert.match(run.is === "link" ? run.link : "", /^https:\/\/hub\.example\/set-up#[\w-]{43}$/);
  assert.equal(await rootsOf(deps.database.db), 0);
  const kept = JSON.stringify(await deps.database.db.selectFrom("one_time_links").selectAll().execute());
  assert.ok(run.is === "link" && !kept.includes(run.link.slice(-43)));
});

test("the link makes the root, who is signed in, and works once", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;
  const token = await tokenOf(accounts);

  const signedIn = await setUp(deps, visitor(), { token, ...ROOT });

  const { user } = await accounts.as(signedIn);
  assert.deepEqual([user.email, user.role, user.isEmailVerified], ["root@hub.example", "root", true]);
  await assert.rejects(setUp(deps, visitor(), { token, ...ROOT }), { code: "invalid_request", param: "token" });
  assert.deepEqual(await firstRun(deps, undefined), { is: "done" });
  const actions = (await auditRecords(deps.database.db, {}, { limit: 10 })).map(({ action }) => action);
  assert.deepEqual(actions.toSorted(), ["sign-in.create", "user.create"]);
});

test("of two that set the hub up at once, one becomes root", async () => {
  await using accounts = await testAccounts();
  const token = await tokenOf(accounts);

  const outcomes = await Promise.allSettled(
    ["ann@example.com", "eve@example.com", "ben@example.com"].map((email) =>
      setUp(accounts.deps, visitor(), { ...ROOT, token, email }),
    ),
  );

  assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
  assert.equal(await rootsOf(accounts.deps.database.db), 1);
});

test("the link of an earlier start, an old one and a guessed one do nothing", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;
  const first = await tokenOf(accounts);
  const second = await tokenOf(accounts);
  const refused = { code: "invalid_request", param: "token" };

  await assert.rejects(setUp(deps, visitor(), { token: first, ...ROOT }), refused);
  await assert.rejects(setUp(deps, visitor(), { token: "A".repeat(43), ...ROOT }), refused);
  assert.deepEqual(accounts.hashed, []);
  accounts.pass(3600 * 1000);
  await assert.rejects(setUp(deps, visitor(), { token: second, ...ROOT }), refused);
  assert.equal(await rootsOf(deps.database.db), 0);
});

test("a password that is no good does not use the link up", async () => {
  await using accounts = await testAccounts();
  const token = await tokenOf(accounts);

  await assert.rejects(setUp(accounts.deps, visitor(), { token, ...ROOT, password: "password" }), {
    param: "password",
  });

  assert.ok(await setUp(accounts.deps, visitor(), { token, ...ROOT }));
});

test("the settings make the root once, and never change one that is there", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;

  const runs = await Promise.all(
    [1, 2, 3].map(() => firstRun(deps, { email: "root@hub.example", password: PASSWORD })),
  );
  const later = await firstRun(deps, { email: "other@hub.example", password: "another good password" });

  assert.deepEqual(runs.map(({ is }) => is).toSorted(), ["done", "done", "root-made"]);
  assert.deepEqual(later, { is: "done" });
  assert.ok(await accounts.signIn("root@hub.example"));
});

test("settings that make no good root are named", async () => {
  await using accounts = await testAccounts();

  for (const bad of [
    { email: "root@hub.example", password: "password" },
    { email: "root", password: PASSWORD },
  ]) {
    await assert.rejects(firstRun(accounts.deps, bad), {
      name: "ConfigError",
      message: /^TOKILAKE_ADMIN_EMAIL or TOKILAKE_ADMIN_PASSWORD: /,
    });
  }
  assert.equal(await rootsOf(accounts.deps.database.db), 0);
});

test("nobody registers before the hub is set up", async () => {
  await using accounts = await testAccounts({ registration: "open" });

  await assert.rejects(register(accounts.deps, visitor(), { ...ROOT, email: "eve@example.com" }), {
    code: "forbidden",
    message: "This hub is not set up yet.",
  });
});

async function tokenOf({ deps }: TestAccounts): Promise<string> {
  const run = await firstRun(deps, undefined);
  return run.is === "link" ? run.link.slice(-43) : "";
}
