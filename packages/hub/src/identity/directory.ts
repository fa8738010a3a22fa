import type { Log } from "../observe/log.ts";
import { OPERATOR_GROUP_ID } from "../store/access-schema.ts";
import type { KeyKind } from "../store/access-schema.ts";
import type { AccessStore, GroupAccess, KeyAccess, MembershipAccess, UserAccess } from "../store/access-store.ts";
import { GroupEntry, KeyEntry, type MembershipEntry, type OldSecret, openedBy, UserEntry } from "./access-entries.ts";
import { AccessFollower, type AccessTaker } from "./access-follower.ts";
import { AddressLists } from "./address-lists.ts";
import { DueTimes } from "./due-times.ts";
import type { KeyRing } from "./key-ring.ts";
import { hashOfSecret } from "./key-secret.ts";
import { Listeners } from "./listeners.ts";
import { type NotServed, notServedOf } from "./not-served.ts";
import type { Denial, EndReason, Identification, KeyEnd, Principal } from "./principal.ts";

/** Longer ones are not ours; a header may be 16 KiB, and hashing that would cost 10 µs. */
const MAX_SECRET_LENGTH = 256;

const UNKNOWN: Identification = Object.freeze({ outcome: "unknown" });

export interface DirectoryOptions {
  readonly log: Log;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

/**
 * Every user, group, membership and key, kept up to date while the database changes. A request costs one hash and one look-up
 * whatever the number of keys.
 */
export class Directory implements KeyRing, AccessTaker, Disposable {
  readonly #now: () => number;
  readonly #users = new Map<string, UserEntry>();
  readonly #groups = new Map<string, GroupEntry>();
  readonly #publicGroups = new Set<GroupEntry>();
  readonly #keys = new Map<string, KeyEntry>();
  /** By the hash of the secret, and of the one before. */
  readonly #byHash = new Map<string, KeyEntry>();
  /** Whoever runs the hub: the owner of keys that have none. */
  readonly #operator = new UserEntry("");
  readonly #addressLists = new AddressLists();
  readonly #ended: Listeners<KeyEnd>;
  readonly #workerChanged: Listeners<string>;
  readonly #groupChanged: Listeners<string>;
  readonly #dueTimes: DueTimes<KeyEntry | MembershipEntry | OldSecret>;
  #follower: AccessFollower | undefined;
  #revoked = 0;

  private constructor({ log, now }: DirectoryOptions) {
    this.#now = now;
    this.#operator.isKnown = true;
    this.#operator.isOperator = true;
    this.#ended = new Listeners(log, "keys that end");
    this.#workerChanged = new Listeners(log, "changed worker keys");
    this.#groupChanged = new Listeners(log, "changed groups");
    this.#dueTimes = new DueTimes({ now, dueAtMs, onDue: (item) => this.#onDue(item) });
  }

  /** Reads everything, then follows the changes. @throws StoreError when it cannot be read. */
  static async open(store: AccessStore, options: DirectoryOptions): Promise<Directory> {
    const directory = new Directory(options);
    try {
      directory.#follower = await AccessFollower.open(store, directory, options.log);
      return directory;
    } catch (thrown) {
      directory[Symbol.dispose]();
      throw thrown;
    }
  }

  /** Keys that were not revoked. */
  get size(): number {
    return this.#keys.size - this.#revoked;
  }

  /** undefined: there is no such key. */
  principalOf(keyId: string): Principal | undefined {
    return this.#keys.get(keyId);
  }

