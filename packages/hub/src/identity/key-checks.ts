import type { Kysely } from "kysely";

import { MAX_CREDITS } from "../credits.ts";
import { AppError } from "../errors.ts";
import { isPlain } from "../plain-text.ts";
import { OPERATOR_GROUP_ID } from "../store/access-schema.ts";
import type { KeyKind } from "../store/access-schema.ts";
import { findGroup } from "../store/group-store.ts";
import { KEY_RULES, type KeyRules } from "../store/key-rules.ts";
import { findMembership, isActiveMembership } from "../store/membership-store.ts";
import type { Schema } from "../store/schema.ts";
import type { UserRecord } from "../store/user-store.ts";

export const KEY_LIMITS = {
  /** Keys of one user that were not revoked. Each costs about 400 bytes of the hub's memory. */
  maxKeysPerUser: 200,
  /** Characters of a key's name. */
  maxNameLength: 64,
  /** How long the old secret works after a rotation. */
  maxOverlapMs: 7 * 24 * 3600_000,
} as const;

/** Rules that mean something for one kind of key only. */
const RULES_OF: Readonly<Record<KeyKind, readonly (keyof KeyRules)[]>> = {
  api: ["models", "addresses", "limits", "workers", "owners", "excludeWorkers", "excludeOwners"],
  worker: ["addresses", "serveGroups", "serveModels"],
};

/** How the admin API calls them. */
export const RULE_NAMES: Readonly<Record<keyof KeyRules, string>> = {
  models: "models",
  addresses: "addresses",
  limits: "limits",
  workers: "workers",
  owners: "owners",
  excludeWorkers: "exclude_workers",
  excludeOwners: "exclude_owners",
  serveGroups: "serve_groups",
  serveModels: "serve_models",
};

/** A name as people gave it, without blanks around it. @throws AppError `invalid_request` */
export function checkedKeyName(name: string): string {
  const trimmed = name.trim();
  if (trimmed === "") throw refused("name", "must not be empty.");
  if (trimmed.length > KEY_LIMITS.maxNameLength || !isPlain(trimmed)) {
    throw refused("name", `must be at most ${KEY_LIMITS.maxNameLength} characters, none of them control characters.`);
  }
  return trimmed;
}

/** Rules that the database takes, and that mean something for such a key. @throws AppError `invalid_request` */
export function checkedRules(kind: KeyKind, rules: KeyRules): KeyRules {
  const parsed = KEY_RULES.safeParse(rules);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const [first, ...rest] = issue?.path ?? [];
    const name = Object.entries(RULE_NAMES).find(([rule]) => rule === first)?.[1] ?? "rules";
    throw refused([name, ...rest.map(String)].join("."), `${issue?.message ?? "is not valid"}.`);
  }
  for (const [rule, name] of Object.entries(RULE_NAMES)) {
    if (Object.hasOwn(parsed.data, rule) && !RULES_OF[kind].some((each) => each === rule)) {
      throw refused(name, `has no meaning for ${kind === "api" ? "an API key" : "a worker key"}.`);
    }
  }
  return parsed.data;
}

/** @throws AppError `invalid_request` unless it is to come. */
export function checkExpiry(expiresAtMs: number | undefined, nowMs: number): void {
  if (expiresAtMs !== undefined && expiresAtMs <= nowMs) throw refused("expires_at_ms", "must be a time to come.");
}

/** @throws AppError `invalid_request` */
export function checkSpendingLimit(limit: bigint | undefined): void {
  if (limit === undefined || (limit > 0n && limit <= MAX_CREDITS)) return;
  throw refused("spending_limit", "must be more than 0 and at most 9007199.254740991 credits.");
}

/** What is checked of a key's groups. */
export interface GroupsOfKey {
  readonly kind: KeyKind;
  /** undefined: the operator. */
  readonly owner: UserRecord | undefined;
  readonly groupId: string | undefined;
  readonly fallbackGroupId: string | undefined;
  readonly rules: KeyRules;
}

/**
 * Whether the owner may use the groups. Nobody learns by it which groups there are.
 *
 * @throws AppError `invalid_request`
 */
export async function checkGroups(db: Kysely<Schema>, key: GroupsOfKey, nowMs: number): Promise<void> {
  const { kind, owner, groupId, fallbackGroupId, rules } = key;
  if (kind === "worker") {
    if (groupId !== undefined) throw refused("group_id", "has no meaning for a worker key; serve_groups has.");
    if (fallbackGroupId !== undefined) throw refused("fallback_group_id", "has no meaning for a worker key.");
    for (const each of rules.serveGroups ?? [])
      await checkMayUse(db, owner, { groupId: each, param: "serve_groups" }, nowMs);
    return;
  }
  if (groupId === undefined && !isOperator(owner)) {
    throw refused("group_id", "say which group the key is for.");
  }
  const first = groupId ?? OPERATOR_GROUP_ID;
  await checkMayUse(db, owner, { groupId: first, param: "group_id" }, nowMs);
  if (fallbackGroupId === undefined) return;
  if (fallbackGroupId === first) throw refused("fallback_group_id", "must be another group than group_id.");
  await checkMayUse(db, owner, { groupId: fallbackGroupId, param: "fallback_group_id" }, nowMs);
}

/** The same as `MembershipEntry.mayUse` in memory. */
async function checkMayUse(
  db: Kysely<Schema>,
  owner: UserRecord | undefined,
  { groupId, param }: { readonly groupId: string; readonly param: string },
  nowMs: number,
): Promise<void> {
  const group = await findGroup(db, groupId);
  const membership = owner && (await findMembership(db, { groupId, userId: owner.id }));
  if (group !== undefined && membership?.status !== "banned") {
    const isOpen = group.kind === "public" || (group.ownerId === undefined && isOperator(owner));
    if (isOpen || (membership !== undefined && isActiveMembership(membership, nowMs))) return;
  }
  const who = owner === undefined ? "the operator" : "its owner";
  throw refused(param, `there is no such group, or ${who} may not use it.`);
}

/** Whoever runs the hub has the operator's groups. */
function isOperator(owner: UserRecord | undefined): boolean {
  return owner === undefined || owner.role === "root" || owner.role === "admin";
}

function refused(param: string, what: string): AppError {
  return new AppError("invalid_request", `${param}: ${what}`, { param });
}
