import assert from "node:assert/strict";
import { test } from "node:test";

import { hashOfSecret } from "../identity/key-secret.ts";
import { insertGroup } from "../store/group-store.ts";
import { keyRecords, type KeyRecord } from "../store/key-store.ts";
import { putMembership } from "../store/membership-store.ts";
import { openStore } from "../store/open-store.ts";
import { insertUser } from "../store/user-store.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { runCli } from "./cli.ts";
import { failureOf } from "./failure.ts";

const NOW = 1_800_000_000_000;

interface World extends Disposable {
  /** What the command wrote to stdout, or why it failed. */
  readonly tokilake: (...argv: string[]) => Promise<string>;
  readonly keys: () => Promise<readonly KeyRecord[]>;
}

/** A data folder with Ada, who owns the group `home`. */
async function openWorld(): Promise<World> {
  const folder = temporaryFolder();
  const url = `sqlite:${folder.file("tokilake.db")}`;
  {
    await using store = await openStore(url);
    await store.database.write(async (transaction) => {
      await insertUser(transaction, {
        id: "ada",
        email: "ada@example.com",
        emailVerifiedAtMs: 0,
        name: "Ada",
        role: "user",
        passwordHash: undefined,
        createdAtMs: 0,
      });
      const group = { id: "group_1", kind: "private", slug: "home", name: "Home", description: "" } as const;
      await insertGroup(transaction, { ...group, ownerId: "ada", memberLimits: {}, createdAtMs: 0 });
      await putMembership(transaction, { groupId: "group_1", userId: "ada", role: "owner", joinedAtMs: 0 });
    });
  }
  return {
    tokilake: async (...argv) => {
      let written = "";
      const output = {
        stdout: (text: string): void => {
          written += text;
        },
        stderr: (): void => {},
      };
      try {
        await runCli(argv, { env: { TOKILAKE_DATA_DIR: folder.path }, output, now: () => NOW });
        return written.trim();
      } catch (thrown) {
        return failureOf(thrown).text.trim();
      }
    },
    keys: async () => {
      await using store = await openStore(url);
      return await keyRecords(store.database.db, {}, { limit: 10 });
    },
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

test("the operator makes keys for users, for their groups, for a while and for some models", async () => {
  using world = await openWorld();
  const { tokilake } = world;

  const api = await tokilake(
    ..."keys create --kind api --name laptop --owner Ada@Example.com --group home --expires 30d --models".split(" "),
    "llama*, phi3",
  );
  const worker = await tokilake(
    ..."keys create --kind worker --name pc --owner ada@example.com --group group_1 --models llama*".split(" "),
    ..."--expires 2030-12-31".split(" "),
  );

  const [forWorker, forApi] = (await world.keys()).toSorted((one, other) => (one.kind > other.kind ? -1 : 1));
  assert.deepEqual([hashOfSecret(api), hashOfSecret(worker)], [forApi?.hash, forWorker?.hash]);
  assert.partialDeepStrictEqual(forApi, {
    ownerId: "ada",
    groupId: "group_1",
    expiresAtMs: NOW + 30 * 86_400_000,
    rules: { models: ["llama*", "phi3"] },
  });
  assert.partialDeepStrictEqual(forWorker, {
    ownerId: "ada",
    groupId: undefined,
    expiresAtMs: Date.UTC(2030, 11, 31),
    rules: { serveGroups: ["group_1"], serveModels: ["llama*"] },
  });
});

test("without flags a key is the operator's own, and restricts nothing", async () => {
  using world = await openWorld();

  await world.tokilake("keys", "create", "--kind", "api", "--name", "laptop");

  const [key] = await world.keys();
  assert.deepEqual([key?.ownerId, key?.groupId, key?.expiresAtMs, key?.rules], [undefined, undefined, undefined, {}]);
});

test("each wrong flag is said with the next step, and no key is made", async () => {
  using world = await openWorld();
  const create = ["keys", "create", "--kind", "api", "--name", "k"];
  const cases: readonly (readonly [flags: string[], text: RegExp])[] = [
    [["--owner", "bob@example.com"], /There is no user "bob@example.com"\. See which there are: tokilake users list/],
    [["--owner", "nonsense"], /is no e-mail address/],
    [["--group", "nowhere"], /There is no group "nowhere"\. See which there are: tokilake groups list/],
    [["--group", "home,home"], /--group names one group of an API key/],
    [["--group", "home"], /--group: there is no such group, or the operator may not use it/],
    [["--owner", "ada@example.com"], /--group: say which group the key is for/],
    [["--expires", "soon"], /--expires is a day such as 2030-12-31, or a time from now such as 30d/],
    [["--expires", "2020-01-01"], /--expires: must be a time to come/],
    [["--models", "a*b"], /may have a star \(\*\) at its end only/],
  ];

  for (const [flags, text] of cases) assert.match(await world.tokilake(...create, ...flags), text);
  assert.deepEqual(await world.keys(), []);
});

test("a key is rotated by its name; the old secret works a day, or as long as is said", async () => {
  using world = await openWorld();
  const first = await world.tokilake("keys", "create", "--kind", "api", "--name", "laptop");

  const second = await world.tokilake("keys", "rotate", "laptop");
  const [afterSecond] = await world.keys();
  await world.tokilake("keys", "rotate", "laptop", "--overlap", "2h");
  const [afterThird] = await world.keys();
  const tooLong = await world.tokilake("keys", "rotate", "laptop", "--overlap", "8d");
  const wrong = await world.tokilake("keys", "rotate", "laptop", "--overlap", "long");

  assert.notEqual(first, second);
  assert.deepEqual([afterSecond?.hash, afterSecond?.previousUntilMs], [hashOfSecret(second), NOW + 86_400_000]);
  assert.equal(afterThird?.previousUntilMs, NOW + 2 * 3_600_000);
  assert.match(tooLong, /overlap_ms: must be from 0 to 604800000 \(7 days\)/);
  assert.match(wrong, /--overlap is a number and one of s, m, h and d/);
});

test("lists say which keys are not good any more, and whose they are", async () => {
  using world = await openWorld();
  const { tokilake } = world;
  const owned = ["--owner", "ada@example.com", "--group", "home"];
  await tokilake("keys", "create", "--kind", "api", "--name", "short", "--expires", "1s", ...owned);
  await tokilake("keys", "create", "--kind", "api", "--name", "gone");
  await tokilake("keys", "revoke", "gone");

  const all = await tokilake("keys", "list");
  const adas = JSON.parse(await tokilake("keys", "list", "--json", "--owner", "ada@example.com")) as object[];
  const twice = await tokilake("keys", "revoke", "gone");

  assert.match(all, /gone .*revoked just now/);
  assert.match(all, /short .*active/);
  assert.equal(adas.length, 1);
  assert.partialDeepStrictEqual(adas[0], { name: "short", ownerId: "ada", groupId: "group_1", revokedAtMs: null });
  assert.equal(twice, "");
});
