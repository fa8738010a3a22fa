import { type Kysely, type Selectable, sql } from "kysely";

import type { UserRole } from "./access-schema.ts";
import type { AccessTransaction } from "./database.ts";
import type { Schema } from "./schema.ts";

/** A user as anybody who may see users sees one. No secret can be got from it. */
export interface UserRecord {
  readonly id: string;
  /** Normalised (`accounts/email.ts`). */
  readonly email: string;
  readonly emailVerifiedAtMs: number | undefined;
  readonly name: string;
  readonly role: UserRole;
  readonly hasPassword: boolean;
  readonly hasSecondFactor: boolean;
  readonly createdAtMs: number;
  readonly disabledAtMs: number | undefined;
  /** Grows with each change of what is above: the ETag. */
  readonly version: number;
}

export interface NewUser {
  readonly id: string;
  readonly email: string;
  readonly emailVerifiedAtMs: number | undefined;
  readonly name: string;
  readonly role: UserRole;
  /** PHC string. */
  readonly passwordHash: string | undefined;
  readonly createdAtMs: number;
}

/** What may be written of a user; null clears. */
export interface UserChange {
  readonly email?: string;
  readonly emailVerifiedAtMs?: number | null;
  readonly name?: string;
  readonly role?: UserRole;
  readonly passwordHash?: string | null;
  readonly disabledAtMs?: number | null;
}

export interface UserFilter {
  /** Part of the address or the name, in any case; letters that are not ASCII as they stand in the name. */
  readonly search?: string | undefined;
  readonly role?: UserRole | undefined;
  readonly isDisabled?: boolean | undefined;
}

/** Keeps a new user; undefined when the address belongs to one already. */
export async function insertUser({ db, revision }: AccessTransaction, user: NewUser): Promise<UserRecord | undefined> {
  const row = await db
    .insertInto("users")
    .values({
      id: user.id,
      email: user.email,
      email_verified_at_ms: user.emailVerifiedAtMs ?? null,
      name: user.name,
      role: user.role,
      password_hash: user.passwordHash ?? null,
      totp_secret: null,
      totp_confirmed_at_ms: null,
      totp_last_step: null,
      created_at_ms: user.createdAtMs,
      disabled_at_ms: null,
      version: 1,
      revision,
    })
    .onConflict((conflict) => conflict.column("email").doNothing())
    .returningAll()
    .executeTakeFirst();
  return row && toUserRecord(row);
}

export async function userById(db: Kysely<Schema>, id: string): Promise<UserRecord | undefined> {
  const row = await db.selectFrom("users").selectAll().where("id", "=", id).executeTakeFirst();
  return row && toUserRecord(row);
}

/** @param email Normalised. */
export async function userByEmail(db: Kysely<Schema>, email: string): Promise<UserRecord | undefined> {
  const row = await db.selectFrom("users").selectAll().where("email", "=", email).executeTakeFirst();
  return row && toUserRecord(row);
}

/** A user and its password's PHC string in one query, so that the database's part of a sign-in takes as long for nobody. */
export async function userWithPassword(
  db: Kysely<Schema>,
  email: string,
): Promise<{ readonly user: UserRecord; readonly passwordHash: string | undefined } | undefined> {
  const row = await db.selectFrom("users").selectAll().where("email", "=", email).executeTakeFirst();
  return row && { user: toUserRecord(row), passwordHash: row.password_hash ?? undefined };
}

/** The PHC string of a user's password; undefined: has none. For checking it, never for showing it. */
export async function passwordHashOf(db: Kysely<Schema>, id: string): Promise<string | undefined> {
  const row = await db.selectFrom("users").select("password_hash").where("id", "=", id).executeTakeFirst();
  return row?.password_hash ?? undefined;
}

/** Users, the newest first, after the user `after` when that is given. */
export async function usersWhere(
  db: Kysely<Schema>,
  filter: UserFilter,
  page: { readonly limit: number; readonly after?: string | undefined },
): Promise<readonly UserRecord[]> {
  let query = db.selectFrom("users").selectAll();
  if (filter.role !== undefined) query = query.where("role", "=", filter.role);
  if (filter.isDisabled !== undefined) query = query.where("disabled_at_ms", filter.isDisabled ? "is not" : "is", null);
  if (filter.search !== undefined) {
    const asWritten = `%${filter.search.replaceAll(/[!%_]/g, "!$&")}%`;
    const lower = asWritten.toLowerCase();
    // Of letters that are not ASCII SQLite's `lower` knows no case, and PostgreSQL's only in some locales.
    query = query.where(
      sql<boolean>`(email like ${lower} escape '!' or lower(name) like ${lower} escape '!' or name like ${asWritten} escape '!')`,
    );
  }
  if (page.after !== undefined) query = query.where("id", "<", page.after);
  const rows = await query.orderBy("id", "desc").limit(page.limit).execute();
  return rows.map(toUserRecord);
}

/** Changes a user and what it is after that; undefined: there is none, or not of `version` when that is given. */
export async function changeUser(
  { db, revision }: AccessTransaction,
  id: string,
  change: UserChange,
  version?: number,
): Promise<UserRecord | undefined> {
  let query = db
    .updateTable("users")
    .set((eb) => ({
      ...(change.email !== undefined && { email: change.email }),
      ...(change.emailVerifiedAtMs !== undefined && { email_verified_at_ms: change.emailVerifiedAtMs }),
      ...(change.name !== undefined && { name: change.name }),
      ...(change.role !== undefined && { role: change.role }),
      ...(change.passwordHash !== undefined && { password_hash: change.passwordHash }),
      ...(change.disabledAtMs !== undefined && { disabled_at_ms: change.disabledAtMs }),
      version: eb("version", "+", 1),
      revision,
    }))
    .where("id", "=", id);
  if (version !== undefined) query = query.where("version", "=", version);
  const row = await query.returningAll().executeTakeFirst();
  return row && toUserRecord(row);
}

/** Users with the role root that are not disabled. */
export async function rootsOf(db: Kysely<Schema>): Promise<number> {
  const { count } = await db
    .selectFrom("users")
    .select((eb) => eb.fn.countAll<number>().as("count"))
    .where("role", "=", "root")
    .where("disabled_at_ms", "is", null)
    .executeTakeFirstOrThrow();
  return Number(count);
}

/** A user's row as the record of it; also for queries that join users. */
export function toUserRecord(row: Omit<Selectable<Schema["users"]>, "revision">): UserRecord {
  return {
    id: row.id,
    email: row.email,
    emailVerifiedAtMs: row.email_verified_at_ms ?? undefined,
    name: row.name,
    role: row.role,
    hasPassword: row.password_hash !== null,
    hasSecondFactor: row.totp_confirmed_at_ms !== null,
    createdAtMs: row.created_at_ms,
    disabledAtMs: row.disabled_at_ms ?? undefined,
    version: row.version,
  };
}
