import assert from "node:assert/strict";
import { test } from "node:test";

import { generate } from "otplib/functional";

import type { UserActor } from "../identity/actor.ts";
import { auditRecords } from "../store/audit-store.ts";
import { linkedAccountsOf } from "../store/linked-account-store.ts";
import { endSignInsOf } from "../store/sign-in-store.ts";
import { changeUser, usersWhere } from "../store/user-store.ts";
import type { AccountsSettings } from "./accounts.ts";
import { finishSignIn } from "./password-sign-in.ts";
import {
  type ProviderReturn,
  beginLinking,
  beginProviderSignIn,
  finishProviderJourney,
  listLinkedAccounts,
  unlinkAccount,
} from "./provider-sign-in.ts";
import { openProvider } from "./provider.ts";
import { beginSecondFactor, confirmSecondFactor } from "./second-factor.ts";
import { type TestAccounts, testAccounts, visitor } from "./test-accounts.ts";
import { type PersonThere, type TestProvider, startFakeGithub, startOidcServer } from "./test-providers.ts";

const REFUSED = { code: "unauthenticated" };
const ANN: PersonThere = { id: "ann-there", email: "Ann@Example.com", name: "Ann" };

test("somebody new signs in with a provider and has an account with the verified address", async () => {
  await using world = await withProvider("corp");

  const back = await signIn(world, ANN, { returnTo: "/groups?tab=1" });

  assert.equal(back.outcome, "signed-in");
  assert.equal(back.returnTo, "/groups?tab=1");
  const { user } = await world.accounts.as(back.signedIn);
  assert.deepEqual([user.email, user.name, user.role, user.isEmailVerified], ["ann@example.com", "Ann", "user", true]);
  // The account elsewhere is known by its id from now on, whatever address it has.
  const again = await signIn(world, { ...ANN, email: "new@example.com" });
  assert.equal(again.outcome === "signed-in" && again.signedIn.user.id, user.id);
});

test("GitHub tells the verified primary address by its API, and who it is by a number", async () => {
  await using world = await withProvider("github");

  const back = await signIn(world, { id: "583231", email: "octo@example.com" });

  assert.equal(back.outcome === "signed-in" && back.signedIn.user.email, "octo@example.com");
  assert.equal(back.outcome === "signed-in" && back.signedIn.user.name, "octocat");
  const [account] = await linkedAccountsOf(world.accounts.deps.database.db, userIdOf(back));
  assert.equal(account?.subject, "583231");
});

test("an account at GitHub without a verified primary address signs in as nobody (W-32)", async () => {
  await using world = await withProvider("github");
  const root = world.accounts.reload({ email: "root@hub.example" });

  await assert.rejects(signIn(world, { id: "1" }), { code: "forbidden" });
  await assert.rejects(signIn(world, { id: "2", email: "root@hub.example", isVerified: false }), { code: "forbidden" });

  assert.equal((await usersWhere(world.accounts.deps.database.db, {}, { limit: 10 })).length, 1);
  assert.deepEqual(await linkedAccountsOf(world.accounts.deps.database.db, (await root).id), []);
});

test("an address that the provider has not verified takes over nothing and makes nothing", async () => {
  await using world = await withProvider("corp");
  const ann = await world.accounts.user("ann@example.com");

  await assert.rejects(signIn(world, { ...ANN, isVerified: false }), { code: "forbidden" });
  await assert.rejects(signIn(world, { ...ANN, id: "x", email: "new@example.com", isVerified: false }), {
    code: "forbidden",
  });
  await assert.rejects(signIn(world, { id: "y" }), { code: "forbidden" });

  assert.deepEqual(await linkedAccountsOf(world.accounts.deps.database.db, ann.id), []);
});

test("a verified address on both sides links; one that is not verified here does not", async () => {
  await using world = await withProvider("corp");
  const { accounts } = world;
  const ann = await accounts.user("ann@example.com");
  await accounts.user("ben@example.com", { isVerified: false });

  const back = await signIn(world, ANN);
  assert.equal(userIdOf(back), ann.id);
  const [entry] = await auditRecords(accounts.deps.database.db, { action: "account.link" }, { limit: 1 });
  assert.deepEqual([entry?.actorKind, entry?.address, entry?.requestId], ["hub", "192.0.2.1", "req_back"]);
  await assert.rejects(signIn(world, { id: "ben-there", email: "ben@example.com" }), { code: "conflict" });
});

