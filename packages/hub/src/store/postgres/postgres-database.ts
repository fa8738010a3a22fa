import { type Kysely, sql } from "kysely";
import pg from "pg";

import { takeRevision } from "../access-revision.ts";
import type { AccessTransaction, Database } from "../database.ts";
import type { Schema } from "../schema.ts";

/** Where hubs tell one another that something changed. Names are per database, not per schema. */
const CHANNEL = "tokilake_changes";

/** A listening connection that broke is made anew after this time; what changed meanwhile is then looked at. */
const RELISTEN_MS = 1_000;

/**
 * The listening connection is asked this often whether it is there, and must answer within this time. Nothing is sent on it otherwise:
 * when a firewall drops it, TCP itself would notice after two hours, and so long nobody would hear of a revoked key.
 */
const CHECK_MS = 5_000;

type ListeningClient = pg.Client & { ref(): void; unref(): void };

/** Hubs are told by NOTIFY, in the transaction itself: whoever hears of a change can read it. */
export class PostgresDatabase implements Database, AsyncDisposable {
  readonly db: Kysely<Schema>;
  readonly #config: pg.ClientConfig;
  readonly #checkMs: number;
  readonly #watchers = new Set<() => void>();
  #listener: ListeningClient | undefined;
  #relisten: NodeJS.Timeout | undefined;
  #check: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** @param checkMs For tests. */
  constructor(db: Kysely<Schema>, config: pg.ClientConfig, checkMs = CHECK_MS) {
    this.db = db;
    this.#config = config;
    this.#checkMs = checkMs;
  }

  async write<T>(act: (transaction: AccessTransaction) => Promise<T>): Promise<T> {
    const result = await this.db.transaction().execute(async (db) => {
      const revision = await takeRevision(db);
      await sql`select pg_notify(${CHANNEL}, '')`.execute(db);
      return act({ db, revision });
    });
    // Our own listener hears of it, too, but a little later: who awaits a write finds it done in this process.
    this.#notify();
    return result;
  }

  watch(onChange: () => void): () => void {
    // A function of its own each time, so that two watches with the same callback end separately.
    const watcher = (): void => onChange();
    this.#watchers.add(watcher);
    if (this.#watchers.size === 1) void this.#listen();
    return () => this.#watchers.delete(watcher);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#watchers.clear();
    clearTimeout(this.#relisten);
    clearTimeout(this.#check);
    // A process that only waits for this must not end before it.
    this.#listener?.ref();
    await this.#listener?.end();
  }

  /** Never rejects: it runs from a timer. */
  async #listen(): Promise<void> {
    if (this.#isClosed || this.#listener !== undefined) return;
    // Both are missing in its types.
    const client = new pg.Client({ ...this.#config, query_timeout: this.#checkMs }) as ListeningClient;
    this.#listener = client;
    client.on("notification", () => this.#notify());
    client.on("error", () => this.#lost(client));
    client.on("end", () => this.#lost(client));
    try {
      await client.connect();
      client.unref();
      await client.query(`listen ${CHANNEL}`);
      // What was written before we listened was told to nobody.
      this.#notify();
      this.#checkLater(client);
    } catch {
      // Watchers read the database themselves and report what is wrong with it.
      this.#lost(client);
    }
  }

  #checkLater(client: ListeningClient): void {
    if (this.#listener !== client || this.#isClosed) return;
    this.#check = setTimeout(() => {
      const alive = client.query("select 1");
      alive.then(
        () => this.#checkLater(client),
        () => this.#lost(client),
      );
    }, this.#checkMs).unref();
  }

  #lost(client: ListeningClient): void {
    if (this.#listener !== client || this.#isClosed) return;
    this.#listener = undefined;
    clearTimeout(this.#check);
    client.end().catch(() => {
      // It is gone already.
    });
    this.#relisten = setTimeout(() => void this.#listen(), RELISTEN_MS).unref();
    this.#notify();
  }

  #notify(): void {
    for (const watcher of this.#watchers) watcher();
  }
}
