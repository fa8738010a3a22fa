import assert from "node:assert/strict";
import { test } from "node:test";

import type { AuthenticationResponseJSON } from "@simplewebauthn/server";

import { endSignInsOf } from "../store/sign-in-store.ts";
import { changeUser } from "../store/user-store.ts";
import { ATTEMPT_MS } from "./attempt.ts";
import {
  beginPasskey,
  beginPasskeySignIn,
  confirmWithPasskey,
  finishPasskey,
  finishPasskeySignIn,
  listPasskeys,
  removePasskey,
} from "./passkeys.ts";
import { requireFresh } from "./sign-ins.ts";
import { type AuthenticatorFaults, SoftwareAuthenticator } from "./software-authenticator.ts";
import { type TestAccounts, testAccounts, visitor } from "./test-accounts.ts";

const EMAIL = "ann@example.com";
const ORIGIN = "https://hub.example";
const REFUSED = { code: "unauthenticated" };

test("a passkey signs in without a name or a password", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;
  await accounts.user(EMAIL);
  const device = await withPasskey(accounts, EMAIL);

  const { options, attempt } = await beginPasskeySignIn(deps);
  assert.equal(options.allowCredentials, undefined);
  assert.equal(options.userVerification, "required");
  const signedIn = await finishPasskeySignIn(deps, visitor({ cookies: { attempt } }), device.get(options));

  const ann = await accounts.as(signedIn);
  assert.equal(ann.user.email, EMAIL);
  const [passkey] = await listPasskeys(deps, ann);
  assert.deepEqual([passkey?.name, passkey?.transports, passkey?.lastUsedAtMs], ["phone", ["internal"], deps.now()]);
});

test("a challenge works once, for ten minutes, and in the browser that asked for it", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;
  await accounts.user(EMAIL);
  const device = await withPasskey(accounts, EMAIL);
  const first = await beginPasskeySignIn(deps);
  const second = await beginPasskeySignIn(deps);
  const answer = device.get(first.options);
  const finish = (attempt: string | undefined, response: AuthenticationResponseJSON): Promise<unknown> =>
    finishPasskeySignIn(deps, visitor({ cookies: { attempt } }), response);

  await assert.rejects(finish(undefined, answer), REFUSED);
  await assert.rejects(finish(second.attempt, answer), REFUSED);
  const outcomes = await Promise.allSettled([1, 2, 3].map(() => finish(first.attempt, answer)));
  assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
  await assert.rejects(finish(first.attempt, answer), REFUSED);
  accounts.pass(ATTEMPT_MS);
  await assert.rejects(finish(second.attempt, device.get(second.options)), REFUSED);
});

test("an answer for another site, of an unverified person, or with another person's handle is refused", async () => {
  await using accounts = await testAccounts();
  await accounts.user(EMAIL);
  const device = await withPasskey(accounts, EMAIL);
  const faults: AuthenticatorFaults[] = [
    { origin: "https://evil.example" },
    { origin: "http://hub.example" },
    { rpId: "evil.example" },
    { isUserVerified: false },
    { challenge: "AAAA" },
    { userHandle: Buffer.from("user_eve@example.com").toString("base64url") },
  ];
  for (const fault of faults) {
    const { options, attempt } = await beginPasskeySignIn(accounts.deps);
    await assert.rejects(
      finishPasskeySignIn(accounts.deps, visitor({ cookies: { attempt } }), device.get(options, fault)),
      REFUSED,
      JSON.stringify(fault),
    );
  }
  const { options, attempt } = await beginPasskeySignIn(accounts.deps);
  const stranger = new SoftwareAuthenticator(ORIGIN);
  await assert.rejects(
    finishPasskeySignIn(accounts.deps, visitor({ cookies: { attempt } }), stranger.get(options)),
    REFUSED,
  );
  // The id of a passkey that is known, signed by another key.
  const forged = { ...stranger.get(options), id: device.id, rawId: device.id };
  await assert.rejects(finishPasskeySignIn(accounts.deps, visitor({ cookies: { attempt } }), forged), REFUSED);
});

test("a copy of a passkey that counts is noticed", async () => {
  await using accounts = await testAccounts();
  await accounts.user(EMAIL);
  const device = await withPasskey(accounts, EMAIL, new SoftwareAuthenticator(ORIGIN, { counter: 5 }));
  const copy = device.clone();
  const signIn = async (by: SoftwareAuthenticator): Promise<unknown> => {
    const { options, attempt } = await beginPasskeySignIn(accounts.deps);
    return finishPasskeySignIn(accounts.deps, visitor({ cookies: { attempt } }), by.get(options));
  };

  await signIn(device);

  await assert.rejects(signIn(copy), REFUSED);
  await signIn(device);
});

