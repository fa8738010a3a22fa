import assert from "node:assert/strict";
import { test } from "node:test";

import { type DeriveKey, HASHING, PasswordHasher, isOutdatedHash } from "./password-hasher.ts";

test("a password is kept as a PHC string of argon2id with 19 MiB and two passes", async () => {
  const hasher = new PasswordHasher();

  const phc = await hasher.hash("correct horse battery");

  assert.match(phc, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[\w+/]{22}\$[\w+/]{43}$/);
  assert.equal(await hasher.verify("correct horse battery", phc, "stranger"), true);
  assert.equal(await hasher.verify("correct horse batterz", phc, "stranger"), false);
  assert.notEqual(await hasher.hash("correct horse battery"), phc);
});

/** From the reference implementation's own tests: test.c of github.com/P-H-C/phc-winner-argon2. */
const REFERENCE = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";

test("hashes of other programs are checked with the parameters that they name", async () => {
  const hasher = new PasswordHasher();

  assert.equal(await hasher.verify("password", REFERENCE, "stranger"), true);
  assert.equal(await hasher.verify("passwort", REFERENCE, "stranger"), false);
  assert.ok(isOutdatedHash(REFERENCE));
  assert.ok(!isOutdatedHash(await hasher.hash("password")));
});

test("the same work is done with and without a user, a password, or a readable hash", async () => {
  const done: string[] = [];
  const hasher = new PasswordHasher(({ memory, passes, parallelism, tagLength }) => {
    done.push(`${memory} ${passes} ${parallelism} ${tagLength}`);
    return Promise.resolve(Buffer.alloc(tagLength));
  });
  const kept = await hasher.hash("correct horse");
  done.length = 0;

  // The fake gives everybody the tag of nobody, and still nobody gets in without a hash.
  assert.equal(await hasher.verify("correct horse", kept, "stranger"), true);
  assert.equal(await hasher.verify("correct horse", undefined, "stranger"), false);
  assert.equal(await hasher.verify(undefined, kept, "stranger"), false);
  assert.equal(await hasher.verify("correct horse", "damaged", "stranger"), false);
  assert.deepEqual(done, Array(4).fill("19456 2 1 32"));
});

test("only so many hash at once, and only so many wait; a known device goes first", async () => {
  const started: string[] = [];
  const finish: (() => void)[] = [];
  const derive: DeriveKey = ({ password, tagLength }) => {
    started.push(password);
    const { promise, resolve } = Promise.withResolvers<Buffer>();
    finish.push(() => resolve(Buffer.alloc(tagLength)));
    return promise;
  };
  const hasher = new PasswordHasher(derive);
  const strangers = Array.from({ length: HASHING.atOnce + HASHING.maxWaiting }, (_, index) =>
    hasher.verify(`stranger ${index}`, undefined, "stranger"),
  );
  const owner = hasher.verify("owner", undefined, "known-device");
  await turnOfTheLoop();

  assert.deepEqual(started, ["stranger 0", "stranger 1"]);
  await assert.rejects(hasher.verify("one more", undefined, "stranger"), { code: "overloaded", retryAfter: 2 });
  finish[0]?.();
  await strangers[0];
  await turnOfTheLoop();

  assert.deepEqual(started, ["stranger 0", "stranger 1", "owner"]);
  for (let next = 1; next < finish.length; next += 1) {
    finish[next]?.();
    await turnOfTheLoop();
  }
  await Promise.all([...strangers, owner]);
});

test("a hash that fails does not keep its place", async () => {
  const hasher = new PasswordHasher(() => Promise.reject(new Error("no memory")));

  for (let count = 0; count < 5; count += 1) {
    await assert.rejects(hasher.hash("correct horse"), { message: "no memory" });
  }
});

function turnOfTheLoop(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
