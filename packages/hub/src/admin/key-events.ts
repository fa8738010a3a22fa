import type { AccessStore, KeyAccess } from "../store/access-store.ts";
import type { EventHub } from "./event-hub.ts";

/** After the database failed, until the next look. */
const RETRY_MS = 1_000;

const PAGE = 500;

/** Tells of keys that were made or changed, by this process or another one, to their owners. */
export class KeyEvents implements Disposable {
  readonly #events: EventHub;
  readonly #store: Pick<AccessStore, "changedKeys">;
  readonly #currentRevision: () => Promise<number>;
  readonly #onFailure: (thrown: unknown) => void;
  readonly #stop: () => void;
  /** What is older was told; undefined: not known yet. */
  #revision: number | undefined;
  #isLooking = false;
  #hasChanged = false;
  #isClosed = false;
  #retry: NodeJS.Timeout | undefined;

  constructor(
    events: EventHub,
    store: Pick<AccessStore, "changedKeys" | "watch">,
    currentRevision: () => Promise<number>,
    onFailure: (thrown: unknown) => void,
  ) {
    this.#events = events;
    this.#store = store;
    this.#currentRevision = currentRevision;
    this.#onFailure = onFailure;
    this.#stop = store.watch(() => this.#onChange());
    this.#onChange();
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#stop();
    clearTimeout(this.#retry);
  }

  /** One look at a time; what changes during one is looked at afterwards. */
  #onChange(): void {
    this.#hasChanged = true;
    if (!this.#isLooking) void this.#lookAll();
  }

  /** Never rejects. */
  async #lookAll(): Promise<void> {
    clearTimeout(this.#retry);
    this.#isLooking = true;
    try {
      while (this.#hasChanged && !this.#isClosed) {
        this.#hasChanged = false;
        await this.#look();
      }
    } catch (thrown) {
      this.#onFailure(thrown);
      if (!this.#isClosed) this.#retry = setTimeout(() => this.#onChange(), RETRY_MS).unref();
    } finally {
      // In the same turn as the last look at what changed: a change in between would be seen by nobody.
      this.#isLooking = false;
    }
  }

  async #look(): Promise<void> {
    if (this.#revision === undefined || !this.#events.isHeard) {
      this.#revision = await this.#currentRevision();
      return;
    }
    let changed: readonly KeyAccess[];
    do {
      changed = await this.#store.changedKeys(this.#revision, PAGE);
      for (const key of changed) this.#tell(key);
      this.#revision = changed.at(-1)?.revision ?? this.#revision;
    } while (changed.length >= PAGE);
  }

  #tell(key: KeyAccess): void {
    const { id, kind, name, ownerId } = key;
    this.#events.publish({
      type: "key.changed",
      data: { id, kind, name, status: statusOf(key) },
      userIds: [ownerId],
      groupIds: [],
    });
  }
}

function statusOf({ isRevoked, isDisabled, isExhausted }: KeyAccess): string {
  if (isRevoked) return "revoked";
  if (isDisabled) return "disabled";
  return isExhausted ? "exhausted" : "active";
}
