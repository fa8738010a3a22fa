import assert from "node:assert/strict";

import { OPERATOR_GROUP_ID } from "../store/access-schema.ts";
import type { AccessStore, GroupAccess, KeyAccess, MembershipAccess, UserAccess } from "../store/access-store.ts";
import { hashOfSecret } from "./key-secret.ts";

type Row<T> = Omit<T, "revision">;

/** For tests: who may do what, in memory. A row that is put again takes the place of the one with its id. */
export class MemoryAccessStore implements AccessStore, Disposable {
  readonly watchers = new Set<() => void>();
  isBroken = false;
  readonly #users = new Map<string, UserAccess>();
  readonly #groups = new Map<string, GroupAccess>();
  readonly #memberships = new Map<string, MembershipAccess>();
  readonly #keys = new Map<string, KeyAccess>();
  #revision = 0;
  #held: (() => void)[] | undefined;

  constructor() {
    this.group(OPERATOR_GROUP_ID, { kind: "operator", slug: "operator", ownerId: undefined });
  }

  user(id: string, more: Partial<Row<UserAccess>> = {}): void {
    put(this.#users, id, { id, role: "user", isDisabled: false, ...more, revision: this.#next() });
    this.changed();
  }

  group(id: string, more: Partial<Row<GroupAccess>> = {}): void {
    const group = { id, kind: "private", slug: id, ownerId: "nobody", memberLimits: {}, isDeleted: false } as const;
    put(this.#groups, id, { ...group, ...more, revision: this.#next() });
    this.changed();
  }

  membership(groupId: string, userId: string, more: Partial<Row<MembershipAccess>> = {}): void {
    const membership = {
      groupId,
      userId,
      role: "member",
      status: "active",
      expiresAtMs: undefined,
      limits: undefined,
    } as const;
    put(this.#memberships, `${groupId} ${userId}`, { ...membership, ...more, revision: this.#next() });
    this.changed();
  }

  /** A key whose secret is its id. */
  key(id: string, more: Partial<Row<KeyAccess>> = {}): void {
    const key = {
      id,
      kind: id.startsWith("wk-") ? "worker" : "api",
      name: `name of ${id}`,
      hash: hashOfSecret(id),
      ownerId: undefined,
      groupId: undefined,
      fallbackGroupId: undefined,
      expiresAtMs: undefined,
      isRevoked: false,
      isDisabled: false,
      isExhausted: false,
      rules: {},
      previous: undefined,
    } as const;
    put(this.#keys, id, { ...key, ...more, revision: this.#next() });
    this.changed();
  }

  changedUsers(revision: number, limit: number): Promise<readonly UserAccess[]> {
    return this.#changed(this.#users, revision, limit);
  }

  changedGroups(revision: number, limit: number): Promise<readonly GroupAccess[]> {
    return this.#changed(this.#groups, revision, limit);
  }

  changedMemberships(revision: number, limit: number): Promise<readonly MembershipAccess[]> {
    return this.#changed(this.#memberships, revision, limit);
  }

  changedKeys(revision: number, limit: number): Promise<readonly KeyAccess[]> {
    return this.#changed(this.#keys, revision, limit);
  }

  watch(onChange: () => void): () => void {
    this.watchers.add(onChange);
    return () => this.watchers.delete(onChange);
  }

  changed(): void {
    for (const watcher of this.watchers) watcher();
  }

  /** From now on each answer waits until it is let go; what it says is what was true when it was asked for. */
  holdAnswers(): (() => void)[] {
    this.#held = [];
    return this.#held;
  }

  [Symbol.dispose](): void {
    assert.equal(this.watchers.size, 0, "whoever watched must have stopped");
  }

  async #changed<T extends { readonly revision: number }>(
    rows: ReadonlyMap<string, T>,
    revision: number,
    limit: number,
  ): Promise<readonly T[]> {
    if (this.isBroken) throw new Error("broken");
    // In the order of their revisions, as `put` keeps it.
    const changed = rows
      .values()
      .filter((row) => row.revision > revision)
      .take(limit)
      .toArray();
    if (this.#held !== undefined) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#held.push(resolve);
      await promise;
    }
    return changed;
  }

  #next(): number {
    this.#revision += 1;
    return this.#revision;
  }
}

function put<T>(rows: Map<string, T>, id: string, row: T): void {
  rows.delete(id);
  rows.set(id, row);
}
