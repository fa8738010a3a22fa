import assert from "node:assert/strict";
import { test } from "node:test";

import { AppError } from "../errors.ts";
import { auditRecords } from "../store/audit-store.ts";
import { beginTotp, confirmTotp, removeTotp } from "../store/second-factor-store.ts";
import { changeUser } from "../store/user-store.ts";
import { arrive, confirmSignIn, signInWithPassword } from "./password-sign-in.ts";
import { SIGN_INS, endOtherSignIns, endOwnSignIn, listSignIns, requireFresh } from "./sign-ins.ts";
import { PASSWORD, testAccounts, visitor } from "./test-accounts.ts";

const WRONG = {
  code: "unauthenticated",
  message: "The e-mail address or the password is wrong, or the address is not verified yet.",
};
const TOO_MANY = { code: "rate_limit_exceeded" };

test("a user signs in with address and password, in any way that means the same", async () => {
  await using accounts = await testAccounts();
  await accounts.user("ann@example.com");

  const arrival = await signInWithPassword(accounts.deps, visitor(), {
    email: " Ann@EXAMPLE.com",
    password: "ｃorrect horse battery",
    returnTo: "//evil.example",
  });

  assert.equal(arrival.outcome, "signed-in");
  assert.equal(arrival.returnTo, "/");
  const actor = await accounts.as(arrival.signedIn);
  assert.deepEqual(actor.user, {
    id: "user_ann@example.com",
    email: "ann@example.com",
    name: "",
    role: "user",
    isEmailVerified: true,
  });
  const [entry] = await auditRecords(accounts.deps.database.db, {}, { limit: 1 });
  assert.equal(entry?.action, "sign-in.create");
  assert.equal(entry.actorName, "ann@example.com");
});

test("every reason to refuse a sign-in looks the same, and costs the same", async () => {
  await using accounts = await testAccounts();
  const { deps, hashed } = accounts;
  await accounts.user("ann@example.com");
  await accounts.user("new@example.com", { isVerified: false });
  const elsewhere = await accounts.user("oidc@example.com");
  await deps.database.write((transaction) => changeUser(transaction, elsewhere.id, { passwordHash: null }));
  hashed.length = 0;
  const written = async (): Promise<number> => (await auditRecords(deps.database.db, {}, { limit: 100 })).length;
  const before = await written();

  for (const [email, password] of [
    ["nobody@example.com", PASSWORD],
    ["ann@example.com", "wrong password"],
    ["ann@example.com", "short"],
    ["new@example.com", PASSWORD],
    ["oidc@example.com", PASSWORD],
  ] as const) {
    await assert.rejects(signInWithPassword(deps, visitor(), { email, password }), WRONG);
  }

  assert.equal(hashed.length, 5);
  assert.equal(await written(), before);
});

test("a disabled user hears of it with the right password only, and is not signed in", async () => {
  await using accounts = await testAccounts();
  const ann = await accounts.user("ann@example.com");
  await accounts.deps.database.write((transaction) => changeUser(transaction, ann.id, { disabledAtMs: 1 }));

  await assert.rejects(accounts.signIn("ann@example.com"), { code: "forbidden" });
  await assert.rejects(
    signInWithPassword(accounts.deps, visitor(), { email: "ann@example.com", password: "wrong password" }),
    WRONG,
  );
});

test("who was changed while the password was checked is not signed in: all that ends sign-ins ends this one, too", async () => {
  await using accounts = await testAccounts();
  const { database } = accounts.deps;
  const checked = await accounts.user("ann@example.com");
  const arrived = () => arrive(accounts.deps, { user: checked, visitor: visitor(), means: "password", returnTo: "/" });
  assert.equal((await arrived()).outcome, "signed-in");

  await beginTotp(database.db, checked.id, "sealed");
  await confirmTotp(database.db, checked.id, { sealedSecret: "sealed", nowMs: 1 });
  await assert.rejects(arrived(), { code: "unauthenticated" });
  await removeTotp(database.db, checked.id);
  assert.equal((await arrived()).outcome, "signed-in");
  await database.write((transaction) => changeUser(transaction, checked.id, { passwordHash: "another" }));
  await assert.rejects(arrived(), { code: "unauthenticated" });
});

test("a try that the hub was too busy to check is none", async () => {
  await using accounts = await testAccounts();
  await accounts.user("ann@example.com");
  const { deps } = accounts;
  const busy = { verify: () => Promise.reject(new AppError("overloaded")), hash: () => Promise.reject(new Error()) };
  const given = { email: "ann@example.com", password: PASSWORD };

  for (let count = 0; count < 20; count += 1) {
    const tried = signInWithPassword({ ...deps, hasher: busy as unknown as typeof deps.hasher }, visitor(), given);
    await assert.rejects(tried, { code: "overloaded" });
  }

  assert.equal((await signInWithPassword(deps, visitor(), given)).outcome, "signed-in");
});

