import type { DatabaseSync, StatementSync } from "node:sqlite";

import type { ExpressionBuilder, Kysely, Selectable, Transaction } from "kysely";

import type { KeyRecord, KeyStore, NewKey, Revocation } from "../key-store.ts";
import type { Schema } from "../schema.ts";

/** Well under the promised 100 ms. One look costs 1.5 µs, so 20 a second are free. */
const WATCH_INTERVAL_MS = 50;

export class SqliteKeyStore implements KeyStore, Disposable {
  readonly #db: Kysely<Schema>;
  readonly #dataVersion: StatementSync;
  readonly #watchers = new Set<() => void>();
  #lastDataVersion: number | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(db: Kysely<Schema>, database: DatabaseSync) {
    this.#db = db;
    this.#dataVersion = database.prepare("pragma data_version");
  }

  async insert(key: NewKey): Promise<void> {
    await this.#db
      .insertInto("keys")
      .values((eb) => ({
        id: key.id,
        kind: key.kind,
        name: key.name,
        prefix: key.prefix,
        hash: key.hash,
        created_at_ms: key.createdAtMs,
        revision: nextRevision(eb),
      }))
      .execute();
    this.#notify();
  }

  async list(limit: number): Promise<readonly KeyRecord[]> {
    const rows = await this.#db.selectFrom("keys").selectAll().orderBy("id", "desc").limit(limit).execute();
    return rows.map(toKeyRecord);
  }

  async revoke(idOrName: string, nowMs: number): Promise<Revocation> {
    const revocation = await this.#db.transaction().execute((transaction) => revokeIn(transaction, idOrName, nowMs));
    if (revocation.outcome === "revoked") this.#notify();
    return revocation;
  }

  async changedSince(revision: number, limit: number): Promise<readonly KeyRecord[]> {
    const rows = await this.#db
      .selectFrom("keys")
      .selectAll()
      .where("revision", ">", revision)
      .orderBy("revision")
      .limit(limit)
      .execute();
    return rows.map(toKeyRecord);
  }

  watch(onChange: () => void): () => void {
    // A function of its own each time, so that two watches with the same callback end separately.
    const watcher = (): void => onChange();
    this.#watchers.add(watcher);
    if (this.#timer === undefined) {
      this.#lastDataVersion = this.#readDataVersion();
      this.#timer = setInterval(() => this.#look(), WATCH_INTERVAL_MS).unref();
    }
    return () => {
      this.#watchers.delete(watcher);
      if (this.#watchers.size === 0) this[Symbol.dispose]();
    };
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#watchers.clear();
  }

  #look(): void {
    const dataVersion = this.#readDataVersion();
    if (dataVersion !== undefined && dataVersion === this.#lastDataVersion) return;
    this.#lastDataVersion = dataVersion;
    this.#notify();
  }

  /**
   * A number that differs when another connection committed anything. undefined: the database failed. Watchers are called
   * then too: their own query meets the error and can report it, which a timer cannot.
   */
  #readDataVersion(): number | undefined {
    try {
      return Number(this.#dataVersion.get()?.["data_version"]);
    } catch {
      return undefined;
    }
  }

  /** SQLite does not count this connection's own commits in `data_version`. */
  #notify(): void {
    for (const watcher of this.#watchers) watcher();
  }
}

async function revokeIn(db: Transaction<Schema>, idOrName: string, nowMs: number): Promise<Revocation> {
  const byId = await db.selectFrom("keys").selectAll().where("id", "=", idOrName).execute();
  const found =
    byId.length > 0
      ? byId
      : await db.selectFrom("keys").selectAll().where("name", "=", idOrName).orderBy("id", "desc").execute();
  const live = found.filter((row) => row.revoked_at_ms === null);
  const [newest] = found;
  if (newest === undefined) return { outcome: "unknown" };
  const [only] = live;
  if (only === undefined) return { outcome: "already-revoked", key: toKeyRecord(newest) };
  if (live.length > 1) return { outcome: "ambiguous", keys: live.map(toKeyRecord) };
  const revoked = await db
    .updateTable("keys")
    .set((eb) => ({ revoked_at_ms: nowMs, revision: nextRevision(eb) }))
    .where("id", "=", only.id)
    .returningAll()
    .executeTakeFirstOrThrow();
  return { outcome: "revoked", key: toKeyRecord(revoked) };
}

/** Safe without a sequence: SQLite has one writer, and keys are never deleted. */
function nextRevision(eb: ExpressionBuilder<Schema, "keys">) {
  return eb
    .selectFrom("keys as newest")
    .select((inner) => inner(inner.fn.coalesce(inner.fn.max("newest.revision"), inner.val(0)), "+", 1).as("revision"));
}

function toKeyRecord(row: Selectable<Schema["keys"]>): KeyRecord {
  return {
    id: row.id,
    kind: row.kind,
    name: row.name,
    prefix: row.prefix,
    hash: row.hash,
    createdAtMs: row.created_at_ms,
    revokedAtMs: row.revoked_at_ms ?? undefined,
    lastUsedAtMs: row.last_used_at_ms ?? undefined,
    revision: row.revision,
  };
}
