import assert from "node:assert/strict";
import { test } from "node:test";

import { usersWhere } from "../store/user-store.ts";
import { signInWithPassword } from "./password-sign-in.ts";
import { register, resendVerification, verifyEmail } from "./registration.ts";
import { PASSWORD, secretIn, testAccounts, visitor } from "./test-accounts.ts";

const ANN = { email: "ann@example.com", password: PASSWORD, name: "Ann" };

test("whoever registers verifies the address, and then signs in", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;
  await accounts.root();

  assert.deepEqual(await register(deps, visitor(), ANN), { next: "verify-email" });
  await assert.rejects(accounts.signIn(ANN.email), { code: "unauthenticated" });
  const [mail] = await accounts.mails();
  assert.equal(mail?.to, "ann@example.com");
  assert.match(mail.text, /^https:\/\/hub\.example\/verify-email#[\w-]{43}$/m);
  await verifyEmail(deps, visitor(), undefined, { token: secretIn(mail), password: PASSWORD });

  const { user } = await accounts.signIn(ANN.email);
  assert.equal(user.role, "user");
  await assert.rejects(verifyEmail(deps, visitor(), undefined, { token: secretIn(mail), password: PASSWORD }), {
    param: "token",
  });
});

test("an address that has an account already is not told, but its owner is", async () => {
  await using accounts = await testAccounts();
  const { deps, hashed } = accounts;
  await accounts.root();
  await accounts.user(ANN.email);
  const before = await accounts.reload(ANN);
  hashed.length = 0;

  const answer = await register(deps, visitor(), { ...ANN, password: "password of Eve" });

  assert.deepEqual(answer, { next: "verify-email" });
  assert.deepEqual(hashed, ["password of Eve"]);
  assert.deepEqual(await accounts.reload(ANN), before);
  const mails = await accounts.mails();
  assert.deepEqual(
    mails.map(({ to, subject }) => [to, subject]),
    [["ann@example.com", "You have an account already"]],
  );
  assert.doesNotMatch(mails[0]?.text ?? "", /#/);
  assert.ok(await accounts.signIn(ANN.email));
});

test("the same address in another case or with full-width letters is the same user", async () => {
  await using accounts = await testAccounts();
  await accounts.root();
  for (const email of ["ann@example.com", "ANN@Example.COM", "Ann@ｅxample.com"]) {
    await register(accounts.deps, visitor(), { ...ANN, email });
  }

  const users = await usersWhere(accounts.deps.database.db, { role: "user" }, { limit: 10 });

  assert.deepEqual(
    users.map(({ email }) => email),
    ["ann@example.com"],
  );
  // A Cyrillic а in front of the @.
  await assert.rejects(register(accounts.deps, visitor(), { ...ANN, email: "\u0430nn@example.com" }), {
    param: "email",
  });
});

test("of many that register one address at once, one account is made", async () => {
  await using accounts = await testAccounts();
  await accounts.root();

  const answers = await Promise.all([1, 2, 3, 4].map(() => register(accounts.deps, visitor(), ANN)));

  assert.deepEqual(answers, Array(4).fill({ next: "verify-email" }));
  assert.equal((await usersWhere(accounts.deps.database.db, { role: "user" }, { limit: 10 })).length, 1);
  const subjects = (await accounts.mails()).map(({ subject }) => subject);
  assert.deepEqual(subjects.toSorted(), [
    "Verify your e-mail address",
    "You have an account already",
    "You have an account already",
    "You have an account already",
  ]);
});

test("registration by invite needs a code, which is used in the same step or not at all", async () => {
  await using accounts = await testAccounts({ registration: "invite" });
  const { deps } = accounts;
  await accounts.root();

  await assert.rejects(register(deps, visitor(), ANN), { param: "invite_code" });
  await assert.rejects(register(deps, visitor(), { ...ANN, inviteCode: "BAD" }), { param: "invite_code" });
  // Good when it was looked at, used up by somebody else when it was redeemed.
  await assert.rejects(register(deps, visitor(), { ...ANN, inviteCode: "GOOD ONCE" }), { param: "invite_code" });
  assert.equal((await usersWhere(deps.database.db, { role: "user" }, { limit: 10 })).length, 0);
  await register(deps, visitor(), { ...ANN, inviteCode: "GOOD" });
  assert.equal((await usersWhere(deps.database.db, { role: "user" }, { limit: 10 })).length, 1);
});

test("a closed hub takes nobody, not even with an invite", async () => {
  await using accounts = await testAccounts({ registration: "closed" });
  await accounts.root();

  await assert.rejects(register(accounts.deps, visitor(), { ...ANN, inviteCode: "GOOD" }), { code: "forbidden" });
});

test("a verification link is good for a day, and for the address that it was sent to", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;
  await accounts.root();
  await register(deps, visitor(), ANN);
  const [mail] = await accounts.mails();

  accounts.pass(24 * 3600 * 1000);
  const late = { token: secretIn(mail), password: PASSWORD };
  await assert.rejects(verifyEmail(deps, visitor(), undefined, late), { param: "token" });
  resendVerification(deps, visitor(), ANN);
  const [again] = await accounts.mails();
  await verifyEmail(deps, visitor(), undefined, { token: secretIn(again), password: PASSWORD });
  resendVerification(deps, visitor(), ANN);
  resendVerification(deps, visitor(), { email: "nobody@example.com" });

  assert.deepEqual(await accounts.mails(), []);
});

