import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { type Kysely, sql } from "kysely";

import { addUser } from "../access-fixtures.ts";
import { keyStoreContract } from "../key-store.contract.ts";
import { insertKey, keyRecords, type NewKey, revokeKeysOf } from "../key-store.ts";
import { openStore } from "../open-store.ts";
import { requestLogStoreContract } from "../request-log-store.contract.ts";
import type { Schema } from "../schema.ts";
import type { Store } from "../store.ts";
import {
  openTemporaryPostgres,
  SKIPPED_WITHOUT_POSTGRES,
  TEST_POSTGRES_URL,
  temporaryPostgres,
} from "../test-postgres.ts";
import { connectionConfig } from "./postgres-connection.ts";
import { PostgresDatabase } from "./postgres-database.ts";

const KEY = { id: "key_1", kind: "api", name: "a", prefix: "sk-a", hash: "h", createdAtMs: 0 } as const;

async function insert({ database }: Store, key: NewKey = KEY): Promise<void> {
  await database.write((transaction) => insertKey(transaction, key));
}

if (TEST_POSTGRES_URL === undefined) {
  test("every contract of the store holds on PostgreSQL", SKIPPED_WITHOUT_POSTGRES, () => {});
} else {
  keyStoreContract("postgres", openTemporaryPostgres);
  requestLogStoreContract("postgres", openTemporaryPostgres);
}

test("a change by another hub reaches a watcher", SKIPPED_WITHOUT_POSTGRES, async () => {
  await using place = await temporaryPostgres();
  await using watching = await openStore(place.url);
  await using other = await openStore(place.url);
  const told = Promise.withResolvers<void>();
  let listening = Promise.withResolvers<void>();
  watching.database.watch(() => {
    listening.resolve();
    keyRecords(watching.database.db, {}, { limit: 1 }).then(
      ([key]) => key !== undefined && told.resolve(),
      told.reject,
    );
  });
  await listening.promise;

  await insert(other);

  await told.promise;
});

test("a watcher is told again after its connection broke", SKIPPED_WITHOUT_POSTGRES, async () => {
  await using place = await temporaryPostgres();
  await using watching = await openStore(place.url);
  await using other = await openStore(place.url);
  let calls = 0;
  let next = Promise.withResolvers<void>();
  watching.database.watch(() => {
    calls += 1;
    next.resolve();
    next = Promise.withResolvers<void>();
  });
  await next.promise;

  await endListeners(place.url);
  // Once because the connection broke, once because it stands again.
  while (calls < 3) await next.promise;
  const heard = next.promise;
  await insert(other);

  await heard;
});

test("a watcher is told again after its connection died without a word", SKIPPED_WITHOUT_POSTGRES, async () => {
  await using place = await temporaryPostgres();
  await using other = await openStore(place.url);
  await using line = await openLine(new URL(place.url));
  const config = connectionConfig(line.url, { durability: "every-commit" });
  await using watching = new PostgresDatabase(other.database.db, config, 100);
  let told = Promise.withResolvers<void>();
  watching.watch(() => told.resolve());
  await told.promise;

  line.dropWhatIsOpen();
  told = Promise.withResolvers<void>();
  // Once because the connection is lost, once because another one stands.
  await told.promise;
  told = Promise.withResolvers<void>();
  await told.promise;
  told = Promise.withResolvers<void>();
  await insert(other);

  await told.promise;
});

test(
  "ending a user's keys and noting their last use do not wait for each other",
  SKIPPED_WITHOUT_POSTGRES,
  async () => {
    await using place = await temporaryPostgres();
    await using store = await openStore(place.url);
    const { database } = store;
    const { db } = database;
    await addUser(database, "user_ada");
    // As they lie in the table after some changes: not in the order of their ids.
    for (const id of ["key_2", "key_1"]) await insert(store, { ...KEY, id, hash: id, ownerId: "user_ada" });
    const use = (writer: Kysely<Schema>, id: string): Promise<unknown> =>
      writer.updateTable("keys").set({ last_used_at_ms: 1 }).where("id", "=", id).execute();
    let revoking: Promise<readonly string[]> | undefined;

    await db.transaction().execute(async (batch) => {
      await use(batch, "key_1");
      revoking = database.write((transaction) => revokeKeysOf(transaction, "user_ada", 5));
      while (!(await isSomebodyBlocked(db))) await new Promise((resolve) => setImmediate(resolve));
      await use(batch, "key_2");
    });

    assert.deepEqual(await revoking, ["key_1", "key_2"]);
  },
);

test("a connection that breaks in a transaction fails it, and nothing else", SKIPPED_WITHOUT_POSTGRES, async () => {
  await using place = await temporaryPostgres();
  await using other = await openStore(place.url);
  await using line = await openLine(new URL(place.url));
  await using store = await openStore(line.url);

  const broken = store.database.write(async (transaction) => {
    await insertKey(transaction, KEY);
    line.cut();
    await insertKey(transaction, { ...KEY, id: "key_2", hash: "h2" });
  });

  await assert.rejects(broken, { code: "connection-lost" });
  await insert(store, { ...KEY, id: "key_3", hash: "h3" });
  const keys = await keyRecords(other.database.db, {}, { limit: 10 });
  assert.deepEqual(
    keys.map((key) => key.id),
    ["key_3"],
  );
});

