import type { GroupKind, UserRole } from "./access-schema.ts";
import type { Database } from "./database.ts";
import { insertGroup, type GroupRecord } from "./group-store.ts";
import { type InviteRecord, insertInvite, type NewInvite } from "./invite-store.ts";
import { putMembership } from "./membership-store.ts";

/** A user for tests of what users own; the e-mail address is made of the id. */
export async function addUser(database: Database, id: string, role: UserRole = "user"): Promise<void> {
  await database.write(({ db, revision }) =>
    db
      .insertInto("users")
      .values({
        id,
        email: `${id.replace("user_", "")}@example.com`,
        email_verified_at_ms: 0,
        name: id.replace("user_", ""),
        role,
        password_hash: null,
        totp_secret: null,
        totp_confirmed_at_ms: null,
        totp_last_step: null,
        created_at_ms: 0,
        disabled_at_ms: null,
        version: 1,
        revision,
      })
      .execute(),
  );
}

/** A group for tests, with its owner as a member; without an owner it is the operator's. */
export async function addGroup(
  database: Database,
  id: string,
  group: { readonly ownerId?: string; readonly kind?: GroupKind } = {},
): Promise<GroupRecord> {
  const { ownerId, kind = "private" } = group;
  return database.write(async (transaction) => {
    const slug = id.replace("group_", "");
    const common = { id, kind, slug, name: slug, description: "", ownerId, memberLimits: {}, createdAtMs: 0 };
    const made = await insertGroup(transaction, common);
    if (ownerId !== undefined) {
      await putMembership(transaction, { groupId: id, userId: ownerId, role: "owner", joinedAtMs: 0 });
    }
    return made;
  });
}

/** An invite for tests: one use, no end. Its hash is made of the id. */
export async function addInvite(
  database: Database,
  invite: Partial<NewInvite> & { readonly id: string },
): Promise<InviteRecord> {
  return insertInvite(database.db, {
    groupId: undefined,
    role: "member",
    hash: `hash of ${invite.id}`,
    prefix: "ABCD",
    maxUses: 1,
    note: "",
    createdBy: undefined,
    createdAtMs: 0,
    expiresAtMs: undefined,
    ...invite,
  });
}
