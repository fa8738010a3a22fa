import type { Selectable } from "kysely";

import type { AccessTransaction, Database } from "./database.ts";
import type { KeyRecord, KeyStore, NewKey, Revocation } from "./key-store.ts";
import type { Schema } from "./schema.ts";

export class KyselyKeyStore implements KeyStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async insert(key: NewKey): Promise<void> {
    await this.#database.write(({ db, revision }) =>
      db
        .insertInto("keys")
        .values({
          id: key.id,
          kind: key.kind,
          name: key.name,
          prefix: key.prefix,
          hash: key.hash,
          created_at_ms: key.createdAtMs,
          revision,
        })
        .execute(),
    );
  }

  async list(limit: number): Promise<readonly KeyRecord[]> {
    const rows = await this.#database.db.selectFrom("keys").selectAll().orderBy("id", "desc").limit(limit).execute();
    return rows.map(toKeyRecord);
  }

  async revoke(idOrName: string, nowMs: number): Promise<Revocation> {
    return this.#database.write((transaction) => revokeIn(transaction, idOrName, nowMs));
  }

  async changedSince(revision: number, limit: number): Promise<readonly KeyRecord[]> {
    const rows = await this.#database.db
      .selectFrom("keys")
      .selectAll()
      .where("revision", ">", revision)
      .orderBy("revision")
      .limit(limit)
      .execute();
    return rows.map(toKeyRecord);
  }

  watch(onChange: () => void): () => void {
    return this.#database.watch(onChange);
  }
}

async function revokeIn({ db, revision }: AccessTransaction, idOrName: string, nowMs: number): Promise<Revocation> {
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
    .set({ revoked_at_ms: nowMs, revision })
    .where("id", "=", only.id)
    .returningAll()
    .executeTakeFirstOrThrow();
  return { outcome: "revoked", key: toKeyRecord(revoked) };
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
