import type { GroupKind, MemberRole, MemberStatus } from "../store/access-schema.ts";
import type { KeyKind } from "../store/access-schema.ts";
import type { KeyRules } from "../store/key-rules.ts";
import { limitsOf, type MemberLimits } from "../store/member-limits.ts";
import type { Member, Pins, Principal } from "./principal.ts";

const NO_GROUPS: readonly string[] = [];

/** A user as the doors need them. One that is not loaded yet may do nothing. */
export class UserEntry {
  readonly id: string;
  isKnown = false;
  isDisabled = false;
  /** Root and admins: the operator's group is theirs. */
  isOperator = false;
  /** Of each group that has something to do with them. */
  readonly memberships: MembershipEntry[] = [];
  readonly keys: KeyEntry[] = [];

  constructor(id: string) {
    this.id = id;
  }

  get isGood(): boolean {
    return this.isKnown && !this.isDisabled;
  }

  membershipIn(group: GroupEntry): MembershipEntry {
    // Users are in a few groups: a map for each would cost more memory than it saves time.
    const known = this.memberships.find((each) => each.group === group);
    if (known !== undefined) return known;
    const membership = new MembershipEntry(this, group);
    this.memberships.push(membership);
    group.memberships.push(membership);
    return membership;
  }
}

/** A group as the doors need it. One that is not loaded yet is of use to nobody. */
export class GroupEntry {
  readonly id: string;
  isKnown = false;
  isDeleted = false;
  kind: GroupKind = "private";
  slug = "";
  /** "": the operator's. */
  ownerId = "";
  memberLimits: MemberLimits = {};
  readonly memberships: MembershipEntry[] = [];
  readonly #alone: readonly string[];
  /** Lists of this group and another, for keys that fall back to it. */
  #pairs: Map<string, readonly string[]> | undefined;

  constructor(id: string) {
    this.id = id;
    this.#alone = Object.freeze([id]);
  }

  get isGood(): boolean {
    return this.isKnown && !this.isDeleted;
  }

  /** The ids of this group and of the one to fall back to: the same list for all keys that have both. */
  listWith(fallback: GroupEntry | undefined): readonly string[] {
    if (fallback === undefined) return this.#alone;
    const known = this.#pairs?.get(fallback.id);
    if (known !== undefined) return known;
    const pair = Object.freeze([this.id, fallback.id]);
    this.#pairs ??= new Map();
    this.#pairs.set(fallback.id, pair);
    return pair;
  }
}

/** What there is between a user and a group; also when there is nothing yet. */
export class MembershipEntry implements Member {
  readonly user: UserEntry;
  readonly group: GroupEntry;
  role: MemberRole = "member";
  status: MemberStatus | "none" = "none";
  expiresAtMs: number | undefined;
  /** Its time has come, and who uses it was told. */
  isOver = false;
  ownLimits: MemberLimits | undefined;
  #merged: { readonly group: MemberLimits; readonly own: MemberLimits; readonly limits: MemberLimits } | undefined;

  constructor(user: UserEntry, group: GroupEntry) {
    this.user = user;
    this.group = group;
  }

  get limits(): MemberLimits {
    const { ownLimits: own } = this;
    const group = this.group.memberLimits;
    if (own === undefined) return group;
    if (this.#merged?.group !== group || this.#merged.own !== own) {
      this.#merged = { group, own, limits: limitsOf(group, own) };
    }
    return this.#merged.limits;
  }

  /** Whether the user may use what is served there. */
  mayUse(nowMs: number): boolean {
    if (!this.group.isGood || !this.user.isGood || this.status === "banned") return false;
    return this.group.kind === "public" || isOperators(this) || isActive(this, nowMs);
  }

  /** Whether the user is one of those who serve there. */
  provides(nowMs: number): boolean {
    return this.group.isGood && this.user.isGood && this.role !== "member" && isActive(this, nowMs);
  }
}

/** Whoever runs the hub owns the groups that belong to nobody. */
function isOperators({ user, group }: MembershipEntry): boolean {
  return user.isOperator && group.ownerId === "";
}

function isActive({ status, isOver, expiresAtMs }: MembershipEntry, nowMs: number): boolean {
  return status === "active" && !isOver && (expiresAtMs === undefined || expiresAtMs > nowMs);
}

/** The secret that a key had before its last rotation. */
export interface OldSecret {
  readonly key: KeyEntry;
  readonly hash: string;
  /** It works until then. */
  readonly untilMs: number;
}

/** A key, and the principal of all that it is used for. About 400 bytes with its strings and its places in the maps. */
export class KeyEntry implements Principal {
  readonly keyId: string;
  readonly kind: KeyKind;
  readonly owner: UserEntry;
  name = "";
  hash = "";
  previous: OldSecret | undefined;
  /** Of an API key. */
  membership: MembershipEntry | undefined;
  fallback: MembershipEntry | undefined;
  expiresAtMs: number | undefined;
  isRevoked = false;
  isDisabled = false;
  isExhausted = false;
  rules: KeyRules = {};

  constructor(keyId: string, kind: KeyKind, owner: UserEntry) {
    this.keyId = keyId;
    this.kind = kind;
    this.owner = owner;
  }

  get userId(): string | undefined {
    return this.owner.id === "" ? undefined : this.owner.id;
  }

  get groupIds(): readonly string[] {
    if (this.membership === undefined) return NO_GROUPS;
    // What ends by time is noted when it ends: no need for the clock.
    const { fallback } = this;
    return this.membership.group.listWith(fallback?.mayUse(0) === true ? fallback.group : undefined);
  }

  get limits(): MemberLimits | undefined {
    return this.rules.limits;
  }

  get pins(): Pins | undefined {
    const { workers, owners, excludeWorkers, excludeOwners } = this.rules;
    return (workers ?? owners ?? excludeWorkers ?? excludeOwners) === undefined ? undefined : this.rules;
  }

  get isRotatedAway(): boolean {
    return false;
  }

  /** Whether the secret with that hash is the key's, or the one before, and its time is not over. */
  hasSecret(hash: string, nowMs: number): boolean {
    return hash === this.hash || (hash === this.previous?.hash && this.previous.untilMs > nowMs);
  }

  memberOf(groupId: string): Member | undefined {
    if (this.owner.id === "") return undefined;
    return this.membership?.group.id === groupId ? this.membership : this.fallback;
  }

  allowsModel(model: string): boolean {
    const patterns = this.kind === "api" ? this.rules.models : this.rules.serveModels;
    if (patterns === undefined) return true;
    for (const pattern of patterns) {
      if (pattern === model) return true;
      if (pattern.endsWith("*") && model.startsWith(pattern.slice(0, -1))) return true;
    }
    return false;
  }
}

/** The key as a tunnel has it that one of its secrets opened: the same in everything else, now and later. */
export function openedBy(key: KeyEntry, hash: string, now: () => number): Principal {
  // Its own properties are read through the prototype, so that they follow the database, too.
  return Object.create(key, { isRotatedAway: { get: () => !key.hasSecret(hash, now()) } }) as Principal;
}
