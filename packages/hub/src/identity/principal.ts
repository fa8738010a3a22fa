import type { KeyKind } from "../store/access-schema.ts";
import type { MemberLimits } from "../store/member-limits.ts";

export type { KeyKind };

/**
 * Who a request or a tunnel belongs to: one object for each key, decided once per request, then handed on. What it says
 * follows the database while it is held. Never holds the secret.
 */
export interface Principal {
  readonly keyId: string;
  readonly kind: KeyKind;
  /** The name its owner gave the key. */
  readonly name: string;
  /** Whose key it is; undefined: the operator's own. */
  readonly userId: string | undefined;
  /** Of an API key: the groups whose models it may use, in this order. Of a worker key: none, see `KeyRing.groupsToServe`. */
  readonly groupIds: readonly string[];
  /** The key's own limits; undefined: none. */
  readonly limits: MemberLimits | undefined;
  /** The secret that it was shown by is good no more: the key was rotated. Only told of worker keys, whose tunnels stay open. */
  readonly isRotatedAway: boolean;
  /** Which workers its owner wants; undefined: any. */
  readonly pins: Pins | undefined;
  /** The owner as a member of one of `groupIds`: the same object for all of their keys. undefined: nobody limits the operator. */
  memberOf(groupId: string): Member | undefined;
  /** Whether the key's own list has the model: to be used with an API key, to be served with a worker key. */
  allowsModel(model: string): boolean;
}

export interface Member {
  /** Shared by all keys of the user in the group. */
  readonly limits: MemberLimits;
}

/** What is absent does not restrict. Owners are user ids; the operator's workers belong to {@link OPERATOR_PIN}. */
export interface Pins {
  readonly workers?: readonly string[] | undefined;
  readonly owners?: readonly string[] | undefined;
  readonly excludeWorkers?: readonly string[] | undefined;
  readonly excludeOwners?: readonly string[] | undefined;
}

/** How `Pins` call the operator, who has no user id. */
export const OPERATOR_PIN = "operator";

/** Why a key that is known does not open the door now. */
export type Denial =
  /** The key is good, but opens the other door. */
  | "wrong-kind"
  | "revoked"
  /** Its secret is the one from before its last rotation, whose time is over. */
  | "rotated"
  | "disabled"
  | "expired"
  | "owner-disabled"
  /** Its owner may not use its group: left, removed, banned, expired, or the group was deleted. */
  | "no-membership"
  /** It has spent all that it may. */
  | "exhausted"
  | "address-not-allowed";

export type Identification =
  | { readonly outcome: "known"; readonly principal: Principal }
  | { readonly outcome: "unknown" | Denial };

/** What ends for a key while requests of it run. */
export interface KeyEnd {
  readonly keyId: string;
  /** Only what runs in this group ends: the key itself is good. undefined: all of it. */
  readonly groupId: string | undefined;
  /** `rotated`: only tunnels that a secret opened which is good no more end (`Principal.isRotatedAway`). */
  readonly reason: EndReason;
}

export type EndReason = Extract<
  Denial,
  "revoked" | "disabled" | "expired" | "owner-disabled" | "no-membership" | "rotated"
>;
