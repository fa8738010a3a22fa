import type { Selectable } from "kysely";

import type { AccessStore, GroupAccess, KeyAccess, MembershipAccess, UserAccess } from "./access-store.ts";
import type { Database } from "./database.ts";
import { type KeyRules, NOTHING_ALLOWED, parseKeyRules } from "./key-rules.ts";
import { type MemberLimits, parseMemberLimits } from "./member-limits.ts";
import type { Schema } from "./schema.ts";

/** Of each text of a JSON column that was met lately what it means: most rows have the same few. */
const MAX_REMEMBERED_TEXTS = 1_000;

/** What the doors need of a key: there may be a million. */
const KEY_COLUMNS = [
  "id",
  "kind",
  "name",
  "hash",
  "owner_id",
  "group_id",
  "fallback_group_id",
  "expires_at_ms",
  "revoked_at_ms",
  "disabled_at_ms",
  "spending_limit",
  "spent",
  "rules",
  "previous_hash",
  "previous_until_ms",
  "revision",
] as const;

export class KyselyAccessStore implements AccessStore {
  readonly #database: Database;
  readonly #rules = new Remembered<KeyRules>(parseKeyRules);
  readonly #limits = new Remembered<MemberLimits>(limitsIn);

  constructor(database: Database) {
    this.#database = database;
  }

  async changedUsers(revision: number, limit: number): Promise<readonly UserAccess[]> {
    const users = this.#database.db.selectFrom("users").select(["id", "role", "disabled_at_ms", "revision"]);
    const rows = await wholeTransactions(limit, {
      after: () => users.where("revision", ">", revision).orderBy("revision").limit(limit).execute(),
      of: (last) => users.where("revision", "=", last).execute(),
    });
    return rows.map((row) => ({
      id: row.id,
      role: row.role,
      isDisabled: row.disabled_at_ms !== null,
      revision: row.revision,
    }));
  }

  async changedGroups(revision: number, limit: number): Promise<readonly GroupAccess[]> {
    const groups = this.#database.db.selectFrom("groups").selectAll();
    const rows = await wholeTransactions(limit, {
      // The operator's group is made with the tables, before there are revisions.
      after: () =>
        groups
          .where("revision", ">", revision === 0 ? -1 : revision)
          .orderBy("revision")
          .limit(limit)
          .execute(),
      of: (last) => groups.where("revision", "=", last).execute(),
    });
    return rows.map((row) => ({
      id: row.id,
      kind: row.kind,
      slug: row.slug,
      ownerId: row.owner_id ?? undefined,
      memberLimits: this.#limits.of(row.member_limits),
      isDeleted: row.deleted_at_ms !== null,
      revision: row.revision,
    }));
  }

  async changedMemberships(revision: number, limit: number): Promise<readonly MembershipAccess[]> {
    const memberships = this.#database.db.selectFrom("memberships").selectAll();
    const rows = await wholeTransactions(limit, {
      after: () => memberships.where("revision", ">", revision).orderBy("revision").limit(limit).execute(),
      of: (last) => memberships.where("revision", "=", last).execute(),
    });
    return rows.map((row) => ({
      groupId: row.group_id,
      userId: row.user_id,
      role: row.role,
      status: row.status,
      expiresAtMs: row.expires_at_ms ?? undefined,
      limits: row.limits === null ? undefined : this.#limits.of(row.limits),
      revision: row.revision,
    }));
  }

  async changedKeys(revision: number, limit: number): Promise<readonly KeyAccess[]> {
    const keys = this.#database.db.selectFrom("keys").select(KEY_COLUMNS);
    const rows = await wholeTransactions(limit, {
      after: () => keys.where("revision", ">", revision).orderBy("revision").limit(limit).execute(),
      of: (last) => keys.where("revision", "=", last).execute(),
    });
    return rows.map((row) => this.#toKey(row));
  }

  watch(onChange: () => void): () => void {
    return this.#database.watch(onChange);
  }

  #toKey(row: Pick<Selectable<Schema["keys"]>, (typeof KEY_COLUMNS)[number]>): KeyAccess {
    return {
      id: row.id,
      kind: row.kind,
      name: row.name,
      hash: row.hash,
      ownerId: row.owner_id ?? undefined,
      groupId: row.group_id ?? undefined,
      fallbackGroupId: row.fallback_group_id ?? undefined,
      expiresAtMs: row.expires_at_ms ?? undefined,
      isRevoked: row.revoked_at_ms !== null,
      isDisabled: row.disabled_at_ms !== null,
      isExhausted: row.spending_limit !== null && row.spent >= row.spending_limit,
      rules: this.#rules.of(row.rules),
      previous:
        row.previous_hash === null ? undefined : { hash: row.previous_hash, untilMs: row.previous_until_ms ?? 0 },
      revision: row.revision,
    };
  }
}

/** One row that cannot be read must not keep the others from being: it allows nothing. */
function limitsIn(text: string): MemberLimits {
  try {
    return parseMemberLimits(text);
  } catch {
    return NOTHING_ALLOWED;
  }
}

/**
 * The rows of one page, with all of the transaction that its end would cut through: they have the same revision, so nobody
 * could ask for the rest.
 */
async function wholeTransactions<Row extends { readonly revision: number }>(
  limit: number,
  read: { after(): Promise<Row[]>; of(revision: number): Promise<Row[]> },
): Promise<Row[]> {
  const rows = await read.after();
  const last = rows.at(-1)?.revision;
  if (last === undefined || rows.length < limit) return rows;
  return [...rows.filter((row) => row.revision < last), ...(await read.of(last))];
}

/** The meaning of texts, the same object for the same text as long as it is remembered. */
class Remembered<T> {
  readonly #parse: (text: string) => T;
  readonly #known = new Map<string, T>();

  constructor(parse: (text: string) => T) {
    this.#parse = parse;
  }

  of(text: string): T {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    const meaning = this.#parse(text);
    if (this.#known.size >= MAX_REMEMBERED_TEXTS) this.#known.clear();
    this.#known.set(text, meaning);
    return meaning;
  }
}