test("a sign-in never uses a secret that was there before it, and ends the browser's last one (session fixation)", async () => {
  await using accounts = await testAccounts();
  await accounts.user("ann@example.com");
  await accounts.user("eve@example.com");
  const planted = await accounts.signIn("eve@example.com");

  const signedIn = await accounts.signIn(
    "ann@example.com",
    visitor({ cookies: { "sign-in": planted.cookies["sign-in"] } }),
  );
  const invented = await accounts.signIn("ann@example.com", visitor({ cookies: { "sign-in": "A".repeat(43) } }));

  assert.notEqual(signedIn.cookies["sign-in"], planted.cookies["sign-in"]);
  assert.equal(await accounts.actorOf(planted.cookies["sign-in"]), undefined);
  assert.equal(await accounts.actorOf("A".repeat(43)), undefined);
  assert.match(invented.cookies["sign-in"], /^[\w-]{43}$/);
});

test("a cookie's secret is nowhere in the database", async () => {
  await using accounts = await testAccounts();
  await accounts.user("ann@example.com");
  const { cookies } = await accounts.signIn("ann@example.com");

  const rows = await accounts.deps.database.db.selectFrom("sign_ins").selectAll().execute();

  assert.ok(!JSON.stringify(rows).includes(cookies["sign-in"]));
});

test("a sign-in ends after 14 days without use, and after 90 in any case", async () => {
  await using accounts = await testAccounts();
  await accounts.user("ann@example.com");
  const idle = await accounts.signIn("ann@example.com");
  const used = await accounts.signIn("ann@example.com");
  const dayMs = 24 * 3600 * 1000;

  for (let day = 1; day < 90; day += 1) {
    accounts.pass(dayMs);
    assert.ok(await accounts.actorOf(used.cookies["sign-in"]), `day ${day}`);
    if (day === 15) assert.equal(await accounts.actorOf(idle.cookies["sign-in"]), undefined);
  }
  accounts.pass(dayMs);
  assert.equal(await accounts.actorOf(used.cookies["sign-in"]), undefined);
});

test("sign-ins are listed and ended one by one or all but this, and only one's own", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;
  await accounts.user("ann@example.com");
  await accounts.user("eve@example.com");
  const first = await accounts.signIn("ann@example.com", visitor({ userAgent: "phone", address: "192.0.2.9" }));
  accounts.pass(1);
  const second = await accounts.signIn("ann@example.com");
  accounts.pass(1);
  const third = await accounts.signIn("ann@example.com");
  const eve = await accounts.as(await accounts.signIn("eve@example.com"));
  const ann = await accounts.as(third);

  const listed = await listSignIns(deps, ann.user.id);
  assert.deepEqual(
    listed.map(({ id, userAgent, address }) => [id, userAgent, address]),
    [
      [third.signIn.id, "browser", "192.0.2.1"],
      [second.signIn.id, "browser", "192.0.2.1"],
      [first.signIn.id, "phone", "192.0.2.9"],
    ],
  );
  await assert.rejects(endOwnSignIn(deps, eve, first.signIn.id), { code: "not_found" });
  assert.ok(await accounts.actorOf(first.cookies["sign-in"]));
  await endOwnSignIn(deps, ann, first.signIn.id);
  assert.equal(await accounts.actorOf(first.cookies["sign-in"]), undefined);
  assert.equal(await endOtherSignIns(deps, ann), 1);
  assert.equal(await accounts.actorOf(second.cookies["sign-in"]), undefined);
  assert.ok(await accounts.actorOf(third.cookies["sign-in"]));
});

test("who signs in again and again waits, and fills no audit log", async () => {
  await using accounts = await testAccounts();
  const { db } = accounts.deps.database;
  for (const email of ["ann@example.com", "ben@example.com"]) await accounts.user(email);
  for (let times = 0; times < 100; times += 1) await accounts.signIn("ann@example.com");

  await assert.rejects(accounts.signIn("ann@example.com"), { code: "rate_limit_exceeded", retryAfter: 60 });

  await accounts.signIn("ben@example.com");
  assert.equal((await auditRecords(db, { action: "sign-in.create" }, { limit: 200 })).length, 101);
  accounts.pass(60_000);
  await accounts.signIn("ann@example.com");
});

test("guesses from one address end soon, whichever accounts they are for", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;
  const guess = (count: number): Promise<unknown> =>
    signInWithPassword(deps, visitor(), { email: `user${count}@example.com`, password: "wrong password" });
  for (let count = 0; count < 30; count += 1) await assert.rejects(guess(count), WRONG);

  await assert.rejects(guess(30), { ...TOO_MANY, retryAfter: 30 });

  accounts.pass(30_000);
  await assert.rejects(guess(30), WRONG);
});

