import { type Transaction, sql } from "kysely";

import { OPERATOR_GROUP_ID } from "../access-schema.ts";
import type { DialectName } from "../dialect-name.ts";
import type { Schema } from "../schema.ts";
import { auditLogAppendOnly } from "./append-only.ts";

/** Users, groups, invites, the audit log, and what keys gain by them. */
export async function accessTables(db: Transaction<Schema>, dialect: DialectName): Promise<void> {
  await users(db);
  await signingIn(db);
  await credentials(db);
  await groups(db);
  await memberships(db);
  await invites(db);
  await requests(db);
  await records(db);
  await auditLogAppendOnly(db, dialect);
  await keys(db);
}

async function users(db: Transaction<Schema>): Promise<void> {
  await db.schema
    .createTable("users")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("email", "text", (column) => column.notNull().unique())
    .addColumn("email_verified_at_ms", "bigint")
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("role", "text", (column) => column.notNull().check(sql`role in ('root', 'admin', 'auditor', 'user')`))
    .addColumn("password_hash", "text")
    .addColumn("totp_secret", "text")
    .addColumn("totp_confirmed_at_ms", "bigint")
    .addColumn("totp_last_step", "bigint")
    .addColumn("created_at_ms", "bigint", (column) => column.notNull())
    .addColumn("disabled_at_ms", "bigint")
    .addColumn("version", "bigint", (column) => column.notNull())
    .addColumn("revision", "bigint", (column) => column.notNull())
    .execute();
  await db.schema.createIndex("users_by_revision").on("users").column("revision").execute();
  await db.schema
    .createTable("recovery_codes")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("user_id", "text", (column) => column.notNull().references("users.id"))
    .addColumn("hash", "text", (column) => column.notNull())
    .addColumn("used_at_ms", "bigint")
    .addUniqueConstraint("recovery_codes_once", ["user_id", "hash"])
    .execute();
}

async function signingIn(db: Transaction<Schema>): Promise<void> {
  await db.schema
    .createTable("sign_ins")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("user_id", "text", (column) => column.notNull().references("users.id"))
    .addColumn("hash", "text", (column) => column.notNull().unique())
    .addColumn("created_at_ms", "bigint", (column) => column.notNull())
    .addColumn("last_seen_at_ms", "bigint", (column) => column.notNull())
    .addColumn("expires_at_ms", "bigint", (column) => column.notNull())
    .addColumn("ended_at_ms", "bigint")
    .addColumn("address", "text", (column) => column.notNull())
    .addColumn("user_agent", "text", (column) => column.notNull())
    .addColumn("confirmed_at_ms", "bigint", (column) => column.notNull())
    .execute();
  await db.schema.createIndex("sign_ins_by_user").on("sign_ins").column("user_id").execute();
  await db.schema
    .createTable("one_time_links")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("purpose", "text", (column) => column.notNull())
    .addColumn("user_id", "text", (column) => column.references("users.id"))
    .addColumn("email", "text")
    .addColumn("hash", "text", (column) => column.notNull().unique())
    .addColumn("created_at_ms", "bigint", (column) => column.notNull())
    .addColumn("expires_at_ms", "bigint", (column) => column.notNull())
    .addColumn("used_at_ms", "bigint")
    .execute();
}

/** Other ways to show who one is. */
async function credentials(db: Transaction<Schema>): Promise<void> {
  await db.schema.createIndex("one_time_links_by_user").on("one_time_links").column("user_id").execute();
  await db.schema
    .createTable("used_attempts")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("expires_at_ms", "bigint", (column) => column.notNull())
    .execute();
  await db.schema
    .createTable("linked_accounts")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("user_id", "text", (column) => column.notNull().references("users.id"))
    .addColumn("provider", "text", (column) => column.notNull())
    .addColumn("subject", "text", (column) => column.notNull())
    .addColumn("email", "text")
    .addColumn("created_at_ms", "bigint", (column) => column.notNull())
    .addUniqueConstraint("linked_accounts_once", ["provider", "subject"])
    .execute();
  await db.schema.createIndex("linked_accounts_by_user").on("linked_accounts").column("user_id").execute();
  await db.schema
    .createTable("passkeys")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("user_id", "text", (column) => column.notNull().references("users.id"))
    .addColumn("credential_id", "text", (column) => column.notNull().unique())
    .addColumn("public_key", "text", (column) => column.notNull())
    .addColumn("counter", "bigint", (column) => column.notNull())
    .addColumn("transports", "text", (column) => column.notNull())
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("created_at_ms", "bigint", (column) => column.notNull())
    .addColumn("last_used_at_ms", "bigint")
    .execute();
  await db.schema.createIndex("passkeys_by_user").on("passkeys").column("user_id").execute();
  await db.schema
    .createTable("access_tokens")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("user_id", "text", (column) => column.notNull().references("users.id"))
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("prefix", "text", (column) => column.notNull())
    .addColumn("hash", "text", (column) => column.notNull().unique())
    .addColumn("scopes", "text", (column) => column.notNull())
    .addColumn("created_at_ms", "bigint", (column) => column.notNull())
    .addColumn("expires_at_ms", "bigint")
    .addColumn("revoked_at_ms", "bigint")
    .addColumn("last_used_at_ms", "bigint")
    .execute();
  await db.schema.createIndex("access_tokens_by_user").on("access_tokens").column("user_id").execute();
}

