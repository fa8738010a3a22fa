import assert from "node:assert/strict";
import { test } from "node:test";

import { generate } from "otplib/functional";

import { changeUser } from "../store/user-store.ts";
import { ATTEMPT_MS } from "./attempt.ts";
import { confirmSignIn, finishSignIn, signInWithPassword } from "./password-sign-in.ts";
import {
  beginSecondFactor,
  confirmSecondFactor,
  removeOwnSecondFactor,
  renewRecoveryCodes,
  secondFactorOf,
} from "./second-factor.ts";
import { type SignedIn, endOtherSignIns } from "./sign-ins.ts";
import { PASSWORD, type TestAccounts, testAccounts, visitor } from "./test-accounts.ts";

const EMAIL = "ann@example.com";
const WRONG = { code: "invalid_request", param: "code" };

test("a second factor is asked for once an app has shown that it knows the secret", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;
  await accounts.user(EMAIL);
  const other = await accounts.signIn(EMAIL);
  const signedIn = await accounts.signIn(EMAIL);
  const ann = await accounts.as(signedIn);
  const { secret, uri } = await beginSecondFactor(deps, ann);

  assert.match(uri, /^otpauth:\/\/totp\/Tokilake%20hub\.example:ann%40example\.com\?secret=/);
  assert.equal((await accounts.signIn(EMAIL)).user.hasSecondFactor, false);
  await assert.rejects(confirmSecondFactor(deps, ann, "000000"), WRONG);
  const { recoveryCodes, signInSecret = "" } = await confirmSecondFactor(deps, ann, await codeOf(accounts, secret));

  assert.equal(recoveryCodes.length, 10);
  assert.equal(new Set(recoveryCodes).size, 10);
  assert.equal((await secondFactorOf(deps, ann.user.id))?.recoveryCodesLeft, 10);
  // Everywhere else is signed out, and here goes on with another secret.
  assert.equal(await accounts.actorOf(other.cookies["sign-in"]), undefined);
  assert.equal(await accounts.actorOf(signedIn.cookies["sign-in"]), undefined);
  assert.ok(await accounts.actorOf(signInSecret));
  await assert.rejects(accounts.signIn(EMAIL), /needs a second factor/);
  await assert.rejects(beginSecondFactor(deps, ann), { code: "conflict" });
  const kept = JSON.stringify(await deps.database.db.selectFrom("users").selectAll().execute());
  assert.ok(!kept.includes(secret));
});

test("whoever was signed out meanwhile puts no second factor of his own on the account", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;
  await accounts.user(EMAIL);
  const thief = await accounts.as(await accounts.signIn(EMAIL));
  const { secret } = await beginSecondFactor(deps, thief);
  const owner = await accounts.as(await accounts.signIn(EMAIL));
  await endOtherSignIns(deps, owner);

  await assert.rejects(confirmSecondFactor(deps, thief, await codeOf(accounts, secret)), { code: "unauthenticated" });

  assert.equal(await secondFactorOf(deps, owner.user.id), undefined);
});

test("a code signs in once, also the codes of the steps before and after", async () => {
  await using accounts = await withSecondFactor();
  const code = await codeOf(accounts, accounts.totp);
  const attempt = await password(accounts);

  const signedIn = await finish(accounts, attempt, code);
  assert.equal(signedIn.user.email, EMAIL);
  assert.ok(await accounts.actorOf(signedIn.cookies["sign-in"]));

  // The same code again, the same attempt again, and an older code.
  await assert.rejects(finish(accounts, await password(accounts), code), WRONG);
  const next = await codeOf(accounts, accounts.totp, 30_000);
  await assert.rejects(finish(accounts, attempt, next), { code: "unauthenticated" });
  await assert.rejects(
    finish(accounts, await password(accounts), await codeOf(accounts, accounts.totp, -30_000)),
    WRONG,
  );
  assert.ok(await finish(accounts, await password(accounts), next));
  await assert.rejects(
    finish(accounts, await password(accounts), await codeOf(accounts, accounts.totp, 60_000)),
    WRONG,
  );
});

test("of many that show the same code at once, one gets in", async () => {
  await using accounts = await withSecondFactor();
  const code = await codeOf(accounts, accounts.totp);
  const attempts = await Promise.all([1, 2, 3, 4].map(() => password(accounts)));

  const outcomes = await Promise.allSettled(attempts.map((attempt) => finish(accounts, attempt, code)));

  assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
});

