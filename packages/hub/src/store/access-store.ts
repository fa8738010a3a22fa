import type { GroupKind, MemberRole, MemberStatus, UserRole } from "./access-schema.ts";
import type { KeyKind } from "./access-schema.ts";
import type { KeyRules } from "./key-rules.ts";
import type { MemberLimits } from "./member-limits.ts";

/** What each row carries: it grows with each change of any of them, across all processes. */
interface Revised {
  readonly revision: number;
}

export interface UserAccess extends Revised {
  readonly id: string;
  readonly role: UserRole;
  readonly isDisabled: boolean;
}

export interface GroupAccess extends Revised {
  readonly id: string;
  readonly kind: GroupKind;
  readonly slug: string;
  /** undefined: the operator's. */
  readonly ownerId: string | undefined;
  /** Of each member whose membership has none of its own. */
  readonly memberLimits: MemberLimits;
  readonly isDeleted: boolean;
}

export interface MembershipAccess extends Revised {
  readonly groupId: string;
  readonly userId: string;
  readonly role: MemberRole;
  readonly status: MemberStatus;
  readonly expiresAtMs: number | undefined;
  readonly limits: MemberLimits | undefined;
}

export interface KeyAccess extends Revised {
  readonly id: string;
  readonly kind: KeyKind;
  readonly name: string;
  /** SHA-256 of the secret, base64url. */
  readonly hash: string;
  /** undefined: the operator's own. */
  readonly ownerId: string | undefined;
  /** Of an API key; undefined: the operator's group. */
  readonly groupId: string | undefined;
  readonly fallbackGroupId: string | undefined;
  readonly expiresAtMs: number | undefined;
  readonly isRevoked: boolean;
  readonly isDisabled: boolean;
  /** It has spent all that it may. */
  readonly isExhausted: boolean;
  readonly rules: KeyRules;
  /** The secret before the last rotation works until then. */
  readonly previous: { readonly hash: string; readonly untilMs: number } | undefined;
}

/**
 * What changed of all that decides who may do what. Each answer has the rows after `revision`, oldest change first: from 0 on
 * every row. It has `limit` rows or a few more, as the rows of one transaction come together; with fewer it is the end.
 */
export interface AccessStore {
  changedUsers(revision: number, limit: number): Promise<readonly UserAccess[]>;
  changedGroups(revision: number, limit: number): Promise<readonly GroupAccess[]>;
  changedMemberships(revision: number, limit: number): Promise<readonly MembershipAccess[]>;
  changedKeys(revision: number, limit: number): Promise<readonly KeyAccess[]>;
  /** As `Database.watch`. */
  watch(onChange: () => void): () => void;
}