test("whoever opens a link that a stranger caused does not verify the stranger's account", async () => {
  await using accounts = await testAccounts({ requiresVerifiedEmail: false });
  const { deps } = accounts;
  await accounts.root();
  await register(deps, visitor({ address: "192.0.2.66" }), { ...ANN, password: "password of Eve" });
  const [mail] = await accounts.mails();
  const token = secretIn(mail);

  await assert.rejects(verifyEmail(deps, visitor(), undefined, { token }), { param: "password" });
  await assert.rejects(verifyEmail(deps, visitor(), undefined, { token, password: PASSWORD }), { param: "password" });
  const other = await accounts.as(await accounts.signIn("root@hub.example"));
  await assert.rejects(verifyEmail(deps, visitor(), other, { token }), { param: "password" });
  assert.equal((await accounts.reload(ANN)).emailVerifiedAtMs, undefined);
  // Nor may the link be used to guess.
  for (let count = 0; count < 9; count += 1) {
    await assert.rejects(verifyEmail(deps, visitor(), undefined, { token, password: `wrong password ${count}` }), {
      param: "password",
    });
  }
  await assert.rejects(verifyEmail(deps, visitor(), undefined, { token, password: "password of Eve" }), {
    code: "rate_limit_exceeded",
  });
});

test("one address gets five mails an hour at most, one network asks for twenty, and the next hour is another", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;
  await accounts.root();
  await accounts.user(ANN.email, { isVerified: false });
  const ask = (email: string, address: string): void => resendVerification(deps, visitor({ address }), { email });
  for (let count = 0; count < 5; count += 1) ask(ANN.email, `192.0.2.${count}`);

  assert.throws(() => ask(ANN.email, "192.0.2.99"), { code: "rate_limit_exceeded", retryAfter: 720 });
  assert.equal((await accounts.mails()).length, 5);
  for (let count = 0; count < 20; count += 1) ask(`user${count}@example.com`, "2001:db8:1:2::1");
  assert.throws(() => ask("another@example.com", "2001:db8:1:2:ffff::2"), { code: "rate_limit_exceeded" });
  accounts.pass(3600 * 1000);
  ask(ANN.email, "192.0.2.99");
});

test("without verification an account works at once", async () => {
  await using accounts = await testAccounts({ requiresVerifiedEmail: false });
  await accounts.root();

  assert.deepEqual(await register(accounts.deps, visitor(), ANN), { next: "sign-in" });

  const arrival = await signInWithPassword(accounts.deps, visitor(), ANN);
  assert.equal(arrival.outcome === "signed-in" && arrival.signedIn.user.emailVerifiedAtMs, undefined);
});
