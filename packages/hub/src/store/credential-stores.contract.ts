import assert from "node:assert/strict";
import { test } from "node:test";

import {
  type NewAccessToken,
  accessTokenByHash,
  accessTokensOf,
  insertAccessToken,
  liveAccessTokensOf,
  revokeAccessToken,
  revokeAccessTokensOf,
  touchAccessToken,
} from "./access-token-store.ts";
import type { Database } from "./database.ts";
import {
  type LinkedAccountRecord,
  deleteLinkedAccount,
  insertLinkedAccount,
  linkedAccount,
  linkedAccountsOf,
} from "./linked-account-store.ts";
import { type NewLink, endLinks, openLink, insertLink, useLink } from "./one-time-link-store.ts";
import {
  type PasskeyRecord,
  deletePasskey,
  insertPasskey,
  passkeyByCredential,
  passkeysOf,
  usePasskey,
} from "./passkey-store.ts";
import {
  beginTotp,
  confirmTotp,
  recoveryCodesLeft,
  removeTotp,
  replaceRecoveryCodes,
  totpOf,
  useRecoveryCode,
  useTotpStep,
} from "./second-factor-store.ts";
import { useAttempt } from "./used-attempt-store.ts";
import { newUser } from "./user-store.contract.ts";
import { insertUser, userById } from "./user-store.ts";

type Open = () => Promise<{ readonly database: Database } & AsyncDisposable>;