test("guesses at one account from everywhere end soon, and the owner's device gets in all the same", async () => {
  await using accounts = await testAccounts();
  const { deps, hashed } = accounts;
  await accounts.user("ann@example.com");
  const { cookies } = await accounts.signIn("ann@example.com");
  const guess = (count: number, device?: string): Promise<unknown> =>
    signInWithPassword(deps, visitor({ address: `192.0.2.${count}`, cookies: { device } }), {
      email: "ann@example.com",
      password: "wrong password",
    });
  for (let count = 0; count < 10; count += 1) await assert.rejects(guess(count), WRONG);
  hashed.length = 0;

  await assert.rejects(guess(100), { ...TOO_MANY, retryAfter: 90 });
  assert.equal(hashed.length, 0);
  // An address that nobody has is no different.
  const known = visitor({ address: "192.0.2.200", cookies: { device: cookies.device } });
  const signedIn = await accounts.signIn("ann@example.com", known);
  assert.equal(signedIn.user.email, "ann@example.com");

  // A device of somebody else, or a made-up one, is no device.
  await accounts.user("eve@example.com");
  const eves = await accounts.signIn("eve@example.com", visitor({ address: "192.0.2.201" }));
  for (const device of [eves.cookies.device, cookies.device.replace(/.$/, "_"), "x"]) {
    await assert.rejects(guess(101, device), TOO_MANY);
  }
});

test("a stolen device cookie gives no more guesses than a stranger has", async () => {
  await using accounts = await testAccounts();
  await accounts.user("ann@example.com");
  const { cookies } = await accounts.signIn("ann@example.com");
  const guess = (address: string): Promise<unknown> =>
    signInWithPassword(accounts.deps, visitor({ address, cookies: { device: cookies.device } }), {
      email: "ann@example.com",
      password: "wrong password",
    });
  for (let count = 0; count < 10; count += 1) await assert.rejects(guess(`192.0.2.${count}`), WRONG);

  await assert.rejects(guess("192.0.2.99"), TOO_MANY);

  // Who has no device at all may still try.
  assert.ok(await accounts.signIn("ann@example.com"));
});

test("many guesses at once are not more than one after another", async () => {
  await using accounts = await testAccounts();
  await accounts.user("ann@example.com");

  const outcomes = await Promise.allSettled(
    Array.from({ length: 40 }, (_, count) =>
      signInWithPassword(accounts.deps, visitor({ address: `192.0.2.${count}` }), {
        email: "ann@example.com",
        password: `wrong password ${count}`,
      }),
    ),
  );

  const refused = outcomes.map((outcome) =>
    outcome.status === "rejected" && outcome.reason instanceof Error && "code" in outcome.reason
      ? outcome.reason.code
      : "in",
  );
  assert.equal(refused.filter((code) => code === "unauthenticated").length, 10);
  assert.equal(refused.filter((code) => code === "rate_limit_exceeded").length, 30);
});

test("what is dangerous needs a password that was shown lately, and gives the sign-in another secret", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;
  await accounts.user("ann@example.com");
  const signedIn = await accounts.signIn("ann@example.com");
  requireFresh(await accounts.as(signedIn), deps.now());
  accounts.pass(SIGN_INS.freshMs + 1);
  const stale = await accounts.as(signedIn);

  assert.throws(() => requireFresh(stale, deps.now()), { code: "confirmation_required" });
  await assert.rejects(confirmSignIn(deps, stale, { password: "wrong password" }), { param: "password" });
  await assert.rejects(confirmSignIn(deps, stale, {}), { param: "password" });
  const secret = await confirmSignIn(deps, stale, { password: PASSWORD });

  assert.equal(await accounts.actorOf(signedIn.cookies["sign-in"]), undefined);
  const fresh = await accounts.actorOf(secret);
  assert.ok(fresh);
  assert.equal(fresh.via.id, signedIn.signIn.id);
  requireFresh(fresh, deps.now());
});

test("whoever stole a sign-in may not guess the password through it", async () => {
  await using accounts = await testAccounts();
  await accounts.user("ann@example.com");
  const ann = await accounts.as(await accounts.signIn("ann@example.com"));
  for (let count = 0; count < 10; count += 1) {
    await assert.rejects(confirmSignIn(accounts.deps, ann, { password: `wrong password ${count}` }), {
      param: "password",
    });
  }

  await assert.rejects(confirmSignIn(accounts.deps, ann, { password: PASSWORD }), TOO_MANY);
});
