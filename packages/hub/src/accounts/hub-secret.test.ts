import assert from "node:assert/strict";
import { readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { test } from "node:test";

import { temporaryFolder } from "../temporary-folder.ts";
import { HubSecret, loadHubSecret, parseSecretKey } from "./hub-secret.ts";

const ONE = new HubSecret(Buffer.alloc(32, 1));
const OTHER = new HubSecret(Buffer.alloc(32, 2));

test("what was sealed is read with the same key, use and context only", () => {
  const sealed = ONE.seal("totp", "user_1", "a secret");

  assert.equal(ONE.open("totp", "user_1", sealed), "a secret");
  assert.equal(ONE.open("totp", "user_2", sealed), undefined);
  assert.equal(ONE.open("attempt", "user_1", sealed), undefined);
  assert.equal(OTHER.open("totp", "user_1", sealed), undefined);
  assert.notEqual(ONE.seal("totp", "user_1", "a secret"), sealed);
});

test("a changed, cut or empty box does not open", () => {
  const sealed = Buffer.from(ONE.seal("totp", "user_1", "a secret"), "base64url");
  for (let index = 0; index < sealed.length; index += 1) {
    const changed = Buffer.from(sealed);
    changed[index] = (changed[index] ?? 0) ^ 1;
    assert.equal(ONE.open("totp", "user_1", changed.toString("base64url")), undefined);
    assert.equal(ONE.open("totp", "user_1", sealed.subarray(0, index).toString("base64url")), undefined);
  }
});

test("a signature is good for its own text and use", () => {
  const signature = ONE.sign("device", "user_1 device_1");

  assert.ok(ONE.isSignature("device", "user_1 device_1", signature));
  assert.ok(!ONE.isSignature("device", "user_2 device_1", signature));
  assert.ok(!ONE.isSignature("attempt", "user_1 device_1", signature));
  assert.ok(!ONE.isSignature("device", "user_1 device_1", ""));
  assert.ok(!OTHER.isSignature("device", "user_1 device_1", signature));
});

test("the key is made once, for the owner's eyes only, and found again", () => {
  using folder = temporaryFolder();

  const made = loadHubSecret(folder.file("data"), undefined);
  const found = loadHubSecret(folder.file("data"), undefined);

  assert.equal(found.open("totp", "", made.seal("totp", "", "x")), "x");
  assert.equal(statSync(folder.file("data/secret.key")).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(folder.file("data")), ["secret.key"]);
  assert.notEqual(parseSecretKey(readFileSync(folder.file("data/secret.key"), "utf8").trim()), undefined);
});

test("a key of the settings is used instead of the file, in hex or base64url", () => {
  using folder = temporaryFolder();
  const hex = loadHubSecret(folder.path, "01".repeat(32));
  const base64 = loadHubSecret(folder.path, Buffer.alloc(32, 1).toString("base64url"));

  assert.equal(ONE.open("totp", "", hex.seal("totp", "", "x")), "x");
  assert.equal(ONE.open("totp", "", base64.seal("totp", "", "x")), "x");
  assert.deepEqual(readdirSync(folder.path), []);
});

test("a file without a key is refused by its name and never overwritten", () => {
  using folder = temporaryFolder();
  writeFileSync(folder.file("secret.key"), "");

  assert.throws(() => loadHubSecret(folder.path, undefined), /secret\.key holds no key/);
  assert.equal(readFileSync(folder.file("secret.key"), "utf8"), "");
});
