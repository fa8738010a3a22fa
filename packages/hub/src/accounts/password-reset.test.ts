import assert from "node:assert/strict";
import { test } from "node:test";

import { OPERATOR } from "../identity/actor.ts";
import { insertAccessToken, liveAccessTokensOf } from "../store/access-token-store.ts";
import { auditRecords } from "../store/audit-store.ts";
import { insertKey, keyById } from "../store/key-store.ts";
import { insertLinkedAccount, linkedAccountsOf } from "../store/linked-account-store.ts";
import { insertPasskey, passkeysOf } from "../store/passkey-store.ts";
import { beginTotp, confirmTotp } from "../store/second-factor-store.ts";
import { changeUser } from "../store/user-store.ts";
import { requestPasswordReset, resetPassword } from "./password-reset.ts";
import { signInWithPassword } from "./password-sign-in.ts";
import { register, resendVerification } from "./registration.ts";
import { PASSWORD, type TestAccounts, secretIn, testAccounts, visitor } from "./test-accounts.ts";
import { createUserAs } from "./users.ts";

const EMAIL = "ann@example.com";
const NEW_PASSWORD = "another good password";

test("a new password by mail ends every sign-in, and works once", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;
  await accounts.user(EMAIL);
  const signedIn = await accounts.signIn(EMAIL);
  const token = await linkFor(accounts, "Ann@Example.com");

  await resetPassword(deps, visitor(), { token, password: NEW_PASSWORD });

  assert.equal(await accounts.actorOf(signedIn.cookies["sign-in"]), undefined);
  await assert.rejects(accounts.signIn(EMAIL), { code: "unauthenticated" });
  const arrival = await signInWithPassword(deps, visitor(), { email: EMAIL, password: NEW_PASSWORD });
  assert.equal(arrival.outcome, "signed-in");
  await assert.rejects(resetPassword(deps, visitor(), { token, password: "a third password" }), { param: "token" });
  const [told] = await accounts.mails();
  assert.equal(told?.subject, "Your password was changed");
});

test("an address without an account gets no mail, and whoever asks is not told", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;
  const ben = await accounts.user("ben@example.com");
  await deps.database.write((transaction) => changeUser(transaction, ben.id, { disabledAtMs: 1 }));

  requestPasswordReset(deps, visitor(), { email: "nobody@example.com" });
  requestPasswordReset(deps, visitor(), { email: "ben@example.com" });

  assert.deepEqual(await accounts.mails(), []);
});

test("links of mails are made of the public address, whatever a request says in Host", async () => {
  await using accounts = await testAccounts();
  await accounts.user(EMAIL);
  const cookieless = accounts.cookies.visitorOf({
    headers: { host: "evil.example", "x-forwarded-host": "evil.example", origin: "https://evil.example" },
    address: "192.0.2.1",
  });

  requestPasswordReset(accounts.deps, cookieless, { email: EMAIL });

  const [mail] = await accounts.mails();
  assert.match(mail?.text ?? "", /^https:\/\/hub\.example\/reset-password#[\w-]{43}$/m);
  assert.doesNotMatch(mail?.text ?? "", /evil/);
});

test("a stranger who asks for links does not void the one its owner got", async () => {
  await using accounts = await testAccounts();
  await accounts.user(EMAIL);
  const token = await linkFor(accounts, EMAIL);
  const strangers = await linkFor(accounts, EMAIL);

  await resetPassword(accounts.deps, visitor(), { token, password: NEW_PASSWORD });

  // The others end with the first that is used.
  await assert.rejects(resetPassword(accounts.deps, visitor(), { token: strangers, password: "a third password" }), {
    param: "token",
  });
});

test("a stranger who causes other mails does not use up those for a new password", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;
  await accounts.root();
  await accounts.user(EMAIL);
  const tooMany = { code: "rate_limit_exceeded" };
  for (let count = 0; count < 5; count += 1) {
    resendVerification(deps, visitor(), { email: EMAIL });
    await register(deps, visitor(), { email: EMAIL, password: PASSWORD, name: "" });
  }
  assert.throws(() => resendVerification(deps, visitor(), { email: EMAIL }), tooMany);
  await assert.rejects(register(deps, visitor(), { email: EMAIL, password: PASSWORD, name: "" }), tooMany);
  await accounts.mails();

  assert.match(await linkFor(accounts, EMAIL), /^[\w-]{43}$/);
});

test("a link runs out after an hour, and a bad password does not use it up", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;
  await accounts.user(EMAIL);
  const token = await linkFor(accounts, EMAIL);

  await assert.rejects(resetPassword(deps, visitor(), { token, password: EMAIL }), { param: "password" });
  await assert.rejects(resetPassword(deps, visitor(), { token, password: "12345678" }), { param: "password" });
  accounts.pass(3600 * 1000);
  await assert.rejects(resetPassword(deps, visitor(), { token, password: NEW_PASSWORD }), { param: "token" });
});