test("whoever runs the hub is never taken over by an address, only linked on purpose", async () => {
  await using world = await withProvider("corp");
  for (const role of ["admin", "auditor"] as const) await world.accounts.user(`${role}@example.com`, { role });

  for (const email of ["root@hub.example", "admin@example.com", "auditor@example.com"]) {
    await assert.rejects(signIn(world, { id: email, email }), { code: "conflict" });
  }
});

test("a name from elsewhere is one line without controls, and whole characters", async () => {
  await using world = await withProvider("corp");
  const name = `\u001b[31mAnn\n\u202e${"x".repeat(91)}\u{1f600}\u{1f600}`;

  await signIn(world, { ...ANN, name });

  const user = await world.accounts.reload({ email: "ann@example.com" });
  assert.equal(user.name, `[31mAnn${"x".repeat(91)}\u{1f600}`);
});

test("a name or another claim that looks like somebody's address is nothing", async () => {
  await using world = await withProvider("corp");
  await world.accounts.user("ann@example.com");

  await assert.rejects(signIn(world, { id: "ann@example.com", name: "ann@example.com" }), { code: "forbidden" });
  const lookAlike = { id: "z", email: "\u0430nn@example.com" };
  await assert.rejects(signIn(world, lookAlike), { code: "forbidden" });
});

test("a state works once, in the browser that began, at the provider it began for", async () => {
  await using world = await withProvider("corp");
  const { deps } = world.accounts;
  const journey = await begin(world);
  const query = await world.server.visit(journey.location, ANN);
  const finish = (attempt: string | undefined, came = query, provider = "corp"): Promise<unknown> =>
    finishProviderJourney(deps, visitor({ cookies: { attempt } }), undefined, { provider, query: came });

  // Somebody else's browser, which is sent to this address (login CSRF), has no attempt or its own.
  await assert.rejects(finish(undefined), REFUSED);
  await assert.rejects(finish((await begin(world)).attempt), REFUSED);
  await assert.rejects(finish(journey.attempt, query.replace(/state=[^&]+/, "state=x")), REFUSED);
  await assert.rejects(finish(journey.attempt, query.replace(/&?state=[^&]+/, "")), REFUSED);
  await assert.rejects(finish(journey.attempt, query, "other"), { code: "not_found" });
  const outcomes = await Promise.allSettled([1, 2, 3].map(() => finish(journey.attempt)));
  assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
  await assert.rejects(finish(journey.attempt), REFUSED);
  // Another code with the used state.
  await assert.rejects(finish(journey.attempt, query.replace(/code=[^&]+/, "code=x")), REFUSED);
});

test("a code of another browser's journey is refused by its verifier and nonce", async () => {
  for (const name of ["corp", "github"]) {
    await using world = await withProvider(name);
    const { deps } = world.accounts;
    const eves = await begin(world);
    const victims = await begin(world);
    const query = await world.server.visit(eves.location, { id: "666", email: "eve@example.com" });
    const state = new URL(victims.location).searchParams.get("state") ?? "";

    const injected = new URLSearchParams(query);
    injected.set("state", state);
    await assert.rejects(
      finishProviderJourney(deps, visitor({ cookies: { attempt: victims.attempt } }), undefined, {
        provider: name,
        query: `?${injected.toString()}`,
      }),
      REFUSED,
    );
  }
});

test("whoever refuses at the provider is back without an account", async () => {
  await using world = await withProvider("corp");
  const journey = await begin(world);
  const state = new URL(journey.location).searchParams.get("state") ?? "";
  const came = { provider: "corp", query: `?error=access_denied&state=${state}&iss=${world.server.issuer}` };

  await assert.rejects(
    finishProviderJourney(world.accounts.deps, visitor({ cookies: { attempt: journey.attempt } }), undefined, came),
    REFUSED,
  );
  assert.ok(world.accounts.log.messages.includes("a provider's sign-in failed"));
});

test("the way on is a path of this hub", async () => {
  await using world = await withProvider("corp");
  for (const returnTo of ["https://evil.example", "//evil.example", "/\\evil.example"]) {
    const back = await signIn(world, ANN, { returnTo });
    assert.equal(back.outcome === "signed-in" && back.returnTo, "/");
  }
});

test("the provider is given the hub's public address to send people back to", async () => {
  await using world = await withProvider("corp");
  const { location } = await begin(world);
  const { searchParams } = new URL(location);

  assert.equal(searchParams.get("redirect_uri"), "https://hub.example/api/sign-in/providers/corp/callback");
  assert.equal(searchParams.get("code_challenge_method"), "S256");
  assert.match(searchParams.get("state") ?? "", /^[\w-]{43}$/);
  assert.match(searchParams.get("nonce") ?? "", /^[\w-]{43}$/);
});

