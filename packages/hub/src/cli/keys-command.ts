import { normaliseEmail } from "../accounts/email.ts";
import { OPERATOR } from "../identity/actor.ts";
import {
  createKey as create,
  type KeyInput,
  type KeysDeps,
  listKeys as list,
  revokeKey as revoke,
  rotateKey as rotate,
} from "../identity/keys.ts";
import type { KeyKind } from "../store/access-schema.ts";
import { findGroup, findGroupBySlug } from "../store/group-store.ts";
import { keyById, type KeyRecord, keyRecords } from "../store/key-store.ts";
import { userByEmail } from "../store/user-store.ts";
import { CommandError, UsageError } from "./cli-error.ts";
import { type Asked, noun } from "./command.ts";
import { durationOf, expiryOf, shownTime } from "./flag-values.ts";
import { showList } from "./show-list.ts";
import { ago } from "./table.ts";
import { tellDone, untilNoticed } from "./until-noticed.ts";

const MAX_NAME_LENGTH = 64;

/** After a rotation without `--overlap`: time to give the new secret to whatever uses the key. */
const DEFAULT_OVERLAP_MS = 24 * 3_600_000;

/** Keys of one name that a message lists. */
const MAX_NAMESAKES = 20;

const FLAGS = {
  kind: { type: "string" },
  name: { type: "string" },
  owner: { type: "string" },
  group: { type: "string" },
  expires: { type: "string" },
  models: { type: "string" },
  overlap: { type: "string" },
  limit: { type: "string" },
  json: { type: "boolean" },
} as const;

type AskedForKeys = Asked<typeof FLAGS>;

/** `tokilake keys …` */
export const KEYS = noun({
  flags: FLAGS,
  commands: {
    create: {
      flags: ["kind", "name", "owner", "group", "expires", "models"],
      run: createKey,
    },
    list: { flags: ["json", "limit", "owner"], run: listKeys },
    rotate: {
      words: ["ID|NAME"],
      flags: ["overlap"],
      run: rotateKey,
    },
    revoke: { words: ["ID|NAME"], run: revokeKey },
  },
  help: `  tokilake keys create --kind api|worker --name NAME
      [--owner EMAIL] [--group SLUG] [--expires 30d|DATE] [--models a,b*]
                                       make a key; stdout has only the secret
  tokilake keys list [--json] [--limit N] [--owner EMAIL]
                                       the newest first
  tokilake keys rotate ID|NAME [--overlap 24h]
                                       a new secret; the old one works a while
  tokilake keys revoke ID|NAME         end a key, at once, in a running hub too
`,
});

/** `keys create`: the secret, alone, on stdout. */
async function createKey(asked: AskedForKeys): Promise<void> {
  const { flags, output } = asked;
  const kind = kindOf(flags.kind);
  const name = nameOf(flags.name);
  const { secret, key } = await create(asked, OPERATOR, {
    kind,
    name,
    ownerId: await ownerOf(asked, flags.owner),
    ...(await groupsOf(asked, kind, flags)),
    expiresAtMs: expiryOf(flags.expires, asked.now()),
    rules: {
      ...(flags.models !== undefined && { [kind === "api" ? "models" : "serveModels"]: listOf(flags.models) }),
      ...(kind === "worker" && flags.group !== undefined && { serveGroups: await groupIdsOf(asked, flags.group) }),
    },
  });
  await untilNoticed();
  output.stderr(`Made the ${kind} key ${name} (${key.id}). It is shown only this once:\n`);
  output.stdout(`${secret}\n`);
}

/** `keys list`: the newest first. */
async function listKeys(asked: AskedForKeys): Promise<void> {
  const ownerId = await ownerOf(asked, asked.flags.owner);
  const nowMs = asked.now();
  await showList(asked, (page) => list(asked, OPERATOR, { all: true, ownerId }, page), {
    headings: ["ID", "KIND", "NAME", "KEY", "CREATED", "LAST USED", "STATUS"],
    rowOf: (key) => rowOf(key, nowMs),
    toJson,
    empty: "There are no keys yet. Make one: tokilake keys create --kind api --name NAME",
  });
}

/** `keys revoke ID|NAME`. Revoking a key twice is not a mistake: a script may be run again. */
async function revokeKey(asked: AskedForKeys): Promise<void> {
  const { output } = asked;
  const key = await keyNamed(asked, asked.words[0] ?? "");
  if (key.revokedAtMs !== undefined) {
    output.stderr(`The key ${key.name} (${key.id}) was revoked before.\n`);
    return;
  }
  await revoke(asked, OPERATOR, { keyId: key.id, version: undefined });
  await tellDone(asked, `Revoked the ${key.kind} key ${key.name} (${key.id}).`);
}