export function credentialStoresContract(name: string, open: Open): void {
  const openWithUsers: Open = async () => {
    const store = await open();
    for (const id of ["user_1", "user_2"]) await store.database.write((write) => insertUser(write, newUser(id)));
    return store;
  };

  test(`${name}: a link works once, in its time, for its purpose`, async () => {
    await using store = await openWithUsers();
    const { db } = store.database;
    const wanted = { hash: "hash of link_1", purpose: "reset-password" } as const;
    await insertLink(db, link("link_1"));

    assert.equal(await useLink(db, { ...wanted, purpose: "verify-email" }, 2000), undefined);
    assert.equal(await useLink(db, wanted, 9000), undefined);
    assert.equal((await openLink(db, wanted, 2000))?.id, "link_1");
    const uses = await Promise.all([1, 2, 3, 4].map(() => useLink(db, wanted, 2000)));

    assert.equal(uses.filter((use) => use !== undefined).length, 1);
    assert.equal(uses.find((use) => use !== undefined)?.email, "ann@example.com");
    assert.equal(await openLink(db, wanted, 2000), undefined);
  });

  test(`${name}: a user's links for one purpose end together, and those that ran out are swept out`, async () => {
    await using store = await openWithUsers();
    const { db } = store.database;
    const ids = async (): Promise<string[]> =>
      (await db.selectFrom("one_time_links").select("id").orderBy("id").execute()).map(({ id }) => id);
    await insertLink(db, link("link_1"));
    await insertLink(db, { ...link("link_2"), purpose: "verify-email" });
    await insertLink(db, { ...link("link_3"), userId: "user_2" });
    await insertLink(db, { ...link("link_4"), purpose: "set-up", userId: undefined });
    await insertLink(db, link("link_5"));

    assert.deepEqual(await ids(), ["link_1", "link_2", "link_3", "link_4", "link_5"]);
    await endLinks(db, "set-up", undefined);
    await endLinks(db, "reset-password", "user_1");
    assert.deepEqual(await ids(), ["link_2", "link_3"]);
    await insertLink(db, { ...link("link_6"), createdAtMs: 9000, expiresAtMs: 10_000 });
    assert.deepEqual(await ids(), ["link_6"]);
  });

  test(`${name}: an attempt ends once`, async () => {
    await using store = await open();
    const { db } = store.database;
    const attempt = { id: "attempt_1", expiresAtMs: 5000 };

    const uses = await Promise.all([1, 2, 3].map(() => useAttempt(db, attempt, 1000)));

    assert.equal(uses.filter(Boolean).length, 1);
    await useAttempt(db, { id: "attempt_2", expiresAtMs: 9000 }, 5000);
    const rows = await db.selectFrom("used_attempts").select("id").execute();
    assert.deepEqual(
      rows.map(({ id }) => id),
      ["attempt_2"],
    );
  });

  test(`${name}: a second factor is one once it is confirmed, and each time step works once`, async () => {
    await using store = await openWithUsers();
    const { db } = store.database;

    assert.equal(await totpOf(db, "user_1"), undefined);
    await beginTotp(db, "user_1", "first secret");
    assert.equal(await beginTotp(db, "user_1", "second secret"), true);
    assert.equal((await userById(db, "user_1"))?.hasSecondFactor, false);
    assert.equal(await confirmTotp(db, "user_1", { sealedSecret: "first secret", nowMs: 5 }), false);
    assert.equal(await confirmTotp(db, "user_1", { sealedSecret: "second secret", nowMs: 5 }), true);
    assert.equal(await beginTotp(db, "user_1", "third secret"), false);
    assert.deepEqual(await totpOf(db, "user_1"), {
      sealedSecret: "second secret",
      confirmedAtMs: 5,
      lastStep: undefined,
    });
    assert.equal((await userById(db, "user_1"))?.hasSecondFactor, true);

    const uses = await Promise.all([1, 2, 3].map(() => useTotpStep(db, "user_1", 100)));
    assert.equal(uses.filter(Boolean).length, 1);
    assert.equal(await useTotpStep(db, "user_1", 99), false);
    assert.equal(await useTotpStep(db, "user_1", 101), true);
    assert.equal(await useTotpStep(db, "user_2", 101), false);
    await removeTotp(db, "user_1");
    assert.equal(await totpOf(db, "user_1"), undefined);
    assert.equal((await userById(db, "user_1"))?.hasSecondFactor, false);
  });

  test(`${name}: a recovery code works once and for its user`, async () => {
    await using store = await openWithUsers();
    const { db } = store.database;
    await replaceRecoveryCodes(db, "user_1", { hashes: ["a", "b", "c"], nowMs: 1000 });

    assert.equal(await useRecoveryCode(db, "user_2", { hash: "a", nowMs: 2000 }), false);
    const uses = await Promise.all([1, 2, 3].map(() => useRecoveryCode(db, "user_1", { hash: "a", nowMs: 2000 })));

    assert.equal(uses.filter(Boolean).length, 1);
    assert.equal(await recoveryCodesLeft(db, "user_1"), 2);
    await replaceRecoveryCodes(db, "user_1", { hashes: ["d"], nowMs: 3000 });
    assert.equal(await useRecoveryCode(db, "user_1", { hash: "b", nowMs: 4000 }), false);
    assert.equal(await recoveryCodesLeft(db, "user_1"), 1);
  });

  test(`${name}: an account elsewhere signs in as one user`, async () => {
    await using store = await openWithUsers();
    const { db } = store.database;

    assert.equal(await insertLinkedAccount(db, account("account_1", "user_1")), true);
    assert.equal(await insertLinkedAccount(db, account("account_2", "user_2")), false);
    assert.equal(await insertLinkedAccount(db, { ...account("account_3", "user_2"), subject: "43" }), true);

    assert.deepEqual(await linkedAccount(db, "github", "42"), account("account_1", "user_1"));
    assert.equal(await linkedAccount(db, "google", "42"), undefined);
    assert.deepEqual(await linkedAccountsOf(db, "user_1"), [account("account_1", "user_1")]);
    assert.equal(await deleteLinkedAccount(db, { id: "account_1", userId: "user_2" }), undefined);
    assert.equal((await deleteLinkedAccount(db, { id: "account_1", userId: "user_1" }))?.subject, "42");
    assert.equal(await linkedAccount(db, "github", "42"), undefined);
  });

  test(`${name}: a passkey is found by its credential, and its counter goes up only`, async () => {
    await using store = await openWithUsers();
    const { db } = store.database;

    assert.equal(await insertPasskey(db, passkey("passkey_1", 5)), true);
    assert.equal(await insertPasskey(db, { ...passkey("passkey_2", 0), credentialId: "of passkey_1" }), false);
    assert.equal(await insertPasskey(db, passkey("passkey_3", 0)), true);

    assert.deepEqual(await passkeyByCredential(db, "of passkey_1"), passkey("passkey_1", 5));
    assert.equal(await usePasskey(db, "passkey_1", { counter: 5, nowMs: 2000 }), false);
    assert.equal(await usePasskey(db, "passkey_1", { counter: 0, nowMs: 2000 }), false);
    assert.equal(await usePasskey(db, "passkey_1", { counter: 6, nowMs: 2000 }), true);
    assert.equal(await usePasskey(db, "passkey_3", { counter: 0, nowMs: 2000 }), true);
    assert.equal(await usePasskey(db, "passkey_3", { counter: 0, nowMs: 3000 }), true);
    assert.deepEqual(
      (await passkeysOf(db, "user_1")).map(({ id, counter, lastUsedAtMs }) => [id, counter, lastUsedAtMs]),
      [
        ["passkey_1", 6, 2000],
        ["passkey_3", 0, 3000],
      ],
    );
    assert.equal(await deletePasskey(db, { id: "passkey_1", userId: "user_2" }), undefined);
    assert.equal((await deletePasskey(db, { id: "passkey_1", userId: "user_1" }))?.id, "passkey_1");
  });

  test(`${name}: of tokens that ended only the newest are kept, and none that can still be used is lost`, async () => {
    await using store = await openWithUsers();
    const { db } = store.database;
    const numbered = (number: number): string => `token_${String(number).padStart(3, "0")}`;
    await insertAccessToken(db, { ...token(numbered(0)), expiresAtMs: undefined });
    for (let number = 1; number <= 210; number += 1) {
      const nowMs = 1000 + 10 * number;
      await insertAccessToken(db, { ...token(numbered(number)), createdAtMs: nowMs, expiresAtMs: nowMs + 1 });
      if (number % 2 === 0) await revokeAccessToken(db, { id: numbered(number), userId: "user_1" }, nowMs);
    }

    const kept = await accessTokensOf(db, "user_1", { limit: 1000 });

    assert.deepEqual([kept.length, kept.at(-2)?.id, kept.at(-1)?.id], [201, numbered(11), numbered(0)]);
  });

  test(`${name}: an access token is found by its hash until it is revoked or runs out`, async () => {
    await using store = await openWithUsers();
    const { db } = store.database;
    for (const id of ["token_1", "token_2", "token_3"]) await insertAccessToken(db, token(id));
    await insertAccessToken(db, { ...token("token_4"), expiresAtMs: undefined });
    await touchAccessToken(db, "token_1", { nowMs: 1500 });

    const found = await accessTokenByHash(db, "hash of token_1", 2000);
    assert.deepEqual(found?.token.scopes, ["keys:read", "keys:write"]);
    assert.equal(found.token.lastUsedAtMs, 1500);
    assert.equal(found.user.id, "user_1");
    assert.equal(await accessTokenByHash(db, "hash of token_1", 9000), undefined);
    assert.equal((await accessTokenByHash(db, "hash of token_4", 9000))?.token.id, "token_4");
    assert.equal(await liveAccessTokensOf(db, "user_1", 2000), 4);
    assert.equal(await liveAccessTokensOf(db, "user_1", 9000), 1);

    assert.equal(await revokeAccessToken(db, { id: "token_1", userId: "user_2" }, 2000), undefined);
    assert.equal((await revokeAccessToken(db, { id: "token_1", userId: "user_1" }, 2000))?.revokedAtMs, 2000);
    assert.equal(await revokeAccessToken(db, { id: "token_1", userId: "user_1" }, 2000), undefined);
    assert.equal(await accessTokenByHash(db, "hash of token_1", 2000), undefined);
    const ids = async (after?: string): Promise<string[]> =>
      (await accessTokensOf(db, "user_1", { limit: 2, after })).map(({ id }) => id);
    assert.deepEqual(await ids(), ["token_4", "token_3"]);
    assert.deepEqual(await ids("token_3"), ["token_2", "token_1"]);
    await revokeAccessTokensOf(db, "user_1", 3000);
    assert.equal(await liveAccessTokensOf(db, "user_1", 3000), 0);

    await insertAccessToken(db, { ...token("token_5"), createdAtMs: 100 * 24 * 3600 * 1000 });
    assert.deepEqual(await ids(), ["token_5"]);
  });
}

function link(id: string): NewLink {
  return {
    id,
    purpose: "reset-password",
    userId: "user_1",
    email: "ann@example.com",
    hash: `hash of ${id}`,
    createdAtMs: 1000,
    expiresAtMs: 9000,
  };
}

function account(id: string, userId: string): LinkedAccountRecord {
  return { id, userId, provider: "github", subject: "42", email: "ann@example.com", createdAtMs: 1000 };
}

function passkey(id: string, counter: number): PasskeyRecord {
  return {
    id,
    userId: "user_1",
    credentialId: `of ${id}`,
    publicKey: "key",
    counter,
    transports: ["internal", "hybrid"],
    name: id,
    createdAtMs: 1000,
    lastUsedAtMs: undefined,
  };
}

function token(id: string): NewAccessToken {
  return {
    id,
    userId: "user_1",
    name: id,
    prefix: `pat-${id}`,
    hash: `hash of ${id}`,
    scopes: ["keys:read", "keys:write"],
    createdAtMs: 1000,
    expiresAtMs: 9000,
    revokedAtMs: undefined,
    lastUsedAtMs: undefined,
  };
}
