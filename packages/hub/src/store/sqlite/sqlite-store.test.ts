import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { statSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";

import { temporaryFolder } from "../../temporary-folder.ts";
import { keyStoreContract } from "../key-store.contract.ts";
import { insertKey, keyRecords, type NewKey, revokeKey } from "../key-store.ts";
import { MIGRATIONS } from "../migrate.ts";
import { openStore } from "../open-store.ts";
import { requestLogStoreContract } from "../request-log-store.contract.ts";
import { StoreError } from "../store-error.ts";
import type { Store } from "../store.ts";

keyStoreContract("sqlite", openTemporary);
requestLogStoreContract("sqlite", openTemporary);

async function openTemporary(): Promise<Store> {
  const folder = temporaryFolder();
  const store = await openStore(`sqlite:${folder.file("hub.db")}`);
  return {
    ...store,
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

const KEY = { id: "key_1", kind: "api", name: "a", prefix: "sk-a", hash: "h", createdAtMs: 0 } as const;

async function insert({ database }: Store, key: NewKey = KEY): Promise<void> {
  await database.write((transaction) => insertKey(transaction, key));
}

test("the data folder and the database are for their owner only", async () => {
  using folder = temporaryFolder();

  await using store = await openStore(`sqlite:${folder.file("deep/data/hub.db")}`);
  await insert(store);

  assert.equal(statSync(folder.file("deep/data")).mode & 0o777, 0o700);
  for (const file of ["hub.db", "hub.db-wal"])
    assert.equal(statSync(folder.file(`deep/data/${file}`)).mode & 0o777, 0o600);
});

test("a database is the same when it is opened again", async () => {
  using folder = temporaryFolder();
  const url = `sqlite:${folder.file("hub.db")}`;
  await using first = await openStore(url);
  await insert(first);

  await using second = await openStore(url);

  assert.equal((await keyRecords(second.database.db, {}, { limit: 10 })).length, 1);
});

test("a change by another connection reaches a watcher", { timeout: 20_000 }, async (context) => {
  // The watch does not keep a process alive; a hub's server does.
  const keepAlive = setInterval(() => {}, 1000);
  context.after(() => clearInterval(keepAlive));
  using folder = temporaryFolder();
  const url = `sqlite:${folder.file("hub.db")}`;
  await using watching = await openStore(url);
  await using changing = await openStore(url);
  const changed = Promise.withResolvers<void>();
  const stop = watching.database.watch(changed.resolve);

  await insert(changing);
  await changed.promise;

  assert.equal((await keyRecords(watching.database.db, {}, { limit: 10 })).length, 1);
  stop();
});

test("four processes that open a new database at once all succeed, and the schema is made once", async () => {
  using folder = temporaryFolder();
  const url = `sqlite:${folder.file("hub.db")}`;
  const script = `
    import { openStore } from ${JSON.stringify(new URL("../open-store.ts", import.meta.url).href)};
    await using store = await openStore(${JSON.stringify(url)});
    await store.database.db.selectFrom("keys").selectAll().execute();
  `;

  const processes = [1, 2, 3, 4].map(() =>
    spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: "ignore" }),
  );
  const codes = await Promise.all(processes.map(async (child) => (await once(child, "exit"))[0] as unknown));

  assert.deepEqual(codes, [0, 0, 0, 0]);
});

test("connections of one thread wait for each other instead of blocking it", { timeout: 20_000 }, async () => {
  using folder = temporaryFolder();
  const url = `sqlite:${folder.file("hub.db")}`;

  const stores = await Promise.all([1, 2, 3].map(() => openStore(url)));
  await Promise.all(
    stores.map(async (store, index) => {
      const id = `key_${index}`;
      await insert(store, { ...KEY, id, hash: id });
      await store.database.write((transaction) => revokeKey(transaction, id, 1));
    }),
  );

  const [first] = stores;
  const keys = first === undefined ? [] : await keyRecords(first.database.db, {}, { limit: 10 });
  assert.equal(keys.length, 3);
  // Six changes, none of which took the number of another.
  assert.equal(Math.max(...keys.map(({ revision }) => revision)), 6);
  await Promise.all(stores.map((store) => store[Symbol.asyncDispose]()));
});

test("who waits for the connection has it in the order in which they came, and alone for a whole transaction", async () => {
  await using store = await openTemporary();
  const { database } = store;
  const order: string[] = [];
  const turn = (name: string): Promise<void> =>
    database.write(async ({ db }) => {
      order.push(`${name} begins`);
      await db.selectFrom("meta").selectAll().execute();
      await db.selectFrom("meta").selectAll().execute();
      order.push(`${name} ends`);
    });

  await Promise.all([
    turn("a"),
    turn("b"),
    database.db
      .selectFrom("meta")
      .selectAll()
      .execute()
      .then(() => order.push("read")),
    turn("c"),
  ]);

  assert.deepEqual(order, ["a begins", "a ends", "b begins", "b ends", "read", "c begins", "c ends"]);
});

test("a database of a newer program is refused and left as it is", async () => {
  using folder = temporaryFolder();
  const path = folder.file("hub.db");
  await (await openStore(`sqlite:${path}`))[Symbol.asyncDispose]();
  using raw = new DatabaseSync(path);
  raw.exec("update meta set value = '9999' where name = 'schema_version'");

  await assert.rejects(openStore(`sqlite:${path}`), {
    code: "newer-schema",
    message:
      `The database was written by a newer tokilake (schema 9999, this program knows ${MIGRATIONS.length}). ` +
      "Start the newer version, or point --data-dir at a backup made before the update.",
  });
  assert.equal(raw.prepare("select value from meta where name = 'schema_version'").get()?.["value"], "9999");
});

test("a file that is no database is refused by name", async () => {
  using folder = temporaryFolder();
  const path = folder.file("hub.db");
  writeFileSync(path, "a letter to a friend, longer than the hundred bytes of a header ".repeat(20));

  await assert.rejects(openStore(`sqlite:${path}`), {
    code: "not-a-database",
    message: `${path} is not a SQLite database. Move it away, or choose another --data-dir.`,
  });
});

test("a data folder that is a file is named as what is wrong", async () => {
  using folder = temporaryFolder();
  writeFileSync(folder.file("data"), "");
  const path = folder.file("data/hub.db");

  await assert.rejects(openStore(`sqlite:${path}`), {
    code: "cannot-open",
    message: `The database ${path} cannot be opened: a part of its path is a file, not a folder.`,
  });
});

test("a database that somebody holds is said to be locked", async () => {
  using folder = temporaryFolder();
  const path = folder.file("hub.db");
  await using store = await openStore(`sqlite:${path}`, { durability: "every-commit", busyTimeoutMs: 1 });
  using other = new DatabaseSync(path);
  other.exec("begin immediate");

  await assert.rejects(insert(store), (error) => error instanceof StoreError && error.code === "locked");
  await assert.rejects(store.requestLog.insertBatch([]), { code: "locked" });
  other.exec("rollback");
  await insert(store);
});

test("those who wait behind one another for a locked database wait no longer than one", async () => {
  using folder = temporaryFolder();
  const path = folder.file("hub.db");
  await using store = await openStore(`sqlite:${path}`, { durability: "every-commit", busyTimeoutMs: 500 });
  using holder = new DatabaseSync(path);
  holder.exec("begin immediate");
  const twice = AbortSignal.timeout(1_500);

  const writes = Array.from({ length: 10 }, () => insert(store));
  // In a write-ahead log reading needs no lock; but there is one connection.
  const read = keyRecords(store.database.db, {}, { limit: 10 });
  const all = await Promise.allSettled([...writes, read]);

  assert.ok(!twice.aborted);
  assert.deepEqual(
    all.map(({ status }) => status),
    [...writes.map(() => "rejected"), "fulfilled"],
  );
});

test("an address of another kind is refused", async () => {
  await assert.rejects(openStore("mysql://db/hub"), { code: "unsupported" });
});