async function groups(db: Transaction<Schema>): Promise<void> {
  await db.schema
    .createTable("groups")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("kind", "text", (column) => column.notNull().check(sql`kind in ('operator', 'public', 'private')`))
    .addColumn("slug", "text", (column) => column.notNull())
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("description", "text", (column) => column.notNull())
    .addColumn("owner_id", "text", (column) => column.references("users.id"))
    .addColumn("member_limits", "text", (column) => column.notNull())
    .addColumn("created_at_ms", "bigint", (column) => column.notNull())
    .addColumn("deleted_at_ms", "bigint")
    .addColumn("version", "bigint", (column) => column.notNull())
    .addColumn("revision", "bigint", (column) => column.notNull())
    .execute();
  // A deleted group's name is free again.
  await sql`create unique index groups_by_slug on groups (slug) where deleted_at_ms is null`.execute(db);
  await db.schema.createIndex("groups_by_owner").on("groups").column("owner_id").execute();
  await db.schema.createIndex("groups_by_revision").on("groups").column("revision").execute();
  await db
    .insertInto("groups")
    .values({
      id: OPERATOR_GROUP_ID,
      kind: "operator",
      slug: "operator",
      name: "Operator",
      description: "Keys and workers of whoever runs this hub.",
      owner_id: null,
      member_limits: "{}",
      created_at_ms: 0,
      deleted_at_ms: null,
      version: 1,
      revision: 0,
    })
    .execute();
}