test("a disabled user's passkey signs nobody in", async () => {
  await using accounts = await testAccounts();
  const ann = await accounts.user(EMAIL);
  const device = await withPasskey(accounts, EMAIL);
  await accounts.deps.database.write((transaction) => changeUser(transaction, ann.id, { disabledAtMs: 1 }));
  const { options, attempt } = await beginPasskeySignIn(accounts.deps);

  await assert.rejects(finishPasskeySignIn(accounts.deps, visitor({ cookies: { attempt } }), device.get(options)), {
    code: "forbidden",
  });
});

test("a passkey is made by its user, in one go, and with a person behind it", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;
  await accounts.user(EMAIL);
  await accounts.user("eve@example.com");
  const ann = await accounts.as(await accounts.signIn(EMAIL));
  const eve = await accounts.as(await accounts.signIn("eve@example.com"));
  const device = new SoftwareAuthenticator(ORIGIN);
  const { options, attempt } = await beginPasskey(deps, ann);
  const at = visitor({ cookies: { attempt } });
  const refused = { code: "invalid_request" };

  for (const fault of [{ origin: "https://evil.example" }, { isUserVerified: false }, { challenge: "AAAA" }]) {
    await assert.rejects(finishPasskey(deps, ann, at, { response: device.create(options, fault), name: "" }), refused);
  }
  const response = device.create(options);
  // Eve's browser, with what Ann's device said.
  await assert.rejects(finishPasskey(deps, eve, at, { response, name: "" }), refused);
  const other = await beginPasskey(deps, eve);
  const eves = visitor({ cookies: { attempt: other.attempt } });
  await assert.rejects(finishPasskey(deps, eve, eves, { response, name: "" }), refused);
  await finishPasskey(deps, ann, at, { response, name: "phone" });
  await assert.rejects(finishPasskey(deps, ann, at, { response, name: "phone" }), refused);
  assert.deepEqual(
    (await beginPasskey(deps, ann)).options.excludeCredentials?.map(({ id }) => id),
    [device.id],
  );
});

test("a sign-in that ended while its browser made a passkey keeps none", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;
  await accounts.user(EMAIL);
  const ann = await accounts.as(await accounts.signIn(EMAIL));
  const { options, attempt } = await beginPasskey(deps, ann);
  const response = new SoftwareAuthenticator(ORIGIN).create(options);
  await endSignInsOf(deps.database.db, ann.user.id, deps.now());

  await assert.rejects(finishPasskey(deps, ann, visitor({ cookies: { attempt } }), { response, name: "" }), REFUSED);

  assert.deepEqual(await listPasskeys(deps, ann), []);
});

test("a passkey confirms the sign-in of its user, and of nobody else", async () => {
  await using accounts = await testAccounts();
  const { deps } = accounts;
  await accounts.user(EMAIL);
  await accounts.user("eve@example.com");
  const device = await withPasskey(accounts, EMAIL);
  const ann = await accounts.as(await accounts.signIn(EMAIL));
  const eve = await accounts.as(await accounts.signIn("eve@example.com"));
  accounts.pass(16 * 60_000);
  const { options, attempt } = await beginPasskeySignIn(deps);
  const at = visitor({ cookies: { attempt } });

  await assert.rejects(removePasskey(deps, ann, "passkey_1"), { code: "confirmation_required" });
  await assert.rejects(confirmWithPasskey(deps, eve, at, device.get(options)), REFUSED);
  const fresh = await accounts.actorOf(await confirmWithPasskey(deps, ann, at, device.get(options)));
  assert.ok(fresh);
  requireFresh(fresh, deps.now());

  const [passkey] = await listPasskeys(deps, fresh);
  const withPassword = await accounts.reload({ email: EMAIL });
  await deps.database.write((write) => changeUser(write, withPassword.id, { passwordHash: null }));
  await assert.rejects(removePasskey(deps, fresh, passkey?.id ?? ""), { code: "conflict" });
  assert.equal((await listPasskeys(deps, fresh)).length, 1);
  await deps.database.write((write) => changeUser(write, withPassword.id, { passwordHash: "x" }));
  await removePasskey(deps, fresh, passkey?.id ?? "");
  assert.deepEqual(await listPasskeys(deps, fresh), []);
  await assert.rejects(removePasskey(deps, fresh, passkey?.id ?? ""), { code: "not_found" });
});

async function withPasskey(
  accounts: TestAccounts,
  email: string,
  device = new SoftwareAuthenticator(ORIGIN),
): Promise<SoftwareAuthenticator> {
  const actor = await accounts.as(await accounts.signIn(email));
  const { options, attempt } = await beginPasskey(accounts.deps, actor);
  const response = device.create(options);
  await finishPasskey(accounts.deps, actor, visitor({ cookies: { attempt } }), { response, name: "phone" });
  return device;
}
