import assert from "node:assert/strict";
import { test } from "node:test";

import type { AppError } from "../errors.ts";
import { type Actor, OPERATOR, type UserActor } from "../identity/actor.ts";
import type { UserRole } from "../store/access-schema.ts";
import { auditRecords } from "../store/audit-store.ts";
import { createAccessToken } from "./access-tokens.ts";
import { resetPassword } from "./password-reset.ts";
import { resolveActor } from "./resolve-actor.ts";
import { type TestAccounts, secretIn, testAccounts, visitor } from "./test-accounts.ts";
import {
  changeRole,
  createUserAs,
  disableUser,
  enableUser,
  endSignInsAs,
  findUser,
  getUser,
  listUsers,
  removeSecondFactorAs,
  sendResetLink,
} from "./users.ts";

const ROLES = ["user", "auditor", "admin", "root"] as const;

/** Who may change whom: nobody his equals, but root. */
const MAY_CHANGE: Readonly<Record<UserRole | "operator", readonly UserRole[]>> = {
  user: [],
  auditor: [],
  admin: ["user", "auditor"],
  root: ["user", "auditor", "admin", "root"],
  operator: ["user", "auditor", "admin", "root"],
};

test("whoever changes a user stands above the user, whatever the change", async () => {
  await using accounts = await withEveryRole();
  const { deps } = accounts;
  const changes = {
    "change role": (actor: Actor, id: string) => changeRole(deps, actor, { id, role: "user", version: undefined }),
    disable: (actor: Actor, id: string) => disableUser(deps, actor, { id, version: undefined }),
    enable: (actor: Actor, id: string) => enableUser(deps, actor, { id, version: undefined }),
    "end sign-ins": (actor: Actor, id: string) => endSignInsAs(deps, actor, id),
    "remove second factor": (actor: Actor, id: string) => removeSecondFactorAs(deps, actor, id),
    "send reset link": (actor: Actor, id: string) => sendResetLink(deps, actor, id),
  };
  for (const [what, change] of Object.entries(changes)) {
    for (const by of [...ROLES, "operator"] as const) {
      for (const role of ROLES) {
        const actor = by === "operator" ? OPERATOR : await accounts.actor(by);
        const target = await accounts.another(role);
        const outcome = await outcomeOf(change(actor, target));
        assert.equal(outcome, MAY_CHANGE[by].includes(role) ? "done" : "forbidden", `${by}: ${what} of ${role}`);
      }
    }
  }
});

test("nobody gives a role that he does not stand above, but root", async () => {
  await using accounts = await withEveryRole();
  const { deps } = accounts;
  for (const by of [...ROLES, "operator"] as const) {
    for (const role of ROLES) {
      const actor = by === "operator" ? OPERATOR : await accounts.actor(by);
      const id = await accounts.another("user");
      const given = await outcomeOf(changeRole(deps, actor, { id, role, version: undefined }));
      const email = `${by}-${role}@example.com`;
      const made = await outcomeOf(createUserAs(deps, actor, { email, name: "", role }));
      const expected = MAY_CHANGE[by].includes(role) ? "done" : "forbidden";
      assert.deepEqual([given, made], [expected, expected], `${by} gives ${role}`);
    }
  }
});

