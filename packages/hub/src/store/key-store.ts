/** `api` keys (`sk-…`) call the API, `worker` keys (`wk-…`) open tunnels. Never interchangeable. */
export type KeyKind = "api" | "worker";

/** A key to keep. The secret itself is not here and is kept nowhere. */
export interface NewKey {
  readonly id: string;
  readonly kind: KeyKind;
  /** Chosen by people, need not be unique. */
  readonly name: string;
  /** The first characters of the secret, to tell keys apart in a list. */
  readonly prefix: string;
  /** SHA-256 of the secret, base64url. Unique. */
  readonly hash: string;
  readonly createdAtMs: number;
}

export interface KeyRecord extends NewKey {
  readonly revokedAtMs: number | undefined;
  /** To the minute. undefined: never seen in a request. */
  readonly lastUsedAtMs: number | undefined;
  /** Grows with each change of any key, across all processes. A key carries the revision of its last change. */
  readonly revision: number;
}

export type Revocation =
  | { readonly outcome: "revoked" | "already-revoked"; readonly key: KeyRecord }
  /** Several live keys have that name. */
  | { readonly outcome: "ambiguous"; readonly keys: readonly KeyRecord[] }
  | { readonly outcome: "unknown" };

/** API and worker keys, for ever: a revoked key stays, so that the door can say that it is revoked. */
export interface KeyStore {
  /** Durable when it resolves. */
  insert(key: NewKey): Promise<void>;

  /** The newest keys, newest first. */
  list(limit: number): Promise<readonly KeyRecord[]>;

  /** Ends the key with that id, or the one live key with that name. Durable when it resolves. */
  revoke(idOrName: string, nowMs: number): Promise<Revocation>;

  /** The keys that changed after `revision`, oldest change first. From 0 on: every key. */
  changedSince(revision: number, limit: number): Promise<readonly KeyRecord[]>;

  /**
   * Calls `onChange` when keys may have changed, by this process or another one, within 100 ms. It may also be called when
   * none has. Returns the end of it. Does not keep the process alive.
   */
  watch(onChange: () => void): () => void;
}
