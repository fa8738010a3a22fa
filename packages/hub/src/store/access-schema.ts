import type { Generated } from "kysely";

/**
 * The tables that say who may do what. Times are epoch milliseconds, booleans 0 or 1, absent values NULL, JSON is text.
 *
 * `revision` is handed out by one counter for `users`, `groups`, `memberships` and `keys` together (`Database.write`), so
 * that a hub reads what changed since it last looked. Rows of these four are never deleted. `version` grows with each change
 * of what people see of a row: it is the ETag.
 */
export interface AccessSchema {
  users: {
    id: string;
    /** Normalised (`accounts/email.ts`); unique among all users. */
    email: string;
    email_verified_at_ms: number | null;
    name: string;
    role: UserRole;
    /** PHC string of argon2id; NULL: signs in by other means only. */
    password_hash: string | null;
    /** Encrypted with the hub's own key. */
    totp_secret: string | null;
    /** NULL while the second factor is being set up. */
    totp_confirmed_at_ms: number | null;
    /** The last time step that was used: a code works once. */
    totp_last_step: number | null;
    created_at_ms: number;
    disabled_at_ms: number | null;
    version: number;
    revision: number;
  };
  recovery_codes: { id: string; user_id: string; hash: string; used_at_ms: number | null };
  /** A person signed in on one device. */
  sign_ins: {
    id: string;
    user_id: string;
    hash: string;
    created_at_ms: number;
    last_seen_at_ms: number;
    expires_at_ms: number;
    ended_at_ms: number | null;
    address: string;
    user_agent: string;
    /** When password or second factor was last shown: what is dangerous asks for a fresh one. */
    confirmed_at_ms: number;
  };
  /** What an e-mail or the first start hands out, once. */
  one_time_links: {
    id: string;
    purpose: "set-up" | "verify-email" | "reset-password";
    user_id: string | null;
    /** The address it was sent to. */
    email: string | null;
    hash: string;
    created_at_ms: number;
    expires_at_ms: number;
    used_at_ms: number | null;
  };
  /** Attempts to sign in that came to an end, while a browser could still show them again. */
  used_attempts: { id: string; expires_at_ms: number };
  /** Accounts of other services that sign in as a user. */
  linked_accounts: {
    id: string;
    user_id: string;
    provider: string;
    /** The provider's own id of the person, never a name or an address. */
    subject: string;
    email: string | null;
    created_at_ms: number;
  };
  passkeys: {
    id: string;
    user_id: string;
    /** base64url. */
    credential_id: string;
    /** base64url of the COSE key. */
    public_key: string;
    counter: number;
    transports: string;
    name: string;
    created_at_ms: number;
    last_used_at_ms: number | null;
  };
  /** Personal access tokens, `pat-…`. */
  access_tokens: {
    id: string;
    user_id: string;
    name: string;
    prefix: string;
    hash: string;
    /** JSON array. */
    scopes: string;
    created_at_ms: number;
    expires_at_ms: number | null;
    revoked_at_ms: number | null;
    last_used_at_ms: number | null;
  };
  groups: {
    id: string;
    kind: GroupKind;
    /** Lower case; unique among groups that are not deleted. */
    slug: string;
    name: string;
    description: string;
    /** NULL: the operator's. */
    owner_id: string | null;
    /** JSON: limits of each member, unless the membership says otherwise. */
    member_limits: string;
    created_at_ms: number;
    deleted_at_ms: number | null;
    version: number;
    revision: number;
  };
  memberships: {
    group_id: string;
    user_id: string;
    role: MemberRole;
    status: MemberStatus;
    /** NULL: for ever. */
    expires_at_ms: number | null;
    /** JSON; NULL: the group's. */
    limits: string | null;
    invite_id: string | null;
    joined_at_ms: number;
    /** When `status` became something other than `active`. */
    ended_at_ms: number | null;
    /**
     * When others last took something from the user here: the right to serve, or the membership. Of invites to serve only those
     * that were made later do anything. NULL: never.
     */
    provider_invites_after_ms: number | null;
    version: number;
    revision: number;
  };
  /** Users who ask to serve into a group. Decided ones stay; open ones go with the group, and with who leaves it. */
  provider_requests: {
    id: string;
    group_id: string;
    user_id: string;
    note: string;
    created_at_ms: number;
    decided_at_ms: number | null;
    decision: "approved" | "refused" | null;
    /** NULL: the operator. */
    decided_by: string | null;
    version: number;
  };
  invites: {
    id: string;
    /** NULL: an invitation to the hub alone. */
    group_id: string | null;
    role: MemberRole;
    hash: string;
    /** The code's first four characters, to tell codes apart. */
    prefix: string;
    max_uses: number;
    uses: number;
    note: string;
    created_by: string | null;
    created_at_ms: number;
    expires_at_ms: number | null;
    revoked_at_ms: number | null;
    version: number;
  };
  invite_uses: { invite_id: string; user_id: string; used_at_ms: number };
  /** Machines that wait for somebody to say that they may serve in their name. Gone some minutes later. */
  device_joins: {
    id: string;
    /** Of what the machine asks with. */
    secret_hash: string;
    /** Of what the person types. */
    code_hash: string;
    invite_id: string;
    /** As the machine names itself. */
    machine: string;
    address: string;
    created_at_ms: number;
    expires_at_ms: number;
    confirmed_by: string | null;
    confirmed_at_ms: number | null;
    /** Refused by the person, or the key was handed out. */
    ended_at_ms: number | null;
    outcome: "refused" | "used" | null;
  };
  /** Whose model name it is within a group: the first to serve it, as long as the group's owner does not say otherwise. */
  model_claims: {
    group_id: string;
    /** As it was written first. */
    model: string;
    /** `foldedModelName` of it: names that look the same are one. */
    folded: string;
    /** "" for the operator. */
    owner_id: string;
    /** JSON array of user ids (or "*") that may serve the name as well. */
    also: string;
    claimed_at_ms: number;
  };
  audit_log: {
    id: string;
    at_ms: number;
    actor_kind: "user" | "operator" | "hub";
    actor_id: string | null;
    /** What people know the actor by, as it was then. */
    actor_name: string;
    /** The sign-in, token or command that was used. */
    via: string;
    action: string;
    object_type: string;
    object_id: string;
    /** For those who may see one group's entries only. */
    group_id: string | null;
    address: string;
    request_id: string | null;
    /** JSON without secrets; NULL for what was made. */
    before: string | null;
    after: string | null;
  };
  /** Answers to creates that carried an Idempotency-Key, for a day. */
  idempotent_answers: {
    /** SHA-256 of who asked and the key. */
    id: string;
    actor_id: string;
    /** SHA-256 of method, path and body. */
    request_hash: string;
    created_at_ms: number;
    /** Encrypted with a key that only the Idempotency-Key gives: it may hold a secret. NULL while it is being made. */
    answer: string | null;
  };
}