test("an administrator cannot become root: not by himself, not by root's password, not by what he is shown", async () => {
  await using accounts = await withEveryRole();
  const { deps } = accounts;
  const admin = await accounts.actor("admin");
  const root = await accounts.reload({ email: "root@hub.example" });
  const self = { id: admin.user.id, version: undefined };

  for (const role of ["admin", "root", "user"] as const) {
    assert.equal(await outcomeOf(changeRole(deps, admin, { ...self, role })), "forbidden");
  }
  assert.equal(await outcomeOf(sendResetLink(deps, admin, root.id)), "forbidden");
  assert.equal(await outcomeOf(removeSecondFactorAs(deps, admin, root.id)), "forbidden");
  assert.deepEqual(await accounts.mails(), []);
  // W-33: the original's list of users had everybody's access token in it.
  const token = await createAccessToken(deps, await accounts.actor("root"), {
    name: "t",
    scopes: ["account"],
    expiresAtMs: undefined,
  });
  const shown = JSON.stringify([
    await listUsers(deps, admin, {}, { limit: 100 }),
    await getUser(deps, admin, root.id),
    await findUser(deps, admin, root.email),
  ]);
  assert.doesNotMatch(shown, /argon2|hash"|secret|token/i);
  assert.ok(!shown.includes(token.secret));
  assert.deepEqual(Object.keys(root).toSorted(), [
    "createdAtMs",
    "disabledAtMs",
    "email",
    "emailVerifiedAtMs",
    "hasPassword",
    "hasSecondFactor",
    "id",
    "name",
    "role",
    "version",
  ]);
});

test("a link for a new password goes to the user's mailbox, never to the administrator; the operator's command gets it", async () => {
  await using accounts = await withEveryRole();
  const { deps } = accounts;
  const ben = await accounts.user("ben@example.com");

  const answer = await sendResetLink(deps, await accounts.actor("admin"), ben.id);
  const [mail] = await accounts.mails();
  const { link } = await sendResetLink(deps, OPERATOR, ben.id);

  assert.deepEqual(answer, { link: undefined });
  assert.equal(mail?.to, "ben@example.com");
  await resetPassword(deps, visitor(), { token: secretIn(mail), password: "another good password" });
  assert.match(link ?? "", /^https:\/\/hub\.example\/reset-password#[\w-]{43}$/);
});

test("users are seen by auditors and above, and by themselves", async () => {
  await using accounts = await withEveryRole();
  const { deps } = accounts;
  const user = await accounts.actor("user");
  const other = await accounts.another("user");

  assert.equal(await outcomeOf(listUsers(deps, user, {}, { limit: 1 })), "forbidden");
  assert.equal(await outcomeOf(getUser(deps, user, other)), "not_found");
  assert.equal((await getUser(deps, user, user.user.id)).id, user.user.id);
  assert.equal(await outcomeOf(findUser(deps, user, other)), "forbidden");
  for (const role of ["auditor", "admin", "root"] as const) {
    const actor = await accounts.actor(role);
    assert.equal((await getUser(deps, actor, other)).id, other);
    assert.equal((await listUsers(deps, actor, { role: "root" }, { limit: 5 })).length, 1);
  }
});

test("disabling ends sign-ins at once, refuses tokens, and enabling lets the user sign in again", async () => {
  await using accounts = await withEveryRole();
  const { deps } = accounts;
  const ben = await accounts.user("ben@example.com");
  const signedIn = await accounts.signIn(ben.email);
  const { secret } = await createAccessToken(deps, await accounts.as(signedIn), {
    name: "script",
    scopes: ["account"],
    expiresAtMs: undefined,
  });
  const byToken = (): Promise<UserActor | undefined> =>
    resolveActor({ ...deps, cookies: accounts.cookies }, { authorization: `Bearer ${secret}` }, "");
  const admin = await accounts.actor("admin");
  assert.ok(await byToken());

  const disabled = await disableUser(deps, admin, { id: ben.id, version: 1 });
  assert.equal(await accounts.actorOf(signedIn.cookies["sign-in"]), undefined);
  assert.equal(await byToken(), undefined);
  await assert.rejects(accounts.signIn(ben.email), { code: "forbidden" });

  assert.equal(await outcomeOf(enableUser(deps, admin, { id: ben.id, version: 1 })), "precondition_failed");
  await enableUser(deps, admin, { id: ben.id, version: disabled.version });
  assert.equal(await accounts.actorOf(signedIn.cookies["sign-in"]), undefined);
  assert.ok(await accounts.signIn(ben.email));
  assert.ok(await byToken());
});

test("a change of role ends sign-ins and tokens", async () => {
  await using accounts = await withEveryRole();
  const { deps } = accounts;
  const ben = await accounts.user("ben@example.com", { role: "admin" });
  const signedIn = await accounts.signIn(ben.email);
  const actor = await accounts.as(signedIn);
  const { secret } = await createAccessToken(deps, actor, { name: "s", scopes: ["account"], expiresAtMs: undefined });

  await changeRole(deps, await accounts.actor("root"), { id: ben.id, role: "user", version: 1 });

  assert.equal(await accounts.actorOf(signedIn.cookies["sign-in"]), undefined);
  const headers = { authorization: `Bearer ${secret}` };
  assert.equal(await resolveActor({ ...deps, cookies: accounts.cookies }, headers, ""), undefined);
  // A request of the old sign-in that was on its way already.
  assert.equal(
    await outcomeOf(disableUser(deps, actor, { id: await accounts.another("user"), version: undefined })),
    "forbidden",
  );
});

test("the last root stays, also when two roots go for each other at once", async () => {
  await using accounts = await withEveryRole();
  const { deps } = accounts;
  const root = await accounts.actor("root");
  const own = { id: root.user.id, version: undefined };

  for (const by of [root, OPERATOR]) {
    assert.equal(await outcomeOf(changeRole(deps, by, { ...own, role: "user" })), "conflict");
    assert.equal(await outcomeOf(disableUser(deps, by, own)), "conflict");
  }
  const second = await accounts.user("second@example.com", { role: "root" });
  const other = await accounts.as(await accounts.signIn(second.email));
  const outcomes = await Promise.all([
    outcomeOf(changeRole(deps, root, { id: second.id, role: "user", version: undefined })),
    outcomeOf(changeRole(deps, other, { ...own, role: "user" })),
  ]);
  assert.deepEqual(outcomes.toSorted(), ["done", "forbidden"]);
  assert.equal((await listUsers(deps, OPERATOR, { role: "root" }, { limit: 5 })).length, 1);
});

test("a token disables users with its scope, but gives no roles and sends no links", async () => {
  await using accounts = await withEveryRole();
  const { deps } = accounts;
  const root = await accounts.actor("root");
  const byToken: UserActor = { ...root, via: { kind: "token", id: "token_1", scopes: ["users:write"] } };
  const id = await accounts.another("user");

  assert.equal(await outcomeOf(disableUser(deps, byToken, { id, version: undefined })), "done");
  assert.equal(await outcomeOf(enableUser(deps, byToken, { id, version: undefined })), "done");
  assert.equal(await outcomeOf(changeRole(deps, byToken, { id, role: "admin", version: undefined })), "forbidden");
  assert.equal(await outcomeOf(sendResetLink(deps, byToken, id)), "forbidden");
  assert.equal(await outcomeOf(removeSecondFactorAs(deps, byToken, id)), "forbidden");
  assert.equal(await outcomeOf(createUserAs(deps, byToken, { email: "a@b.c", name: "", role: "admin" })), "forbidden");
  assert.equal(await outcomeOf(createUserAs(deps, byToken, { email: "a@b.c", name: "", role: "user" })), "done");
});

test("what is dangerous needs a sign-in that was confirmed lately", async () => {
  await using accounts = await withEveryRole();
  const { deps } = accounts;
  const root = await accounts.actor("root");
  const id = await accounts.another("user");
  accounts.pass(16 * 60_000);

  assert.equal(
    await outcomeOf(changeRole(deps, root, { id, role: "admin", version: undefined })),
    "confirmation_required",
  );
  assert.equal(await outcomeOf(sendResetLink(deps, root, id)), "confirmation_required");
  assert.equal(await outcomeOf(removeSecondFactorAs(deps, root, id)), "confirmation_required");
});

test("who did what to whom is in the audit log", async () => {
  await using accounts = await withEveryRole();
  const ben = await accounts.user("ben@example.com");
  const admin = await accounts.actor("admin");
  await changeRole(accounts.deps, admin, { id: ben.id, role: "auditor", version: undefined });

  const [entry] = await auditRecords(accounts.deps.database.db, { action: "user.change-role" }, { limit: 1 });

  assert.deepEqual(
    [entry?.actorName, entry?.objectId, entry?.before, entry?.after, entry?.address],
    ["admin@example.com", ben.id, { role: "user" }, { role: "auditor" }, "192.0.2.1"],
  );
});

interface WithRoles extends TestAccounts {
  /** Somebody of that role, freshly signed in. */
  actor(role: UserRole): Promise<UserActor>;
  /** The id of a new user of that role. */
  another(role: UserRole): Promise<string>;
}

async function withEveryRole(): Promise<WithRoles> {
  const accounts = await testAccounts();
  const actors = new Map<UserRole, UserActor>([["root", await accounts.as(await accounts.root())]]);
  for (const role of ["user", "auditor", "admin"] as const) {
    await accounts.user(`${role}@example.com`, { role });
    actors.set(role, await accounts.as(await accounts.signIn(`${role}@example.com`)));
  }
  let count = 0;
  return {
    ...accounts,
    actor: async (role) => actors.get(role) ?? assert.fail(role),
    another: async (role) => {
      count += 1;
      return (await accounts.user(`target${count}@example.com`, { role })).id;
    },
  };
}

async function outcomeOf(change: Promise<unknown>): Promise<string> {
  try {
    await change;
    return "done";
  } catch (thrown) {
    return (thrown as AppError).code;
  }
}
