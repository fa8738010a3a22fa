import type { SQLInputValue, StatementSync } from "node:sqlite";

import {
  CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type Kysely,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from "kysely";

import { type SqliteConnection, whenUnlocked } from "./when-unlocked.ts";

/** Prepared statements kept per connection. The program has a few dozen texts; the bound is for those made of lists. */
const MAX_STATEMENTS = 128;

/**
 * Kysely over `node:sqlite`, which has no dialect of its own. Statements run synchronously on the caller's thread.
 * Transactions begin `immediate`: one that first reads and then writes would otherwise fail with "locked", without
 * waiting, when another process wrote in between.
 */
export function nodeSqliteDialect(sqlite: SqliteConnection): Dialect {
  return {
    createAdapter: () => new QueuedAdapter(),
    createDriver: () => new NodeSqliteDriver(sqlite),
    createIntrospector: (db: Kysely<unknown>) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}

/**
 * Kysely does not queue for this connection: its own lock wakes everybody who waits each time it is free, which takes half a
 * minute of the event loop for a thousand at once.
 */
class QueuedAdapter extends SqliteAdapter {
  override get supportsMultipleConnections(): boolean {
    return true;
  }
}

class NodeSqliteDriver implements Driver {
  readonly #sqlite: SqliteConnection;
  readonly #connection: NodeSqliteConnection;
  /** Those who wait for the connection, the first one first. As many as there are requests at once. */
  readonly #waiting: (() => void)[] = [];
  #isTaken = false;

  constructor(sqlite: SqliteConnection) {
    this.#sqlite = sqlite;
    this.#connection = new NodeSqliteConnection(sqlite);
  }

  async init(): Promise<void> {}

  /** One caller at a time has it, until {@link releaseConnection}: in a transaction for all of that. */
  async acquireConnection(): Promise<DatabaseConnection> {
    const askedAtMs = performance.now();
    if (this.#isTaken) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#isTaken = true;
    this.#connection.askedAtMs = askedAtMs;
    return this.#connection;
  }

  /** It goes to the next one without being free in between. */
  async releaseConnection(): Promise<void> {
    const next = this.#waiting.shift();
    if (next === undefined) this.#isTaken = false;
    else next();
  }

  async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw("begin immediate"));
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw("commit"));
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    // SQLite has rolled back by itself after some errors (disk full); a second time would hide the first error.
    if (this.#sqlite.database.isTransaction) await connection.executeQuery(CompiledQuery.raw("rollback"));
  }

  async destroy(): Promise<void> {
    this.#sqlite.database.close();
  }
}

class NodeSqliteConnection implements DatabaseConnection {
  /**
   * When whoever has it asked for it. The wait for other processes counts from then: who waited behind somebody who waited in vain
   * tries once, and does not make those behind wait as long again.
   */
  askedAtMs = 0;
  readonly #sqlite: SqliteConnection;
  readonly #statements = new Map<string, StatementSync>();

  constructor(sqlite: SqliteConnection) {
    this.#sqlite = sqlite;
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    try {
      return await whenUnlocked(this.#sqlite, () => this.#run<R>(query), this.askedAtMs);
    } catch (thrown) {
      throw this.#sqlite.explain(thrown);
    }
  }

  async *streamQuery<R>(query: CompiledQuery): AsyncIterableIterator<QueryResult<R>> {
    // Not from the cache: another query with the same text would reset the cursor.
    const statement = this.#sqlite.database.prepare(query.sql);
    for (const row of statement.iterate(...query.parameters.map(toInputValue))) yield { rows: [row as R] };
  }

  #run<R>(query: CompiledQuery): QueryResult<R> {
    const statement = this.#prepare(query.sql);
    const parameters = query.parameters.map(toInputValue);
    if (statement.columns().length > 0) {
      // The row type is Kysely's word against the schema's: nothing at run time could check it here.
      return { rows: statement.all(...parameters) as R[] };
    }
    const { changes, lastInsertRowid } = statement.run(...parameters);
    return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) };
  }

  #prepare(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#sqlite.database.prepare(sql);
    if (this.#statements.size >= MAX_STATEMENTS) this.#statements.clear();
    this.#statements.set(sql, statement);
    return statement;
  }
}

function toInputValue(value: unknown): SQLInputValue {
  if (value === undefined) return null;
  if (value === null || typeof value === "string" || typeof value === "number" || typeof value === "bigint")
    return value;
  if (value instanceof Uint8Array) return value;
  throw new TypeError(`A ${typeof value} cannot be a parameter of a query.`);
}