  identify(secret: string, kind: KeyKind, addressOf: () => string): Identification {
    if (secret.length > MAX_SECRET_LENGTH) return UNKNOWN;
    const hash = hashOfSecret(secret);
    const key = this.#byHash.get(hash);
    if (key === undefined) return UNKNOWN;
    const isOld = key.hash !== hash;
    const nowMs = this.#now();
    const denial =
      key.kind === kind ? this.#denialOf(key, isOld ? key.previous : undefined, nowMs, addressOf) : "wrong-kind";
    if (denial !== undefined) return { outcome: denial };
    return { outcome: "known", principal: kind === "worker" ? openedBy(key, hash, this.#now) : key };
  }

  groupsToServe(worker: Principal, named: readonly string[] | undefined): readonly string[] {
    const key = this.#keys.get(worker.keyId);
    const nowMs = this.#now();
    if (key === undefined || worker.isRotatedAway || endOf(key, nowMs) !== undefined) return [];
    const { owner, rules } = key;
    const found = owner.memberships.filter((each) => each.provides(nowMs)).map(({ group }) => group);
    if (owner.isOperator) {
      // Public groups of the operator's are served when that is said: nobody's GPU is open to all by default.
      const isSaid = named !== undefined || rules.serveGroups !== undefined;
      const operators = isSaid ? this.#groups.values() : [this.#group(OPERATOR_GROUP_ID)];
      const banned = new Set(owner.memberships.filter(({ status }) => status === "banned").map(({ group }) => group));
      for (const group of operators) if (isOperators(group) && !banned.has(group)) found.push(group);
    }
    const wanted = found.filter(({ id, slug }) => {
      return (
        rules.serveGroups?.includes(id) !== false && (named === undefined || named.includes(id) || named.includes(slug))
      );
    });
    return [...new Set(wanted.map(({ id }) => id))];
  }

  notServed(worker: Principal, named: readonly string[] | undefined): readonly NotServed[] {
    const key = this.#keys.get(worker.keyId);
    const names = named ?? key?.rules.serveGroups;
    if (key === undefined || names === undefined || names.length === 0) return [];
    const open = key.owner.isOperator ? [...this.#groups.values()].filter(isOperators) : [...this.#publicGroups];
    const served = this.groupsToServe(worker, named);
    return notServedOf({ key, named: names, served, open, nowMs: this.#now() });
  }

  slugOf(groupId: string): string | undefined {
    const group = this.#groups.get(groupId);
    return group?.isGood === true ? group.slug : undefined;
  }

  onEnded(listener: (end: KeyEnd) => void): () => void {
    return this.#ended.add(listener);
  }

  onWorkerChanged(listener: (keyId: string) => void): () => void {
    return this.#workerChanged.add(listener);
  }

  onGroupChanged(listener: (groupId: string) => void): () => void {
    return this.#groupChanged.add(listener);
  }

  async caughtUp(): Promise<void> {
    await this.#follower?.caughtUp();
  }

  [Symbol.dispose](): void {
    this.#follower?.[Symbol.dispose]();
    this.#dueTimes[Symbol.dispose]();
  }

  takeUser(row: UserAccess): void {
    const user = this.#user(row.id);
    this.#telling(user.keys, () => {
      user.isKnown = true;
      user.isDisabled = row.isDisabled;
      user.isOperator = row.role === "root" || row.role === "admin";
    });
    this.#tellWorkersOf(user);
  }

  takeGroup(row: GroupAccess): void {
    const group = this.#group(row.id);
    const { kind, ownerId = "" } = row;
    const isSame = group.isDeleted === row.isDeleted && group.kind === kind && group.ownerId === ownerId;
    const change = (): void => {
      group.isKnown = true;
      group.isDeleted = row.isDeleted;
      group.kind = kind;
      group.slug = row.slug;
      group.ownerId = ownerId;
      group.memberLimits = row.memberLimits;
    };
    if (kind === "public") this.#publicGroups.add(group);
    else this.#publicGroups.delete(group);
    if (isSame) change();
    else this.#telling(group.memberships.flatMap(keysOf), change);
    this.#groupChanged.tell(group.id);
  }

  takeMembership(row: MembershipAccess): void {
    const membership = this.#user(row.userId).membershipIn(this.#group(row.groupId));
    const provided = membership.provides(this.#now());
    this.#telling(keysOf(membership), () => {
      membership.role = row.role;
      membership.status = row.status;
      this.#assignExpiry(membership, row.expiresAtMs);
      membership.isOver = row.expiresAtMs !== undefined && row.expiresAtMs <= this.#now();
      membership.ownLimits = row.limits;
    });
    this.#tellWorkersOf(membership.user);
    // The names that they kept are free for others now.
    if (provided && !membership.provides(this.#now())) this.#groupChanged.tell(row.groupId);
  }

  takeKey(row: KeyAccess): void {
    const known = this.#keys.get(row.id);
    if (known === undefined) this.#assign(this.#newKey(row), row);
    else this.#change(known, row);
    if (row.kind === "worker") this.#workerChanged.tell(row.id);
  }

  #change(key: KeyEntry, row: KeyAccess): void {
    const isRotated = key.hash !== row.hash;
    this.#telling([key], () => this.#assign(key, row));
    // The secret from before may have ended with it, and the one before that has: tunnels that those opened are told apart.
    if (isRotated && key.kind === "worker") this.#tellRotated(key);
  }

  #tellRotated({ keyId }: KeyEntry): void {
    this.#ended.tell({ keyId, groupId: undefined, reason: "rotated" });
  }

  #newKey({ id, kind, ownerId }: KeyAccess): KeyEntry {
    const owner = ownerId === undefined ? this.#operator : this.#user(ownerId);
    const key = new KeyEntry(id, kind, owner);
    this.#keys.set(id, key);
    owner.keys.push(key);
    return key;
  }

  #assign(key: KeyEntry, row: KeyAccess): void {
    this.#byHash.delete(key.hash);
    if (key.previous !== undefined) this.#byHash.delete(key.previous.hash);
    key.name = row.name;
    key.hash = row.hash;
    key.previous = row.previous && { ...row.previous, key };
    key.membership = row.kind === "api" ? this.#membership(key, row.groupId ?? OPERATOR_GROUP_ID) : undefined;
    key.fallback = row.fallbackGroupId === undefined ? undefined : this.#membership(key, row.fallbackGroupId);
    this.#assignExpiry(key, row.expiresAtMs);
    this.#revoked += Number(row.isRevoked) - Number(key.isRevoked);
    key.isRevoked = row.isRevoked;
    key.isDisabled = row.isDisabled;
    key.isExhausted = row.isExhausted;
    key.rules = row.rules;
    this.#byHash.set(key.hash, key);
    if (key.previous !== undefined) this.#byHash.set(key.previous.hash, key);
    if (key.previous !== undefined && key.kind === "worker") this.#dueTimes.add(key.previous);
  }