/** `keys rotate ID|NAME`: the new secret, alone, on stdout. The old one works for `--overlap` more. */
async function rotateKey(asked: AskedForKeys): Promise<void> {
  const { flags, output } = asked;
  const overlapMs = flags.overlap === undefined ? DEFAULT_OVERLAP_MS : durationOf("overlap", flags.overlap);
  const { id, name } = await keyNamed(asked, asked.words[0] ?? "");
  const { secret, key } = await rotate(asked, OPERATOR, { keyId: id, version: undefined }, { overlapMs });
  await untilNoticed();
  const until = key.previousUntilMs === undefined ? "no more" : `until ${new Date(key.previousUntilMs).toISOString()}`;
  output.stderr(`Rotated the ${key.kind} key ${name} (${id}). The old secret works ${until}. The new one:\n`);
  output.stdout(`${secret}\n`);
}

/** The key with that id, or the one live key with that name, or the newest that was revoked. */
async function keyNamed(deps: KeysDeps, idOrName: string): Promise<KeyRecord> {
  // Somebody revoking in a hurry pastes what they have.
  if (/^[sw]k-\w{43}$/.test(idOrName)) {
    throw new UsageError("That is the key itself. Name it by its id or its name: tokilake keys list");
  }
  const { db } = deps.database;
  const byId = await keyById(db, idOrName);
  if (byId !== undefined) return byId;
  const live = await keyRecords(db, { name: idOrName, isRevoked: false }, { limit: MAX_NAMESAKES });
  if (live.length > 1) {
    const ids = live.map((key) => key.id).join(", ");
    throw new CommandError(`Several keys are named ${JSON.stringify(idOrName)}. Name one by its id: ${ids}`);
  }
  const [key] = live.length > 0 ? live : await keyRecords(db, { name: idOrName }, { limit: 1 });
  if (key !== undefined) return key;
  throw new CommandError(`There is no key ${JSON.stringify(idOrName)}. See which there are: tokilake keys list`);
}

async function ownerOf({ database }: KeysDeps, email: string | undefined): Promise<string | undefined> {
  if (email === undefined) return undefined;
  const user = await userByEmail(database.db, normaliseEmail(email));
  if (user !== undefined) return user.id;
  throw new CommandError(`There is no user ${JSON.stringify(email)}. See which there are: tokilake users list`);
}

async function groupsOf(
  deps: KeysDeps,
  kind: KeyKind,
  flags: AskedForKeys["flags"],
): Promise<Pick<KeyInput, "groupId">> {
  if (kind === "worker" || flags.group === undefined) return {};
  const [groupId, ...more] = await groupIdsOf(deps, flags.group);
  if (more.length > 0) throw new UsageError("--group names one group of an API key");
  return { groupId };
}

/** @param named Slugs or ids, with commas between them. */
async function groupIdsOf({ database }: KeysDeps, named: string): Promise<string[]> {
  const groups = await Promise.all(
    listOf(named).map(async (each) => {
      const group = (await findGroupBySlug(database.db, each)) ?? (await findGroup(database.db, each));
      if (group !== undefined) return group.id;
      throw new CommandError(`There is no group ${JSON.stringify(each)}. See which there are: tokilake groups list`);
    }),
  );
  return groups;
}

function listOf(text: string): string[] {
  return text.split(",").flatMap((each) => each.trim() || []);
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

function rowOf(key: KeyRecord, nowMs: number): string[] {
  const lastUsed = key.lastUsedAtMs === undefined ? "never" : ago(key.lastUsedAtMs, nowMs);
  return [key.id, key.kind, key.name, `${key.prefix}…`, shownTime(key.createdAtMs), lastUsed, statusOf(key, nowMs)];
}

function statusOf(key: KeyRecord, nowMs: number): string {
  if (key.revokedAtMs !== undefined) return `revoked ${ago(key.revokedAtMs, nowMs)}`;
  if (key.disabledAtMs !== undefined) return `disabled ${ago(key.disabledAtMs, nowMs)}`;
  if (key.expiresAtMs !== undefined && key.expiresAtMs <= nowMs) return `expired ${ago(key.expiresAtMs, nowMs)}`;
  return key.spendingLimit !== undefined && key.spent >= key.spendingLimit ? "exhausted" : "active";
}

/** `null` for what is not known: others read this. */
function toJson(key: KeyRecord): object {
  const { id, kind, name, prefix, createdAtMs, lastUsedAtMs, revokedAtMs } = key;
  const { ownerId, groupId, expiresAtMs, disabledAtMs } = key;
  return {
    id,
    kind,
    name,
    prefix,
    createdAtMs,
    lastUsedAtMs: lastUsedAtMs ?? null,
    revokedAtMs: revokedAtMs ?? null,
    ownerId: ownerId ?? null,
    groupId: groupId ?? null,
    expiresAtMs: expiresAtMs ?? null,
    disabledAtMs: disabledAtMs ?? null,
  };
}
