import assert from "node:assert/strict";
import { test } from "node:test";

import type { Scope, UserActor } from "../identity/actor.ts";
import { auditRecords } from "../store/audit-store.ts";
import { endSignInsOf } from "../store/sign-in-store.ts";
import { ACCESS_TOKENS, createAccessToken, listAccessTokens, revokeOwnAccessToken } from "./access-tokens.ts";
import { changePassword, ownAccount, renameSelf, requestChangeOfEmail } from "./account.ts";
import { confirmSignIn, signInWithPassword } from "./password-sign-in.ts";
import { verifyEmail } from "./registration.ts";
import { resolveActor } from "./resolve-actor.ts";
import { beginSecondFactor } from "./second-factor.ts";
import { PASSWORD, type TestAccounts, secretIn, testAccounts, visitor } from "./test-accounts.ts";

const EMAIL = "ann@example.com";
const NEW_PASSWORD = "another good password";

test("a changed password ends every other sign-in, and gives this one another secret", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;
  await accounts.user(EMAIL);
  const other = await accounts.signIn(EMAIL);
  const signedIn = await accounts.signIn(EMAIL);

  const secret = await changePassword(deps, await accounts.as(signedIn), NEW_PASSWORD);

  assert.equal(await accounts.actorOf(other.cookies["sign-in"]), undefined);
  assert.equal(await accounts.actorOf(signedIn.cookies["sign-in"]), undefined);
  assert.equal((await accounts.actorOf(secret))?.via.id, signedIn.signIn.id);
  await assert.rejects(accounts.signIn(EMAIL), { code: "unauthenticated" });
  assert.equal(
    (await signInWithPassword(deps, visitor(), { email: EMAIL, password: NEW_PASSWORD })).outcome,
    "signed-in",
  );
  assert.deepEqual(
    (await accounts.mails()).map(({ subject }) => subject),
    ["Your password was changed"],
  );
});

test("a sign-in that ended while the new password was hashed changes nothing", async () => {
  await using accounts = await testAccounts();
  await accounts.user(EMAIL);
  const first = await accounts.as(await accounts.signIn(EMAIL));
  const second = await accounts.as(await accounts.signIn(EMAIL));

  const outcomes = await Promise.allSettled([
    changePassword(accounts.deps, first, NEW_PASSWORD),
    changePassword(accounts.deps, second, "a third good password"),
  ]);

  assert.deepEqual(outcomes.map(({ status }) => status).toSorted(), ["fulfilled", "rejected"]);
});

test("a name is changed by who saw the account as it is", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;
  await accounts.user(EMAIL);
  const ann = await accounts.as(await accounts.signIn(EMAIL));

  const renamed = await renameSelf(deps, ann, { name: "Ann", version: 1 });

  assert.equal(renamed.name, "Ann");
  assert.deepEqual(await ownAccount(deps, ann), renamed);
  await assert.rejects(renameSelf(deps, ann, { name: "Anna", version: 1 }), { code: "precondition_failed" });
});

test("a new address is one once its mailbox was opened, and the old one is told", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;
  await accounts.user(EMAIL);
  await accounts.user("ben@example.com");
  const ann = await accounts.as(await accounts.signIn(EMAIL));

  requestChangeOfEmail(deps, ann, { email: "BEN@example.com" });
  assert.deepEqual(await accounts.mails(), []);
  requestChangeOfEmail(deps, ann, { email: "Ann@New.example" });
  const [mail] = await accounts.mails();
  assert.equal(mail?.to, "ann@new.example");
  assert.equal((await ownAccount(deps, ann)).email, EMAIL);
  await assert.rejects(verifyEmail(deps, visitor(), undefined, { token: secretIn(mail) }), { param: "password" });
  await verifyEmail(deps, visitor(), ann, { token: secretIn(mail) });
  const [entry] = await auditRecords(deps.database.db, { action: "user.verify-email" }, { limit: 1 });
  assert.deepEqual([entry?.actorId, entry?.via], [ann.user.id, `sign-in ${ann.via.id}`]);

  assert.equal((await ownAccount(deps, ann)).email, "ann@new.example");
  const [told] = await accounts.mails();
  assert.deepEqual([told?.to, told?.subject], [EMAIL, "Your e-mail address was changed"]);
});

test("an address that somebody else took meanwhile is refused", async () => {
  await using accounts = await testAccounts();
  await accounts.user(EMAIL);
  const ann = await accounts.as(await accounts.signIn(EMAIL));
  requestChangeOfEmail(accounts.deps, ann, { email: "new@example.com" });
  const [mail] = await accounts.mails();
  await accounts.user("new@example.com");

  await assert.rejects(verifyEmail(accounts.deps, visitor(), ann, { token: secretIn(mail) }), { code: "conflict" });
});