  /** What is past already ends with the change itself. */
  #assignExpiry(item: KeyEntry | MembershipEntry, expiresAtMs: number | undefined): void {
    const isNew = item.expiresAtMs !== expiresAtMs;
    item.expiresAtMs = expiresAtMs;
    if (isNew && expiresAtMs !== undefined && expiresAtMs > this.#now()) this.#dueTimes.add(item);
  }

  #membership(key: KeyEntry, groupId: string): MembershipEntry {
    return key.owner.membershipIn(this.#group(groupId));
  }

  #user(id: string): UserEntry {
    const known = this.#users.get(id);
    if (known !== undefined) return known;
    const user = new UserEntry(id);
    this.#users.set(id, user);
    return user;
  }

  #group(id: string): GroupEntry {
    const known = this.#groups.get(id);
    if (known !== undefined) return known;
    const group = new GroupEntry(id);
    this.#groups.set(id, group);
    return group;
  }

  // oxlint-disable-next-line max-params -- each request passes here: no object for it
  #denialOf(key: KeyEntry, old: OldSecret | undefined, nowMs: number, addressOf: () => string): Denial | undefined {
    const end = endOf(key, nowMs);
    if (end !== undefined) return end;
    if (old !== undefined && old.untilMs <= nowMs) return "rotated";
    if (key.isExhausted) return "exhausted";
    const { addresses } = key.rules;
    if (addresses === undefined || this.#addressLists.includes(addresses, addressOf())) return undefined;
    return "address-not-allowed";
  }

  #onDue(item: KeyEntry | MembershipEntry | OldSecret): void {
    if ("untilMs" in item) return this.#tellRotated(item.key);
    const beforeMs = (item.expiresAtMs ?? 0) - 1;
    if (item instanceof KeyEntry) return this.#telling([item], () => {}, beforeMs);
    this.#telling(keysOf(item), () => (item.isOver = true), beforeMs);
    this.#tellWorkersOf(item.user);
    if (item.role !== "member") this.#groupChanged.tell(item.group.id);
  }

  /** Makes a change, and tells which of `keys` were good before and are not now. */
  #telling(keys: readonly KeyEntry[], change: () => void, beforeMs = this.#now()): void {
    const before = keys.map((key) => ({
      key,
      wasGood: endOf(key, beforeMs) === undefined,
      // Without its fall-back group the key goes on, but what runs there does not.
      fallback: key.fallback?.mayUse(beforeMs) === true ? key.fallback : undefined,
    }));
    change();
    const nowMs = this.#now();
    for (const { key, wasGood, fallback } of before) {
      const reason = endOf(key, nowMs);
      const { keyId } = key;
      if (wasGood && reason !== undefined) this.#ended.tell({ keyId, groupId: undefined, reason });
      else if (wasGood && fallback?.mayUse(nowMs) === false) {
        this.#ended.tell({ keyId, groupId: fallback.group.id, reason: "no-membership" });
      }
    }
  }

  #tellWorkersOf(user: UserEntry): void {
    for (const key of user.keys) if (key.kind === "worker") this.#workerChanged.tell(key.keyId);
  }
}

/** Why the key is of no use at all now, from wherever it is used. */
function endOf(key: KeyEntry, nowMs: number): EndReason | undefined {
  if (key.isRevoked) return "revoked";
  if (key.isDisabled) return "disabled";
  if (key.expiresAtMs !== undefined && key.expiresAtMs <= nowMs) return "expired";
  if (!key.owner.isGood) return "owner-disabled";
  // A worker key serves where it may, and waits where it may not yet.
  return key.membership?.mayUse(nowMs) === false ? "no-membership" : undefined;
}

function isOperators(group: GroupEntry): boolean {
  return group.isGood && group.ownerId === "";
}

function keysOf(membership: MembershipEntry): KeyEntry[] {
  return membership.user.keys.filter((key) => key.membership === membership || key.fallback === membership);
}

function dueAtMs(item: KeyEntry | MembershipEntry | OldSecret): number | undefined {
  if (!("untilMs" in item)) return item.expiresAtMs;
  return item.key.previous === item ? item.untilMs : undefined;
}