/** What the later migration added to `keys`. */
export interface KeyAccessColumns {
  /** NULL: the operator's own. */
  owner_id: string | null;
  /** Of an API key; NULL: the operator's group. */
  group_id: string | null;
  fallback_group_id: string | null;
  expires_at_ms: number | null;
  disabled_at_ms: number | null;
  /** Nano-credits; NULL: no limit. */
  spending_limit: number | null;
  spent: Generated<number>;
  /** JSON: everything else that a key may be restricted to (`KeyRules`). */
  rules: Generated<string>;
  /** The secret before the last rotation, and until when it still works. */
  previous_hash: string | null;
  previous_until_ms: number | null;
  version: Generated<number>;
}

/** `api` keys (`sk-…`) call the API, `worker` keys (`wk-…`) open tunnels. Never interchangeable. */
export type KeyKind = "api" | "worker";
export type UserRole = "root" | "admin" | "auditor" | "user";
/** `operator`: the one group that is there from the start; whoever runs the hub owns it. */
export type GroupKind = "operator" | "public" | "private";
export type MemberRole = "owner" | "provider" | "member";
/** `removed` may come back with a new invite, `banned` may not. */
export type MemberStatus = "active" | "left" | "removed" | "banned";

/** The group of keys and workers that belong to nobody but the operator. */
export const OPERATOR_GROUP_ID = "group_operator";
