import type { Log } from "../observe/log.ts";
import type { AccessStore, GroupAccess, KeyAccess, MembershipAccess, UserAccess } from "../store/access-store.ts";

/** Rows loaded in one go. 5,000 take about 20 ms of the event loop. */
const PAGE = 5_000;

/** After the database failed, until the next look. */
const RETRY_MS = 1_000;

/** Longer than any load but the first; who waits for one must not wait for ever. */
const CAUGHT_UP_MS = 1_000;

/** Takes each row as it is now, again with each change. */
export interface AccessTaker {
  takeUser(user: UserAccess): void;
  takeGroup(group: GroupAccess): void;
  takeMembership(membership: MembershipAccess): void;
  takeKey(key: KeyAccess): void;
}

/** Gives every user, group, membership and key to a taker, then each one that changes, in this order. */
export class AccessFollower implements Disposable {
  readonly #store: AccessStore;
  readonly #taker: AccessTaker;
  readonly #log: Log;
  /** The revision up to which each table was read. */
  readonly #seen = { users: 0, groups: 0, memberships: 0, keys: 0 };
  #loading: Promise<void> | undefined;
  #isStale = true;
  #isClosed = false;
  #stopWatching: (() => void) | undefined;
  #retry: NodeJS.Timeout | undefined;

  private constructor(store: AccessStore, taker: AccessTaker, log: Log) {
    this.#store = store;
    this.#taker = taker;
    this.#log = log;
  }

  /** Resolves when the taker has all that there is. @throws StoreError when it cannot be read. */
  static async open(store: AccessStore, taker: AccessTaker, log: Log): Promise<AccessFollower> {
    const follower = new AccessFollower(store, taker, log);
    // Watching begins first: what changes during the load is met again.
    follower.#stopWatching = store.watch(() => void follower.#refresh());
    try {
      await follower.#loadWhileStale();
      return follower;
    } catch (thrown) {
      follower[Symbol.dispose]();
      throw thrown;
    }
  }

  /** Resolves when the load that a write of this process caused is over, or has failed; at most after a second. */
  async caughtUp(): Promise<void> {
    if (this.#loading === undefined) return;
    const { promise: over, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, CAUGHT_UP_MS);
    // Who started the load hears of its failure.
    await Promise.race([this.#loading.catch(() => {}), over]);
    clearTimeout(timer);
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#stopWatching?.();
    clearTimeout(this.#retry);
  }

  /** Never rejects: it runs from a timer. */
  async #refresh(): Promise<void> {
    this.#isStale = true;
    clearTimeout(this.#retry);
    try {
      await this.#loadWhileStale();
    } catch (error) {
      // What is known so far stays good: a hub that cannot read its disk for a moment keeps serving.
      this.#log.error({ error }, "keys could not be read again; new and revoked keys are not seen until they can");
      if (!this.#isClosed) this.#retry = setTimeout(() => void this.#refresh(), RETRY_MS).unref();
    }
  }

  /** One at a time, so that no older answer comes after a newer one. What changed meanwhile is looked at again. */
  async #loadWhileStale(): Promise<void> {
    if (this.#loading !== undefined || this.#isClosed) return;
    this.#loading = this.#loadAgainAndAgain();
    await this.#loading;
  }

  async #loadAgainAndAgain(): Promise<void> {
    try {
      while (this.#isStale && !this.#isClosed) {
        this.#isStale = false;
        await this.#load();
      }
    } finally {
      // In the same turn as the last look at what is stale: a change in between would be seen by nobody.
      this.#loading = undefined;
    }
  }

  async #load(): Promise<void> {
    const store = this.#store;
    const taker = this.#taker;
    // A key may be read before the user who was made with it only when that happened in between: the next look finds both.
    await this.#follow(
      "users",
      (after) => store.changedUsers(after, PAGE),
      (row) => taker.takeUser(row),
    );
    await this.#follow(
      "groups",
      (after) => store.changedGroups(after, PAGE),
      (row) => taker.takeGroup(row),
    );
    await this.#follow(
      "memberships",
      (after) => store.changedMemberships(after, PAGE),
      (row) => taker.takeMembership(row),
    );
    await this.#follow(
      "keys",
      (after) => store.changedKeys(after, PAGE),
      (row) => taker.takeKey(row),
    );
  }

  async #follow<Row extends { readonly revision: number }>(
    table: "users" | "groups" | "memberships" | "keys",
    changed: (after: number) => Promise<readonly Row[]>,
    take: (row: Row) => void,
  ): Promise<void> {
    for (;;) {
      const rows = await changed(this.#seen[table]);
      if (this.#isClosed) return;
      for (const row of rows) take(row);
      this.#seen[table] = Math.max(this.#seen[table], rows.at(-1)?.revision ?? 0);
      if (rows.length < PAGE) return;
      // SQLite answers at once: without this nothing else would get its turn until the last page.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}
