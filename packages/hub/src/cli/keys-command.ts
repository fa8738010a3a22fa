import { setTimeout as wait } from "node:timers/promises";

import { issueKey } from "../identity/issue-key.ts";
import type { KeyKind, KeyRecord, KeyStore } from "../store/key-store.ts";
import { CommandError, UsageError } from "./cli-error.ts";
import { ago, table } from "./table.ts";

const MAX_NAME_LENGTH = 64;

/** Keys shown when no `--limit` is given. */
const DEFAULT_LIMIT = 1000;

/** Running hubs notice a change within this time (`KeyStore.watch`). A command ends when its change holds everywhere. */
const NOTICED_MS = 100;

/** Where a command writes. stdout carries only what a script wants, stderr what people read. */
export interface Output {
  stdout(text: string): void;
  stderr(text: string): void;
}

export interface KeysFlags {
  readonly kind?: string | undefined;
  readonly name?: string | undefined;
  readonly json?: boolean | undefined;
  readonly limit?: string | undefined;
}

/** `keys create`: the secret, alone, on stdout. */
export async function createKey(store: KeyStore, flags: KeysFlags, output: Output, nowMs: number): Promise<void> {
  const kind = kindOf(flags.kind);
  const name = nameOf(flags.name);
  const { secret, key } = await issueKey(store, { kind, name, nowMs });
  await wait(NOTICED_MS);
  output.stderr(`Made the ${kind} key ${name} (${key.id}). It is shown only this once:\n`);
  output.stdout(`${secret}\n`);
}

/** `keys list`: the newest first. */
export async function listKeys(store: KeyStore, flags: KeysFlags, output: Output, nowMs: number): Promise<void> {
  const limit = limitOf(flags.limit);
  const found = await store.list(limit + 1);
  const keys = found.slice(0, limit);
  if (flags.json === true) {
    output.stdout(`${JSON.stringify(keys.map(toJson), null, 2)}\n`);
  } else if (keys.length === 0) {
    output.stderr("There are no keys yet. Make one: tokilake keys create --kind api --name NAME\n");
  } else {
    const headings = ["ID", "KIND", "NAME", "KEY", "CREATED", "LAST USED", "STATUS"];
    output.stdout(
      table(
        headings,
        keys.map((key) => rowOf(key, nowMs)),
      ),
    );
  }
  if (found.length > limit) output.stderr(`There are more than ${limit}. See them with --limit N.\n`);
}

/** `keys revoke ID|NAME`. Revoking a key twice is not a mistake: a script may be run again. */
export async function revokeKey(store: KeyStore, idOrName: string, output: Output, nowMs: number): Promise<void> {
  // Somebody revoking in a hurry pastes what they have.
  if (/^[sw]k-\w{43}$/.test(idOrName)) {
    throw new UsageError("That is the key itself. Name it by its id or its name: tokilake keys list");
  }
  const revocation = await store.revoke(idOrName, nowMs);
  switch (revocation.outcome) {
    case "revoked":
      await wait(NOTICED_MS);
      output.stderr(`Revoked the ${revocation.key.kind} key ${revocation.key.name} (${revocation.key.id}).\n`);
      return;
    case "already-revoked":
      output.stderr(`The key ${revocation.key.name} (${revocation.key.id}) was revoked before.\n`);
      return;
    case "ambiguous": {
      const ids = revocation.keys.map((key) => key.id).join(", ");
      throw new CommandError(`Several keys are named ${JSON.stringify(idOrName)}. Revoke one by its id: ${ids}`);
    }
    case "unknown":
      throw new CommandError(`There is no key ${JSON.stringify(idOrName)}. See which there are: tokilake keys list`);
  }
}

function kindOf(kind: string | undefined): KeyKind {
  if (kind === "api" || kind === "worker") return kind;
  const given = kind === undefined ? "is missing" : `cannot be ${JSON.stringify(kind)}`;
  throw new UsageError(`--kind ${given}. It is api (for SDKs) or worker (for tokiame)`);
}

function nameOf(name: string | undefined): string {
  const trimmed = name?.trim() ?? "";
  if (trimmed === "") throw new UsageError("--name is missing. It says whose key this is, such as --name laptop");
  // Control characters could rewrite what a terminal shows of the list.
  if (trimmed.length > MAX_NAME_LENGTH || /\p{Cc}/u.test(trimmed)) {
    throw new UsageError(`--name is at most ${MAX_NAME_LENGTH} characters, none of them control characters`);
  }
  return trimmed;
}

function limitOf(limit: string | undefined): number {
  if (limit === undefined) return DEFAULT_LIMIT;
  if (!/^[1-9]\d{0,6}$/.test(limit)) throw new UsageError("--limit is a whole number from 1 to 9999999");
  return Number(limit);
}

function rowOf(key: KeyRecord, nowMs: number): string[] {
  const created = new Date(key.createdAtMs).toISOString().slice(0, 16).replace("T", " ");
  const lastUsed = key.lastUsedAtMs === undefined ? "never" : ago(key.lastUsedAtMs, nowMs);
  const status = key.revokedAtMs === undefined ? "active" : `revoked ${ago(key.revokedAtMs, nowMs)}`;
  return [key.id, key.kind, key.name, `${key.prefix}…`, created, lastUsed, status];
}

/** `null` for what is not known: others read this. */
function toJson(key: KeyRecord): object {
  const { id, kind, name, prefix, createdAtMs, lastUsedAtMs, revokedAtMs } = key;
  return { id, kind, name, prefix, createdAtMs, lastUsedAtMs: lastUsedAtMs ?? null, revokedAtMs: revokedAtMs ?? null };
}