test("a recovery code signs in once, however it is typed", async () => {
  await using accounts = await withSecondFactor();
  const [first = "", second = ""] = accounts.recoveryCodes;

  await finish(accounts, await password(accounts), first.toLowerCase().replaceAll("-", " "));
  await assert.rejects(finish(accounts, await password(accounts), first), WRONG);
  assert.equal((await secondFactorOf(accounts.deps, accounts.ann.user.id))?.recoveryCodesLeft, 9);

  const fresh = await renewRecoveryCodes(accounts.deps, accounts.ann);
  await assert.rejects(finish(accounts, await password(accounts), second), WRONG);
  assert.ok(await finish(accounts, await password(accounts), fresh[0] ?? ""));
});

test("codes cannot be guessed, also by who knows the password, and the owner's device gets in all the same", async () => {
  await using accounts = await withSecondFactor();
  for (let count = 0; count < 5; count += 1) {
    await assert.rejects(finish(accounts, await password(accounts), "000000"), WRONG);
  }
  const attempt = await password(accounts);
  const code = await codeOf(accounts, accounts.totp);

  await assert.rejects(finish(accounts, attempt, code), { code: "rate_limit_exceeded", retryAfter: 300 });

  assert.ok(await finish(accounts, attempt, code, accounts.device));
});

test("an attempt is good for ten minutes, in its browser, and for the user as he was", async () => {
  await using accounts = await withSecondFactor();
  const code = await codeOf(accounts, accounts.totp);
  const attempt = await password(accounts);
  const changed = `${attempt.startsWith("A") ? "B" : "A"}${attempt.slice(1)}`;

  await assert.rejects(finish(accounts, changed, code), { code: "unauthenticated" });
  await assert.rejects(finish(accounts, undefined, code), { code: "unauthenticated" });
  await accounts.deps.database.write((transaction) =>
    changeUser(transaction, accounts.ann.user.id, { role: "auditor" }),
  );
  await assert.rejects(finish(accounts, attempt, code), { code: "unauthenticated" });
  const late = await password(accounts);
  accounts.pass(ATTEMPT_MS);
  await assert.rejects(finish(accounts, late, await codeOf(accounts, accounts.totp)), { code: "unauthenticated" });
});

test("to confirm a sign-in takes the password and the code, to remove the second factor as well", async () => {
  await using accounts = await withSecondFactor();
  const { deps, ann } = accounts;
  accounts.pass(16 * 60_000);

  await assert.rejects(removeOwnSecondFactor(deps, ann), { code: "confirmation_required" });
  await assert.rejects(confirmSignIn(deps, ann, { password: PASSWORD }), WRONG);
  await assert.rejects(confirmSignIn(deps, ann, { code: await codeOf(accounts, accounts.totp) }), {
    param: "password",
  });
  const code = await codeOf(accounts, accounts.totp);
  const secret = await confirmSignIn(deps, ann, { password: PASSWORD, code });
  const fresh = await accounts.actorOf(secret);
  assert.ok(fresh);
  await removeOwnSecondFactor(deps, fresh);

  assert.equal(await secondFactorOf(deps, ann.user.id), undefined);
  assert.ok(await accounts.signIn(EMAIL));
});

interface WithSecondFactor extends TestAccounts {
  readonly totp: string;
  readonly recoveryCodes: readonly string[];
  readonly ann: Awaited<ReturnType<TestAccounts["as"]>>;
  readonly device: string;
}

/** An hour after it was turned on, with a sign-in that was confirmed just now. */
async function withSecondFactor(): Promise<WithSecondFactor> {
  const accounts = await testAccounts();
  await accounts.user(EMAIL);
  const signedIn = await accounts.signIn(EMAIL);
  const ann = await accounts.as(signedIn);
  const { secret } = await beginSecondFactor(accounts.deps, ann);
  const { recoveryCodes, signInSecret = "" } = await confirmSecondFactor(
    accounts.deps,
    ann,
    await codeOf(accounts, secret, -30_000),
  );
  const renewed = await accounts.actorOf(signInSecret);
  assert.ok(renewed);
  return { ...accounts, totp: secret, recoveryCodes, ann: renewed, device: signedIn.cookies.device };
}

function codeOf({ deps }: TestAccounts, secret: string, aheadMs = 0): Promise<string> {
  return generate({ secret, epoch: Math.floor((deps.now() + aheadMs) / 1000) });
}

async function password({ deps }: TestAccounts): Promise<string> {
  const arrival = await signInWithPassword(deps, visitor(), { email: EMAIL, password: PASSWORD });
  return arrival.outcome === "second-factor" ? arrival.attempt : "";
}

async function finish(
  { deps }: TestAccounts,
  attempt: string | undefined,
  code: string,
  device?: string,
): Promise<SignedIn> {
  return (await finishSignIn(deps, visitor({ cookies: { attempt, device } }), code)).signedIn;
}
