import type { AccessStore, KeyAccess } from "../store/access-store.ts";
import type { EventHub } from "./event-hub.ts";

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
    this.#stop();
  }

  /** One look at a time; what changes during one is looked at afterwards. */
  #onChange(): void {
    this.#hasChanged = true;
    if (this.#isLooking) return;
    this.#isLooking = true;
    void this.#lookAll()
      .catch(this.#onFailure)
      .finally(() => {
        this.#isLooking = false;
      });
  }

  async #lookAll(): Promise<void> {
    while (this.#hasChanged) {
      this.#hasChanged = false;
      await this.#look();
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
