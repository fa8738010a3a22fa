import type { KeyKind } from "../store/key-store.ts";

export type { KeyKind };

/** Who a request or a tunnel belongs to. Frozen; decided once, then handed on. Never holds the secret. */
export interface Principal {
  readonly keyId: string;
  readonly kind: KeyKind;
  /** The name the operator gave the key. */
  readonly name: string;
}

export type Identification =
  | { readonly outcome: "known"; readonly principal: Principal }
  /** `wrong-kind`: the key is good, but opens the other door. */
  | { readonly outcome: "unknown" | "wrong-kind" | "revoked" };

/** The keys as the doors see them: in memory, with no database read on any request. */
export interface KeyRing {
  /** Whose secret this is. Takes the bearer token as it came; any length and content is safe. */
  identify(secret: string, kind: KeyKind): Identification;

  /**
   * Calls `listener` once for each key that is revoked from now on, by whatever process, within 100 ms. `identify` says
   * `revoked` by then. Returns the unsubscribe. A listener that throws does not keep the others from being called.
   */
  onRevoked(listener: (keyId: string) => void): () => void;
}