test("a connection that breaks while it commits says that nobody knows", SKIPPED_WITHOUT_POSTGRES, async () => {
  await using place = await temporaryPostgres();
  await using line = await openLine(new URL(place.url));
  await using store = await openStore(line.url);

  line.cutAnswerTo("commit");
  const broken = insert(store);

  await assert.rejects(broken, { code: "outcome-unknown" });
  // PostgreSQL did it; it could as well have died before.
  assert.equal((await keyRecords(store.database.db, {}, { limit: 10 })).length, 1);
});

test("a connection whose query was never answered is not used again", SKIPPED_WITHOUT_POSTGRES, async () => {
  await using place = await temporaryPostgres();
  await using line = await openLine(new URL(place.url));
  const url = new URL(line.url);
  url.searchParams.set("query_timeout", "200");
  await using store = await openStore(url.href);
  const read = (): Promise<unknown> => keyRecords(store.database.db, {}, { limit: 10 });

  line.dropWhatIsOpen();

  await assert.rejects(read(), { code: "connection-lost" });
  assert.deepEqual(await read(), []);
});

test("a store whose server does not answer is closed all the same", SKIPPED_WITHOUT_POSTGRES, async () => {
  await using place = await temporaryPostgres();
  await using line = await openLine(new URL(place.url));
  const store = await openStore(line.url);
  const running = Promise.withResolvers<void>();
  const write = store.database.write((transaction) => {
    line.dropWhatIsOpen();
    running.resolve();
    return insertKey(transaction, KEY);
  });
  const broken = assert.rejects(write, { code: "connection-lost" });
  await running.promise;

  const closed = store[Symbol.asyncDispose]();

  const tooLongMs = 15_000;
  const late = sleep(tooLongMs, "not closed", { ref: false });
  assert.equal(await Promise.race([closed, late]), undefined);
  await broken;
});

test("three hubs that open a new database at once all succeed", SKIPPED_WITHOUT_POSTGRES, async () => {
  await using place = await temporaryPostgres();

  const stores = await Promise.all([1, 2, 3].map(() => openStore(place.url)));

  await Promise.all(stores.map((store, index) => insert(store, { ...KEY, id: `key_${index}`, hash: `h${index}` })));
  const keys = stores[0] === undefined ? [] : await keyRecords(stores[0].database.db, {}, { limit: 10 });
  assert.deepEqual(new Set(keys.map((key) => key.revision)), new Set([1, 2, 3]));
  await Promise.all(stores.map((store) => store[Symbol.asyncDispose]()));
});

test("a server that is not there is named, without user and password", async () => {
  const free = createServer().listen(0, "127.0.0.1");
  await once(free, "listening");
  const address = free.address();
  const port = typeof address === "object" ? address?.port : undefined;
  free.close();
  await once(free, "close");

  await assert.rejects(openStore(`postgres://me:secret@127.0.0.1:${port}/tokilake`), {
    code: "cannot-open",
    message: `No PostgreSQL answers at 127.0.0.1:${port}/tokilake. Start it, or correct the address.`,
  });
});

test("a database that is not there is named with what makes it", SKIPPED_WITHOUT_POSTGRES, async () => {
  const url = new URL(TEST_POSTGRES_URL ?? "");
  url.pathname = "/nowhere";

  await assert.rejects(openStore(url.href), { code: "cannot-open", message: /no such database.*createdb/ });
});

/** A way to the server that can break, or lose what goes over it, as a firewall does: both ends think that they are connected. */
async function openLine(
  server: URL,
): Promise<{ url: string; cut(): void; cutAnswerTo(words: string): void; dropWhatIsOpen(): void } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  const lines: (readonly [near: Socket, far: Socket])[] = [];
  const listening = createServer((near) => {
    const far = connect(Number(server.port), server.hostname);
    near.pipe(far).pipe(near);
    lines.push([near, far]);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
    }
  });
  listening.listen(0, "127.0.0.1");
  await once(listening, "listening");
  const url = new URL(server);
  // Nothing else listens on a path here.
  url.port = String((listening.address() as AddressInfo).port);
  url.hostname = "127.0.0.1";
  return {
    url: url.href,
    cut: () => {
      for (const socket of sockets) socket.resetAndDestroy();
    },
    cutAnswerTo: (words) => {
      for (const [near, far] of lines) {
        near.on("data", (bytes: Buffer) => {
          if (!bytes.includes(words)) return;
          far.unpipe(near);
          far.once("data", () => near.resetAndDestroy()).resume();
        });
      }
    },
    dropWhatIsOpen: () => {
      for (const socket of sockets) socket.unpipe().on("data", () => {});
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      listening.close();
    },
  };
}

async function isSomebodyBlocked(db: Kysely<Schema>): Promise<boolean> {
  const { rows } = await sql`select 1 from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'`.execute(db);
  return rows.length > 0;
}

/** As an administrator would: the connections that wait for notifications end. */
async function endListeners(url: string): Promise<void> {
  await using admin = await openStore(url);
  await sql`select pg_terminate_backend(pid) from pg_stat_activity
    where query = 'listen tokilake_changes' and pid <> pg_backend_pid()`.execute(admin.database.db);
}