test("new accounts need an invite where registration does", async () => {
  await using world = await withProvider("corp", { registration: "invite" });
  await assert.rejects(signIn(world, ANN), { code: "invalid_request", param: "invite_code" });
  await assert.rejects(signIn(world, ANN, { inviteCode: "BAD" }), { param: "invite_code" });
  await assert.rejects(signIn(world, ANN, { inviteCode: "GOOD ONCE" }), { param: "invite_code" });
  assert.equal((await signIn(world, ANN, { inviteCode: "GOOD" })).outcome, "signed-in");

  await using closed = await withProvider("corp", { registration: "closed" });
  await assert.rejects(signIn(closed, ANN, { inviteCode: "GOOD" }), { code: "forbidden" });
  // Who has an account signs in.
  await closed.accounts.user("ann@example.com");
  assert.equal((await signIn(closed, ANN)).outcome, "signed-in");
});

test("a disabled user stays out", async () => {
  await using world = await withProvider("corp");
  const back = await signIn(world, ANN);
  const { deps } = world.accounts;
  await deps.database.write((transaction) => changeUser(transaction, userIdOf(back), { disabledAtMs: 1 }));

  await assert.rejects(signIn(world, ANN), { code: "forbidden" });
  await assert.rejects(signIn(world, { ...ANN, id: "another" }), { code: "forbidden" });
});

test("the second factor is asked for after a provider as well", async () => {
  await using world = await withProvider("corp");
  const { accounts } = world;
  const { deps } = accounts;
  const first = await signIn(world, ANN);
  assert.equal(first.outcome, "signed-in");
  const ann = await accounts.as(first.signedIn);
  const { secret } = await beginSecondFactor(deps, ann);
  const epoch = Math.floor(deps.now() / 1000);
  await confirmSecondFactor(deps, ann, await generate({ secret, epoch }));

  const back = await signIn(world, ANN, { returnTo: "/keys" });
  assert.equal(back.outcome, "second-factor");
  const code = await generate({ secret, epoch: epoch + 30 });
  const finished = await finishSignIn(deps, visitor({ cookies: { attempt: back.attempt } }), code);
  assert.equal(finished.returnTo, "/keys");
});

test("somebody who is signed in links an account on purpose, whatever its address, and can unlink it", async () => {
  await using world = await withProvider("corp");
  const { accounts } = world;
  const { deps } = accounts;
  const root = await accounts.as(await accounts.signIn("root@hub.example"));
  const there = { id: "boss", email: "boss@elsewhere.example" };

  const back = await linkTo(world, root, there);
  assert.deepEqual(back, { outcome: "linked", returnTo: "/account" });
  assert.equal(userIdOf(await signIn(world, there)), root.user.id);
  // Linked again: nothing changes. To somebody else: refused.
  await linkTo(world, root, there);
  await accounts.user("eve@example.com");
  const eve = await accounts.as(await accounts.signIn("eve@example.com"));
  await assert.rejects(linkTo(world, eve, there), { code: "conflict" });

  const [account, ...more] = await listLinkedAccounts(deps, root);
  assert.deepEqual([account?.email, more.length], ["boss@elsewhere.example", 0]);
  await assert.rejects(unlinkAccount(deps, eve, account?.id ?? ""), { code: "not_found" });
  await unlinkAccount(deps, root, account?.id ?? "");
  assert.deepEqual(await listLinkedAccounts(deps, root), []);
});

test("a link that was begun by one user is not ended by another, nor by nobody", async () => {
  await using world = await withProvider("corp");
  const { accounts } = world;
  await accounts.user("eve@example.com");
  const root = await accounts.as(await accounts.signIn("root@hub.example"));
  const eve = await accounts.as(await accounts.signIn("eve@example.com"));

  await assert.rejects(linkTo(world, root, ANN, eve), REFUSED);
  await assert.rejects(linkTo(world, root, ANN, "nobody"), REFUSED);
  accounts.pass(16 * 60_000);
  await assert.rejects(linkTo(world, root, ANN), { code: "confirmation_required" });
});

test("a sign-in that ended while the provider was asked links nothing", async () => {
  await using world = await withProvider("corp");
  const { accounts } = world;
  const { db } = accounts.deps.database;
  const root = await accounts.as(await accounts.signIn("root@hub.example"));
  await endSignInsOf(db, root.user.id, accounts.deps.now());

  await assert.rejects(linkTo(world, root, ANN), REFUSED);

  assert.deepEqual(await linkedAccountsOf(db, root.user.id), []);
});

