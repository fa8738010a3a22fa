import type { UserRole } from "../store/access-schema.ts";

/** What a personal access token may be allowed to do in the admin API; the name before the colon is the noun of the routes. */
export const SCOPES = [
  "account",
  "keys:read",
  "keys:write",
  "groups:read",
  "groups:write",
  "invites:write",
  "users:read",
  "users:write",
  "audit:read",
  "workers:read",
  "events:read",
] as const;
export type Scope = (typeof SCOPES)[number];

/** Who asks for something of the admin API or the command line; decided once per request. */
export type Actor = UserActor | OperatorActor;

export interface UserActor {
  readonly kind: "user";
  readonly user: ActingUser;
  readonly via: SignInUsed | TokenUsed;
  /** Where the request came from, for the audit log. */
  readonly address: string;
  readonly requestId?: string;
}

/** Whoever can run `tokilake` on the hub's data: may do everything. */
export interface OperatorActor {
  readonly kind: "operator";
  readonly via: { readonly kind: "command" };
  readonly address: "";
}

export interface SignInUsed {
  readonly kind: "sign-in";
  readonly id: string;
  /** When password, passkey, provider or second factor was last shown on this device. */
  readonly confirmedAtMs: number;
}

export interface TokenUsed {
  readonly kind: "token";
  readonly id: string;
  readonly scopes: readonly Scope[];
}

export interface ActingUser {
  readonly id: string;
  readonly email: string;
  readonly name: string;
  readonly role: UserRole;
  readonly isEmailVerified: boolean;
}

export const OPERATOR: OperatorActor = { kind: "operator", via: { kind: "command" }, address: "" };

/** Whether somebody runs the hub: root, administrators, and the operator. */
export function isAdmin(actor: Actor): boolean {
  return actor.kind === "operator" || actor.user.role === "root" || actor.user.role === "admin";
}

/** Whether somebody sees everything, whether or not they may change it. */
export function seesAll(actor: Actor): boolean {
  return isAdmin(actor) || (actor.kind === "user" && actor.user.role === "auditor");
}

/** undefined: the operator. */
export function userIdOf(actor: Actor): string | undefined {
  return actor.kind === "user" ? actor.user.id : undefined;
}
