import * as z from "zod";

import { isNetwork } from "../network.ts";
import type { MemberLimits } from "./member-limits.ts";

/** How long a key's rules may be. They are kept in memory; keys with the same rules share them. */
export const KEY_RULES_LIMITS = {
  /** Models or patterns of one list. Each request compares them one by one. */
  maxModels: 100,
  /** Addresses and networks. */
  maxAddresses: 100,
  /** Workers, owners or groups of one list. */
  maxNames: 100,
  /** Of each entry. */
  maxNameBytes: 256,
} as const;

const { maxModels, maxAddresses, maxNames, maxNameBytes } = KEY_RULES_LIMITS;

const name = z
  .string()
  .min(1)
  .refine((text) => Buffer.byteLength(text) <= maxNameBytes, `is longer than ${maxNameBytes} bytes`);

/** A model's name, or the beginning of names and a star. */
const model = name.refine((text) => !text.slice(0, -1).includes("*"), "may have a star (*) at its end only");

const address = z.string().max(64).refine(isNetwork, "must be an address or a network such as 192.0.2.0/24");

const models = z.array(model).max(maxModels).exactOptional();
const names = z.array(name).max(maxNames).exactOptional();

const count = z.int().min(1).max(1_000_000_000).exactOptional();

/** What a key is restricted to beyond owner, group, expiry and spending, as the database keeps it. */
export const KEY_RULES = z.strictObject({
  /** Of an API key: names, or prefixes with a star. */
  models,
  /** From where it may be used: addresses and networks. */
  addresses: z.array(address).max(maxAddresses).exactOptional(),
  /** What is absent is not limited. Tokens: input and output, as the engines count them. */
  limits: z.strictObject({ requestsPerMinute: count, tokensPerMinute: count, concurrency: count }).exactOptional(),
  /** Of an API key: only these workers (their names) and these owners (user ids, or `operator`) are asked. */
  workers: names,
  owners: names,
  excludeWorkers: names,
  excludeOwners: names,
  /** Of a worker key: ids of the groups it may serve. */
  serveGroups: names,
  /** Of a worker key: names, or prefixes with a star. */
  serveModels: models,
});

/** What is absent does not restrict. An empty list allows nothing. */
export type KeyRules = z.infer<typeof KEY_RULES>;

/** Of whom it cannot be read what they may do. */
export const NOTHING_ALLOWED: MemberLimits = { requestsPerMinute: 0, tokensPerMinute: 0, concurrency: 0 };

/** For rules that cannot be read: such a key is of no use until somebody writes them anew. */
const UNREADABLE: KeyRules = { models: [], addresses: [], serveGroups: [], serveModels: [], limits: NOTHING_ALLOWED };

/** Rules from their column. */
export function parseKeyRules(text: string): KeyRules {
  try {
    const parsed = KEY_RULES.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : UNREADABLE;
  } catch {
    // Not JSON, so not ours.
    return UNREADABLE;
  }
}
