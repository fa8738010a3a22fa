import { Kysely, PostgresDialect, type PostgresPool, type PostgresPoolClient, sql } from "kysely";
import pg from "pg";

import { migrate } from "../migrate.ts";
import type { Schema } from "../schema.ts";
import { StoreError } from "../store-error.ts";
import type { Store, StoreOptions } from "../store.ts";
import { connectionConfig, MAX_CONNECTIONS, OpenSockets } from "./postgres-connection.ts";
import { PostgresDatabase } from "./postgres-database.ts";
import { toStoreError } from "./postgres-error.ts";
import { PostgresRequestLogStore } from "./postgres-request-log-store.ts";

/** Any number that no other program uses: who changes tables holds this advisory lock. */
const MIGRATION_LOCK = 7_066_107;

/** A store that is closed gives what runs so long: a line that died would hold up the end of the hub for half a minute. */
const CLOSE_TIMEOUT_MS = 1_000;

/** Opens the database at `url` (`postgres://…`), which must be there; its tables are made. Several hubs may share it. */
export async function openPostgresStore(url: string, options: StoreOptions): Promise<Store> {
  const explain = (thrown: unknown): unknown => toStoreError(thrown, url);
  const sockets = new OpenSockets();
  const config = { ...connectionConfig(url, options), stream: () => sockets.open() };
  const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool: openPool(config, options, explain) }) });
  try {
    await migrate(db, {
      dialect: "postgres",
      lock: (transaction) => sql`select pg_advisory_xact_lock(${MIGRATION_LOCK})`.execute(transaction),
    });
  } catch (thrown) {
    await db.destroy();
    throw explain(thrown);
  }
  const database = new PostgresDatabase(db, config);
  return {
    database,
    requestLog: new PostgresRequestLogStore(db),
    [Symbol.asyncDispose]: async () => {
      sockets.destroyAfter(CLOSE_TIMEOUT_MS);
      await database[Symbol.asyncDispose]();
      await db.destroy();
    },
  };
}

/** A pool whose errors are for people. */
function openPool(
  config: pg.PoolConfig,
  { durability }: StoreOptions,
  explain: (thrown: unknown) => unknown,
): PostgresPool {
  const pool = new pg.Pool({
    ...config,
    max: MAX_CONNECTIONS,
    ...(durability === "bulk" && { options: "-c synchronous_commit=off" }),
  });
  pool.on("error", () => {
    // An idle connection broke. The pool makes another one when a query needs it, and that query says what is wrong.
  });
  pool.on("connect", (client) => {
    // The pool listens only while a connection is idle, and an error that nobody listens to ends the process. The query that
    // runs, or the next one of its transaction, says what is wrong.
    client.on("error", () => {});
  });
  return {
    options: config,
    end: () => pool.end(),
    connect: async () => {
      try {
        return explaining(await pool.connect(), explain);
      } catch (thrown) {
        throw explain(thrown);
      }
    },
  };
}

/** A connection as it is lent once. Who loses it gives it back for nobody else to have. */
function explaining(client: pg.PoolClient, explain: (thrown: unknown) => unknown): PostgresPoolClient {
  let lost: StoreError | undefined;
  const explaining = {
    // The pool itself would lend a connection again whose query timed out: the next one would wait behind it, for ever.
    release: (destroy = false) => client.release(destroy || lost !== undefined),
    query: async (text: string, parameters: readonly unknown[]) => {
      // Kysely rolls back and throws what that throws: the first loss is the one that says what became of the transaction.
      if (lost !== undefined) throw lost;
      try {
        return await client.query(text, [...parameters]);
      } catch (thrown) {
        const error = explain(thrown);
        if (!(error instanceof StoreError && error.code === "connection-lost")) throw error;
        lost = text === "commit" ? outcomeUnknown(error) : error;
        throw lost;
      }
    },
  };
  // Kysely's type also has a query by cursor, which it asks for only when it was given their class. It was not.
  return explaining as unknown as PostgresPoolClient;
}

function outcomeUnknown(lost: StoreError): StoreError {
  const message = `${lost.message} It committed just then: nobody knows whether that was done. Look before you try again.`;
  return new StoreError("outcome-unknown", message, { cause: lost.cause });
}