test("a disabled user cannot come back by mail", async () => {
  await using accounts = await testAccounts();
  const ann = await accounts.user(EMAIL);
  const token = await linkFor(accounts, EMAIL);
  await accounts.deps.database.write((transaction) => changeUser(transaction, ann.id, { disabledAtMs: 1 }));

  await assert.rejects(resetPassword(accounts.deps, visitor(), { token, password: NEW_PASSWORD }), {
    code: "forbidden",
  });
});

test("an account that a stranger made with somebody's address is nothing but the owner's after his reset", async () => {
  await using accounts = await testAccounts({ requiresVerifiedEmail: false });
  const { deps } = accounts;
  const { db } = deps.database;
  const { id: userId } = await accounts.user(EMAIL, { isVerified: false });
  const strangers = await accounts.signIn(EMAIL);
  const common = { userId, createdAtMs: 1, name: "", lastUsedAtMs: undefined };
  await insertPasskey(db, { ...common, id: "p", credentialId: "c", publicKey: "k", counter: 0, transports: [] });
  await insertLinkedAccount(db, { ...common, id: "l", provider: "github", subject: "666", email: undefined });
  const token = { prefix: "pat-", hash: "h", scopes: ["account"], expiresAtMs: undefined, revokedAtMs: undefined };
  await insertAccessToken(db, { ...common, ...token, id: "t" });
  await beginTotp(db, userId, "sealed");
  await confirmTotp(db, userId, { sealedSecret: "sealed", nowMs: 1 });

  await resetPassword(deps, visitor(), { token: await linkFor(accounts, EMAIL), password: NEW_PASSWORD });

  assert.equal(await accounts.actorOf(strangers.cookies["sign-in"]), undefined);
  assert.deepEqual(await passkeysOf(db, userId), []);
  assert.deepEqual(await linkedAccountsOf(db, userId), []);
  assert.equal(await liveAccessTokensOf(db, userId, deps.now()), 0);
  const arrival = await signInWithPassword(deps, visitor(), { email: EMAIL, password: NEW_PASSWORD });
  assert.equal(arrival.outcome, "signed-in");
  assert.notEqual((await accounts.reload({ email: EMAIL })).emailVerifiedAtMs, undefined);
});

test("keys that a stranger made with somebody's address end with the owner's reset, those of a verified account stay", async () => {
  await using accounts = await testAccounts({ requiresVerifiedEmail: false });
  const { deps } = accounts;
  const squatted = await accounts.user(EMAIL, { isVerified: false });
  const ben = await accounts.user("ben@example.com");
  for (const ownerId of [squatted.id, ben.id]) {
    const key = {
      id: `key of ${ownerId}`,
      kind: "worker",
      name: "pc",
      hash: ownerId,
      prefix: "wk-",
      createdAtMs: 1,
    } as const;
    await deps.database.write((transaction) => insertKey(transaction, { ...key, ownerId }));
  }

  for (const email of [EMAIL, "ben@example.com"]) {
    await resetPassword(deps, visitor(), { token: await linkFor(accounts, email), password: NEW_PASSWORD });
    // What the reset itself tells its user.
    await accounts.mails();
  }

  const { db } = deps.database;
  assert.equal((await keyById(db, `key of ${squatted.id}`))?.revokedAtMs, deps.now());
  assert.equal((await keyById(db, `key of ${ben.id}`))?.revokedAtMs, undefined);
  const revoked = await auditRecords(db, { action: "key.revoke" }, { limit: 10 });
  assert.deepEqual(
    revoked.map(({ objectId }) => objectId),
    [`key of ${squatted.id}`],
  );
});

test("keys that the operator made for a user who has no password yet stay when one is chosen", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;
  const ann = await createUserAs(deps, OPERATOR, { email: EMAIL, name: "", role: "user" });
  const key = { id: "key_1", kind: "api", name: "laptop", hash: "h", prefix: "sk-", createdAtMs: 1 } as const;
  await deps.database.write((transaction) => insertKey(transaction, { ...key, ownerId: ann.id }));

  await resetPassword(deps, visitor(), { token: await linkFor(accounts, EMAIL), password: NEW_PASSWORD });

  assert.equal((await keyById(deps.database.db, "key_1"))?.revokedAtMs, undefined);
});

async function linkFor(accounts: TestAccounts, email: string): Promise<string> {
  requestPasswordReset(accounts.deps, visitor(), { email });
  const [mail] = await accounts.mails();
  return secretIn(mail);
}
