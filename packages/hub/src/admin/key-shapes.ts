import * as z from "zod";

import { formatCredits, parseCredits } from "../credits.ts";
import { OPERATOR_GROUP_ID } from "../store/access-schema.ts";
import type { KeyRules } from "../store/key-rules.ts";
import type { KeyRecord } from "../store/key-store.ts";
import { fromLimits, LIMITS, LIMITS_INPUT, TIME, toLimits } from "./group-shapes.ts";

export const KEY_KIND = z.enum(["api", "worker"]);

const STATUS = z.enum(["active", "disabled", "expired", "exhausted", "revoked"]);
const LIST = z.array(z.string()).nullable();

export const KEY = z
  .object({
    object: z.literal("key"),
    id: z.string(),
    kind: KEY_KIND.describe("api: for /v1; worker: for tokiame"),
    name: z.string(),
    begins: z.string().describe("The secret's first characters"),
    status: STATUS,
    owner_id: z.string().nullable().describe("null: whoever runs the hub"),
    group_id: z.string().nullable().describe("Of an API key: whose models it uses"),
    fallback_group_id: z.string().nullable(),
    created_at_ms: z.int(),
    last_used_at_ms: z.int().nullable().describe("To the minute"),
    expires_at_ms: z.int().nullable(),
    disabled_at_ms: z.int().nullable(),
    revoked_at_ms: z.int().nullable(),
    old_secret_until_ms: z.int().nullable().describe("The secret from before the last rotation works until then"),
    spending_limit: z.string().nullable().describe("Credits"),
    spent: z.string().describe("Credits"),
    models: LIST.describe("Names, or beginnings of names with a star; null: all"),
    addresses: LIST.describe("Addresses and networks from where it may be used; null: all"),
    limits: LIMITS,
    workers: LIST.describe("Names of the workers that it asks; null: all"),
    owners: LIST.describe('Ids of the users whose workers it asks, or "operator"; null: all'),
    exclude_workers: LIST,
    exclude_owners: LIST,
    serve_groups: LIST.describe("Of a worker key: ids of the groups that it may serve; null: all that its owner may"),
    serve_models: LIST.describe("Of a worker key: names, or beginnings of names with a star; null: all"),
  })
  .meta({ id: "Key" });

export const NEW_KEY = KEY.extend({
  secret: z.string().describe("sk-… or wk-…, shown only this once"),
}).meta({ id: "NewKey" });

/** Sizes and forms are the service's to check: it says which entry is wrong. */
const NAMES = z.array(z.string().max(1_000)).max(1_000).nullable().exactOptional();
const GROUP = z.string().max(64).nullable().exactOptional();

/** What can be said of a key when it is made and later; null stops restricting. */
export const KEY_INPUT = {
  group_id: GROUP,
  fallback_group_id: GROUP,
  expires_at_ms: TIME.nullable().exactOptional(),
  spending_limit: z.string().max(32).nullable().exactOptional().describe('Credits, such as "12.5"'),
  models: NAMES,
  addresses: NAMES,
  limits: LIMITS_INPUT.nullable().exactOptional(),
  workers: NAMES,
  owners: NAMES,
  exclude_workers: NAMES,
  exclude_owners: NAMES,
  serve_groups: NAMES,
  serve_models: NAMES,
};

const KEY_FIELDS = z.strictObject(KEY_INPUT);
type KeyFields = z.output<typeof KEY_FIELDS>;

/** The rules after a change: what is not named stays. undefined: no rule was named. */
export function rulesOf(before: KeyRules, input: KeyFields): KeyRules | undefined {
  const lists = {
    models: input.models,
    addresses: input.addresses,
    workers: input.workers,
    owners: input.owners,
    excludeWorkers: input.exclude_workers,
    excludeOwners: input.exclude_owners,
    serveGroups: input.serve_groups,
    serveModels: input.serve_models,
    limits: input.limits && fromLimits(input.limits),
  };
  const changed = Object.entries(lists).filter(([, value]) => value !== undefined);
  if (changed.length === 0) return undefined;
  const rules = { ...before, ...Object.fromEntries(changed) };
  return Object.fromEntries(Object.entries(rules).filter(([, value]) => value !== null));
}

/** Nano-credits; a text that is no amount becomes one that the service refuses. */
export function creditsOf(text: string | null | undefined): bigint | undefined {
  return text === null || text === undefined ? undefined : (parseCredits(text) ?? -1n);
}

export function toKey(key: KeyRecord, nowMs: number): z.input<typeof KEY> {
  return {
    object: "key",
    id: key.id,
    kind: key.kind,
    name: key.name,
    begins: key.prefix,
    status: statusOf(key, nowMs),
    owner_id: key.ownerId ?? null,
    group_id: key.groupId ?? (key.kind === "api" ? OPERATOR_GROUP_ID : null),
    fallback_group_id: key.fallbackGroupId ?? null,
    created_at_ms: key.createdAtMs,
    last_used_at_ms: key.lastUsedAtMs ?? null,
    expires_at_ms: key.expiresAtMs ?? null,
    disabled_at_ms: key.disabledAtMs ?? null,
    revoked_at_ms: key.revokedAtMs ?? null,
    old_secret_until_ms: key.previousUntilMs ?? null,
    spending_limit: key.spendingLimit === undefined ? null : formatCredits(key.spendingLimit),
    spent: formatCredits(key.spent),
    ...toShownRules(key.rules),
  };
}

type ShownRules = Pick<
  z.input<typeof KEY>,
  | "models"
  | "addresses"
  | "limits"
  | "workers"
  | "owners"
  | "exclude_workers"
  | "exclude_owners"
  | "serve_groups"
  | "serve_models"
>;

function toShownRules(rules: KeyRules): ShownRules {
  return {
    models: rules.models ?? null,
    addresses: rules.addresses ?? null,
    limits: toLimits(rules.limits ?? {}),
    workers: rules.workers ?? null,
    owners: rules.owners ?? null,
    exclude_workers: rules.excludeWorkers ?? null,
    exclude_owners: rules.excludeOwners ?? null,
    serve_groups: rules.serveGroups ?? null,
    serve_models: rules.serveModels ?? null,
  };
}

function statusOf(key: KeyRecord, nowMs: number): z.input<typeof STATUS> {
  if (key.revokedAtMs !== undefined) return "revoked";
  if (key.disabledAtMs !== undefined) return "disabled";
  if (key.expiresAtMs !== undefined && key.expiresAtMs <= nowMs) return "expired";
  return key.spendingLimit !== undefined && key.spent >= key.spendingLimit ? "exhausted" : "active";
}