async function memberships(db: Transaction<Schema>): Promise<void> {
  await db.schema
    .createTable("memberships")
    .addColumn("group_id", "text", (column) => column.notNull().references("groups.id"))
    .addColumn("user_id", "text", (column) => column.notNull().references("users.id"))
    .addColumn("role", "text", (column) => column.notNull().check(sql`role in ('owner', 'provider', 'member')`))
    .addColumn("status", "text", (column) =>
      column.notNull().check(sql`status in ('active', 'left', 'removed', 'banned')`),
    )
    .addColumn("expires_at_ms", "bigint")
    .addColumn("limits", "text")
    .addColumn("invite_id", "text")
    .addColumn("joined_at_ms", "bigint", (column) => column.notNull())
    .addColumn("ended_at_ms", "bigint")
    .addColumn("provider_invites_after_ms", "bigint")
    .addColumn("version", "bigint", (column) => column.notNull())
    .addColumn("revision", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("memberships_key", ["group_id", "user_id"])
    .execute();
  await db.schema.createIndex("memberships_by_user").on("memberships").column("user_id").execute();
  await db.schema.createIndex("memberships_by_revision").on("memberships").column("revision").execute();
  await db.schema
    .createTable("model_claims")
    .addColumn("group_id", "text", (column) => column.notNull().references("groups.id"))
    .addColumn("model", "text", (column) => column.notNull())
    .addColumn("folded", "text", (column) => column.notNull())
    .addColumn("owner_id", "text", (column) => column.notNull())
    .addColumn("also", "text", (column) => column.notNull())
    .addColumn("claimed_at_ms", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("model_claims_key", ["group_id", "folded"])
    .execute();
}

async function invites(db: Transaction<Schema>): Promise<void> {
  await db.schema
    .createTable("invites")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("group_id", "text", (column) => column.references("groups.id"))
    .addColumn("role", "text", (column) => column.notNull().check(sql`role in ('provider', 'member')`))
    .addColumn("hash", "text", (column) => column.notNull().unique())
    .addColumn("prefix", "text", (column) => column.notNull())
    .addColumn("max_uses", "bigint", (column) => column.notNull())
    .addColumn("uses", "bigint", (column) => column.notNull())
    .addColumn("note", "text", (column) => column.notNull())
    .addColumn("created_by", "text", (column) => column.references("users.id"))
    .addColumn("created_at_ms", "bigint", (column) => column.notNull())
    .addColumn("expires_at_ms", "bigint")
    .addColumn("revoked_at_ms", "bigint")
    .addColumn("version", "bigint", (column) => column.notNull())
    // The last line against a race: whatever the code above it does, a code is not used more often than it may be.
    .addCheckConstraint("invites_uses_bounded", sql`uses <= max_uses`)
    .execute();
  await db.schema.createIndex("invites_by_group").on("invites").column("group_id").execute();
  await db.schema
    .createTable("invite_uses")
    .addColumn("invite_id", "text", (column) => column.notNull().references("invites.id"))
    .addColumn("user_id", "text", (column) => column.notNull().references("users.id"))
    .addColumn("used_at_ms", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("invite_uses_key", ["invite_id", "user_id"])
    .execute();
}

/** What waits for somebody's decision. */
async function requests(db: Transaction<Schema>): Promise<void> {
  await db.schema
    .createTable("provider_requests")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("group_id", "text", (column) => column.notNull().references("groups.id"))
    .addColumn("user_id", "text", (column) => column.notNull().references("users.id"))
    .addColumn("note", "text", (column) => column.notNull())
    .addColumn("created_at_ms", "bigint", (column) => column.notNull())
    .addColumn("decided_at_ms", "bigint")
    .addColumn("decision", "text", (column) => column.check(sql`decision in ('approved', 'refused')`))
    .addColumn("decided_by", "text", (column) => column.references("users.id"))
    .addColumn("version", "bigint", (column) => column.notNull())
    .execute();
  await sql`create unique index provider_requests_open on provider_requests (group_id, user_id) where decided_at_ms is null`.execute(
    db,
  );
  await db.schema.createIndex("provider_requests_by_user").on("provider_requests").column("user_id").execute();
  await db.schema
    .createTable("device_joins")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("secret_hash", "text", (column) => column.notNull().unique())
    .addColumn("code_hash", "text", (column) => column.notNull().unique())
    .addColumn("invite_id", "text", (column) => column.notNull().references("invites.id"))
    .addColumn("machine", "text", (column) => column.notNull())
    .addColumn("address", "text", (column) => column.notNull())
    .addColumn("created_at_ms", "bigint", (column) => column.notNull())
    .addColumn("expires_at_ms", "bigint", (column) => column.notNull())
    .addColumn("confirmed_by", "text", (column) => column.references("users.id"))
    .addColumn("confirmed_at_ms", "bigint")
    .addColumn("ended_at_ms", "bigint")
    .addColumn("outcome", "text", (column) => column.check(sql`outcome in ('refused', 'used')`))
    .execute();
}

async function records(db: Transaction<Schema>): Promise<void> {
  await db.schema
    .createTable("audit_log")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("at_ms", "bigint", (column) => column.notNull())
    .addColumn("actor_kind", "text", (column) => column.notNull())
    .addColumn("actor_id", "text")
    .addColumn("actor_name", "text", (column) => column.notNull())
    .addColumn("via", "text", (column) => column.notNull())
    .addColumn("action", "text", (column) => column.notNull())
    .addColumn("object_type", "text", (column) => column.notNull())
    .addColumn("object_id", "text", (column) => column.notNull())
    .addColumn("group_id", "text")
    .addColumn("address", "text", (column) => column.notNull())
    .addColumn("request_id", "text")
    .addColumn("before", "text")
    .addColumn("after", "text")
    .execute();
  // Each ends with the id, by which pages go on: no filter has to sort.
  const indexes = { object: ["object_type", "object_id"], group: ["group_id"], actor: ["actor_id"] } as const;
  for (const [name, columns] of Object.entries(indexes)) {
    await db.schema
      .createIndex(`audit_log_by_${name}`)
      .on("audit_log")
      .columns([...columns, "id"])
      .execute();
  }
  await db.schema
    .createTable("idempotent_answers")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("actor_id", "text", (column) => column.notNull())
    .addColumn("request_hash", "text", (column) => column.notNull())
    .addColumn("created_at_ms", "bigint", (column) => column.notNull())
    .addColumn("answer", "text")
    .execute();
  await db.schema
    .createIndex("idempotent_answers_by_actor")
    .on("idempotent_answers")
    .columns(["actor_id", "created_at_ms"])
    .execute();
  await db.schema.createIndex("idempotent_answers_by_age").on("idempotent_answers").column("created_at_ms").execute();
}

/** Keys that were there before belong to the operator, and so do the workers that use them. */
async function keys(db: Transaction<Schema>): Promise<void> {
  const columns = [
    ["owner_id", "text"],
    ["group_id", "text"],
    ["fallback_group_id", "text"],
    ["expires_at_ms", "bigint"],
    ["disabled_at_ms", "bigint"],
    ["spending_limit", "bigint"],
    ["previous_hash", "text"],
    ["previous_until_ms", "bigint"],
  ] as const;
  // SQLite adds one column at a time.
  for (const [name, type] of columns) await db.schema.alterTable("keys").addColumn(name, type).execute();
  await db.schema
    .alterTable("keys")
    .addColumn("spent", "bigint", (column) => column.notNull().defaultTo(0))
    .execute();
  await db.schema
    .alterTable("keys")
    .addColumn("rules", "text", (column) => column.notNull().defaultTo("{}"))
    .execute();
  await db.schema
    .alterTable("keys")
    .addColumn("version", "bigint", (column) => column.notNull().defaultTo(1))
    .execute();
  await db.schema.createIndex("keys_by_owner").on("keys").column("owner_id").execute();
  await db.schema.createIndex("keys_by_previous_hash").on("keys").column("previous_hash").execute();
  const newest = await db
    .selectFrom("keys")
    .select((eb) => eb.fn.max("revision").as("revision"))
    .executeTakeFirst();
  await db
    .insertInto("meta")
    .values({ name: "access_revision", value: String(newest?.revision ?? 0) })
    .execute();
}