test("an account that gives its address up meanwhile lets nobody in who was not admitted", async () => {
  await using world = await withProvider("corp", { registration: "closed" });
  const { deps } = world.accounts;
  const ann = await world.accounts.user("ann@example.com");
  const { location, attempt } = await begin(world);
  const query = await world.server.visit(location, ANN);
  const database: typeof deps.database = {
    db: deps.database.db,
    watch: () => () => {},
    // Between the first look and the transaction.
    write: async (act) => {
      await deps.database.write((transaction) => changeUser(transaction, ann.id, { email: "ann2@example.com" }));
      return deps.database.write(act);
    },
  };

  const back = finishProviderJourney({ ...deps, database }, visitor({ cookies: { attempt } }), undefined, {
    provider: world.name,
    query,
  });

  await assert.rejects(back, REFUSED);
  assert.equal((await usersWhere(deps.database.db, { role: "user" }, { limit: 10 })).length, 1);
});

test("the only way in is not taken away", async () => {
  await using world = await withProvider("corp");
  const { deps } = world.accounts;
  const back = await signIn(world, ANN);
  assert.equal(back.outcome, "signed-in");
  const ann = await world.accounts.as(back.signedIn);
  const [account] = await listLinkedAccounts(deps, ann);

  await assert.rejects(unlinkAccount(deps, ann, account?.id ?? ""), { code: "conflict" });
  assert.equal((await listLinkedAccounts(deps, ann)).length, 1);
});

test("a provider that does not answer is no reason not to start, and is asked again", async () => {
  const provider = openProvider({
    name: "gone",
    label: "Gone",
    issuer: "http://127.0.0.1:9",
    clientId: "hub",
    clientSecret: undefined,
  });
  await using accounts = await testAccounts({}, [provider]);

  for (const _attempt of [1, 2]) {
    await assert.rejects(beginProviderSignIn(accounts.deps, visitor(), { provider: "gone" }), {
      code: "upstream_unreachable",
      message: "Gone does not answer.",
    });
  }
  await assert.rejects(beginProviderSignIn(accounts.deps, visitor(), { provider: "none" }), { code: "not_found" });
});

interface World extends AsyncDisposable {
  readonly accounts: TestAccounts;
  readonly server: TestProvider;
  readonly name: string;
}

/** A hub with a root, and one provider: GitHub, or any other name for OpenID Connect. */
async function withProvider(name: string, settings: Partial<AccountsSettings> = {}): Promise<World> {
  const redirectUri = `https://hub.example/api/sign-in/providers/${name}/callback`;
  const server = await (name === "github" ? startFakeGithub(redirectUri) : startOidcServer(redirectUri));
  const { issuer, clientId, clientSecret } = server;
  const accounts = await testAccounts(settings, [openProvider({ name, label: name, issuer, clientId, clientSecret })]);
  await accounts.root();
  return {
    accounts,
    server,
    name,
    [Symbol.asyncDispose]: async () => {
      await accounts[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

function begin(
  { accounts, name }: World,
  wanted: { readonly returnTo?: string; readonly inviteCode?: string } = {},
): ReturnType<typeof beginProviderSignIn> {
  return beginProviderSignIn(accounts.deps, visitor(), { provider: name, ...wanted });
}

async function signIn(
  world: World,
  person: PersonThere,
  wanted: { readonly returnTo?: string; readonly inviteCode?: string } = {},
): Promise<ProviderReturn> {
  const { location, attempt } = await begin(world, wanted);
  const query = await world.server.visit(location, person);
  const at = visitor({ cookies: { attempt }, requestId: "req_back" });
  return finishProviderJourney(world.accounts.deps, at, undefined, { provider: world.name, query });
}

async function linkTo(
  world: World,
  actor: UserActor,
  person: PersonThere,
  comesBack: UserActor | "nobody" = actor,
): Promise<ProviderReturn> {
  const { deps } = world.accounts;
  const wanted = { provider: world.name, returnTo: "/account" };
  const { location, attempt } = await beginLinking(deps, actor, visitor(), wanted);
  const query = await world.server.visit(location, person);
  const who = comesBack === "nobody" ? undefined : comesBack;
  return finishProviderJourney(deps, visitor({ cookies: { attempt } }), who, { provider: world.name, query });
}

function userIdOf(back: ProviderReturn): string {
  assert.equal(back.outcome, "signed-in");
  return back.signedIn.user.id;
}
