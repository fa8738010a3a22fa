import type { KeyKind } from "../store/access-schema.ts";
import type { NotServed } from "./not-served.ts";
import type { Identification, KeyEnd, Principal } from "./principal.ts";

export type { Identification, KeyEnd, KeyKind, Principal };

/** The keys as the doors see them: in memory, with no database read on any request. */
export interface KeyRing {
  /**
   * Whose secret this is. Takes the bearer token as it came; any length and content is safe.
   *
   * @param addressOf Where it comes from. Only asked for keys that are bound to addresses.
   */
  identify(secret: string, kind: KeyKind, addressOf: () => string): Identification;

  /**
   * The ids of the groups that a worker with this key serves.
   *
   * @param named What it asks for, by ids or slugs; undefined: all that it may.
   */
  groupsToServe(worker: Principal, named: readonly string[] | undefined): readonly string[];

  /**
   * The groups that a worker, or else its key, names and that it does not serve, with the reason.
   *
   * @param named As for `groupsToServe`; undefined: what its key names, if it does.
   */
  notServed(worker: Principal, named: readonly string[] | undefined): readonly NotServed[];

  /** What people call a group; undefined: there is none with the id. Not everybody may know: ask for groups that are served. */
  slugOf(groupId: string): string | undefined;

  /**
   * Calls `listener` for each key that stops being good, or loses its second group, from now on: by whatever process, within
   * 100 ms of the change; by time, at that time. `identify` and `groupIds` say so by then. Returns the unsubscribe. A listener
   * that throws does not keep the others from being called.
   */
  onEnded(listener: (end: KeyEnd) => void): () => void;

  /** As `onEnded`: where workers with the key may serve may have changed, or what they may serve there. */
  onWorkerChanged(listener: (keyId: string) => void): () => void;

  /** As `onEnded`: who may serve in the group may have changed. */
  onGroupChanged(listener: (groupId: string) => void): () => void;

  /** Resolves when what this process has written is known here: a key that was just made opens its door. At most a second. */
  caughtUp(): Promise<void>;
}
