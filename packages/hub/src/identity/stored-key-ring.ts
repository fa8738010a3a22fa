import type { Log } from "../observe/log.ts";
import type { KeyKind, KeyRecord, KeyStore } from "../store/key-store.ts";
import type { Identification, KeyRing, Principal } from "./key-ring.ts";
import { hashOfSecret } from "./key-secret.ts";

/** Longer ones are not ours; a header may be 16 KiB, and hashing that would cost 10 µs. */
const MAX_SECRET_LENGTH = 256;

/** Keys loaded in one go. 5,000 take about 10 ms of the event loop. */
const PAGE = 5000;

/** After the database failed, until the next look. */
const RETRY_MS = 1000;

type Watched = Pick<KeyStore, "changedSince" | "watch">;

/**
 * Every key of the store, in two maps by the hash of its secret, kept up to date while the store changes. A request costs
 * one hash and one look-up whatever the number of keys; a key costs about 400 bytes.
 */
export class StoredKeyRing implements KeyRing, Disposable {
  readonly #store: Watched;
  readonly #log: Log;
  readonly #live = new Map<string, Principal>();
  readonly #revoked = new Set<string>();
  readonly #listeners = new Set<(keyId: string) => void>();
  #revision = 0;
  #refreshing = false;
  #isStale = false;
  #isClosed = false;
  #stopWatching: (() => void) | undefined;
  #retry: NodeJS.Timeout | undefined;

  private constructor(store: Watched, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  /** Reads every key, then follows the changes. @throws StoreError when the keys cannot be read. */
  static async open(store: Watched, log: Log): Promise<StoredKeyRing> {
    const ring = new StoredKeyRing(store, log);
    // Watching begins first: a key that is revoked during the load is met again.
    ring.#stopWatching = store.watch(() => void ring.#refresh());
    try {
      await ring.#load();
      return ring;
    } catch (thrown) {
      ring[Symbol.dispose]();
      throw thrown;
    }
  }

  /** Keys that open a door now. */
  get size(): number {
    return this.#live.size;
  }

  identify(secret: string, kind: KeyKind): Identification {
    if (secret.length > MAX_SECRET_LENGTH) return { outcome: "unknown" };
    const hash = hashOfSecret(secret);
    const principal = this.#live.get(hash);
    if (principal === undefined) return { outcome: this.#revoked.has(hash) ? "revoked" : "unknown" };
    return principal.kind === kind ? { outcome: "known", principal } : { outcome: "wrong-kind" };
  }

  onRevoked(listener: (keyId: string) => void): () => void {
    const entry = (keyId: string): void => listener(keyId);
    this.#listeners.add(entry);
    return () => this.#listeners.delete(entry);
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#stopWatching?.();
    clearTimeout(this.#retry);
  }

  /** Never rejects: it runs from a timer. One at a time; what changed meanwhile is looked at again. */
  async #refresh(): Promise<void> {
    this.#isStale = true;
    if (this.#refreshing) return;
    this.#refreshing = true;
    clearTimeout(this.#retry);
    try {
      while (this.#isStale && !this.#isClosed) {
        this.#isStale = false;
        await this.#load();
      }
    } catch (error) {
      // The keys known so far stay good: a hub that cannot read its disk for a moment keeps serving.
      this.#log.error({ error }, "keys could not be read again; new and revoked keys are not seen until they can");
      if (!this.#isClosed) this.#retry = setTimeout(() => void this.#refresh(), RETRY_MS).unref();
    } finally {
      this.#refreshing = false;
    }
  }

  async #load(): Promise<void> {
    for (;;) {
      const changed = await this.#store.changedSince(this.#revision, PAGE);
      for (const key of changed) this.#take(key);
      if (changed.length < PAGE || this.#isClosed) return;
    }
  }

  #take(key: KeyRecord): void {
    // Two loads may overlap at the start; an older answer must not bring a revoked key back.
    if (key.revision <= this.#revision) return;
    this.#revision = key.revision;
    if (key.revokedAtMs === undefined) {
      this.#live.set(key.hash, Object.freeze({ keyId: key.id, kind: key.kind, name: key.name }));
      return;
    }
    const wasLive = this.#live.delete(key.hash);
    this.#revoked.add(key.hash);
    if (wasLive) this.#tell(key.id);
  }

  #tell(keyId: string): void {
    for (const listener of this.#listeners) {
      try {
        listener(keyId);
      } catch (error) {
        this.#log.error({ error, keyId }, "a listener to revoked keys failed");
      }
    }
  }
}