test("a token does what its scopes say, until it ends or is revoked", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;
  await accounts.user(EMAIL);
  await accounts.user("eve@example.com");
  const ann = await accounts.as(await accounts.signIn(EMAIL));
  const eve = await accounts.as(await accounts.signIn("eve@example.com"));
  const { token, secret } = await createAccessToken(deps, ann, {
    name: "script",
    scopes: ["keys:read", "keys:read", "keys:write"],
    expiresAtMs: deps.now() + 60_000,
  });

  assert.match(secret, /^pat-[\w-]{43}$/);
  const actor = await byToken(accounts, secret);
  assert.equal(actor?.user.email, EMAIL);
  assert.deepEqual(actor.via, { kind: "token", id: token.id, scopes: ["keys:read", "keys:write"] });
  const kept = JSON.stringify(await deps.database.db.selectFrom("access_tokens").selectAll().execute());
  assert.ok(!kept.includes(secret));
  const [listed] = await listAccessTokens(deps, ann, { limit: 10 });
  assert.deepEqual([listed?.prefix, listed?.lastUsedAtMs], [secret.slice(0, listed?.prefix.length), deps.now()]);
  assert.equal(await byToken(accounts, `${secret}x`), undefined);

  await assert.rejects(revokeOwnAccessToken(deps, eve, token.id), { code: "not_found" });
  accounts.pass(59_999);
  assert.ok(await byToken(accounts, secret));
  accounts.pass(1);
  assert.equal(await byToken(accounts, secret), undefined);
  const second = await createAccessToken(deps, ann, { name: "s", scopes: ["account"], expiresAtMs: undefined });
  await revokeOwnAccessToken(deps, ann, second.token.id);
  assert.equal(await byToken(accounts, second.secret), undefined);
  await assert.rejects(revokeOwnAccessToken(deps, ann, second.token.id), { code: "not_found" });
});

test("a sign-in that ended while it was asked makes no token", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;
  await accounts.user(EMAIL);
  const ann = await accounts.as(await accounts.signIn(EMAIL));
  await endSignInsOf(deps.database.db, ann.user.id, deps.now());

  const making = createAccessToken(deps, ann, { name: "t", scopes: ["account"], expiresAtMs: undefined });

  await assert.rejects(making, { code: "unauthenticated" });
});

test("a token never makes tokens, changes the password, the address or the second factor, or confirms itself", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;
  await accounts.user(EMAIL);
  const ann = await accounts.as(await accounts.signIn(EMAIL));
  const wanted = { name: "t", scopes: ["account"] as readonly Scope[], expiresAtMs: undefined };
  const { secret } = await createAccessToken(deps, ann, wanted);
  const script = (await byToken(accounts, secret)) ?? assert.fail();
  const refused = { code: "forbidden" };

  await assert.rejects(createAccessToken(deps, script, wanted), refused);
  await assert.rejects(changePassword(deps, script, NEW_PASSWORD), refused);
  await assert.rejects(beginSecondFactor(deps, script), refused);
  await assert.rejects(confirmSignIn(deps, script, { password: PASSWORD }), refused);
  assert.throws(() => requestChangeOfEmail(deps, script, { email: "eve@example.com" }), refused);
});

test("a token ends within five years, and there are at most a hundred", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;
  await accounts.user(EMAIL);
  const ann = await accounts.as(await accounts.signIn(EMAIL));
  const make = (expiresAtMs?: number): ReturnType<typeof createAccessToken> =>
    createAccessToken(deps, ann, { name: "t", scopes: ["account"], expiresAtMs });

  await assert.rejects(make(deps.now()), { param: "expires_at_ms" });
  await assert.rejects(make(deps.now() + ACCESS_TOKENS.maxLifeMs + 1), { param: "expires_at_ms" });
  for (let count = 0; count < ACCESS_TOKENS.maxLive; count += 1) await make();
  await assert.rejects(make(), { code: "conflict" });
});

test("a bearer token wins over a cookie, also when it is no good", async () => {
  await using accounts = await testAccounts();
  await accounts.user(EMAIL);
  const { cookies } = await accounts.signIn(EMAIL);
  const resolve = (authorization: string): Promise<UserActor | undefined> =>
    resolveActor(
      { ...accounts.deps, cookies: accounts.cookies },
      { authorization, cookie: `__Host-tokilake=${cookies["sign-in"]}` },
      "",
    );

  assert.equal(await resolve(`Bearer pat-${"A".repeat(43)}`), undefined);
  assert.equal(await resolve(`bearer sk-${"A".repeat(43)}`), undefined);
  assert.equal(await resolve(`Bearer ${cookies["sign-in"]}`), undefined);
  // Of a proxy in front.
  assert.equal((await resolve("Basic YTpi"))?.user.email, EMAIL);
});

function byToken({ deps, cookies }: TestAccounts, secret: string): Promise<UserActor | undefined> {
  return resolveActor({ ...deps, cookies }, { authorization: `Bearer ${secret}` }, "");
}
