import { parseArgs } from "node:util";

import packageJson from "../../package.json" with { type: "json" };
import { type ConfigFlags, type HubConfig, readConfig } from "../config.ts";
import type { KeysDeps } from "../identity/keys.ts";
import { openStore } from "../store/open-store.ts";
import { UsageError } from "./cli-error.ts";
import { runDoctor } from "./doctor-command.ts";
import { createKey, type KeysFlags, listKeys, type Output, revokeKey, rotateKey } from "./keys-command.ts";
import { limitYoungGeneration } from "./young-generation.ts";

const HELP = `tokilake ${packageJson.version}: an OpenAI-compatible hub for the workers that dial in

  tokilake [serve]                     start the hub
  tokilake keys create --kind api|worker --name NAME
      [--owner EMAIL] [--group SLUG] [--expires 30d|DATE] [--models a,b*]
                                       make a key; stdout has only the secret
  tokilake keys list [--json] [--limit N] [--owner EMAIL]
                                       the newest first
  tokilake keys rotate ID|NAME [--overlap 24h]
                                       a new secret; the old one works a while
  tokilake keys revoke ID|NAME         end a key, at once, in a running hub too
  tokilake doctor                      can a hub run here?

  --host ADDRESS     where to listen, 0.0.0.0            TOKILAKE_HOST
  --port N           19981                               TOKILAKE_PORT
  --data-dir FOLDER  holds the database, ./data          TOKILAKE_DATA_DIR
  --config FILE      tokilake.json in the data folder    TOKILAKE_CONFIG
  --reloadable       serve: SIGHUP replaces the hub, and no request is lost
  -h, --help         -v, --version

All settings: docs/operating.md
`;

const OPTIONS = {
  host: { type: "string" },
  port: { type: "string" },
  "data-dir": { type: "string" },
  config: { type: "string" },
  reloadable: { type: "boolean" },
  kind: { type: "string" },
  name: { type: "string" },
  owner: { type: "string" },
  group: { type: "string" },
  expires: { type: "string" },
  models: { type: "string" },
  overlap: { type: "string" },
  limit: { type: "string" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
  version: { type: "boolean", short: "v" },
} as const;

type Flags = ConfigFlags & KeysFlags & { readonly [name in "help" | "version" | "reloadable"]?: boolean | undefined };

/** What the program takes from outside. */
export interface CliDeps {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly output: Output;
  now(): number;
}

interface Command {
  readonly flags: readonly (keyof typeof OPTIONS)[];
  /** What the word after the command is; undefined when it takes none. */
  readonly subject?: string;
  run(flags: Flags, subject: string, deps: CliDeps): Promise<void>;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  serve: {
    flags: ["data-dir", "config", "host", "port", "reloadable"],
    run: (flags, _subject, deps) => start(readConfig(deps.env, flags), flags, deps.env),
  },
  doctor: {
    flags: ["data-dir", "config", "host", "port"],
    run: (flags, _subject, deps) => runDoctor(readConfig(deps.env, flags), deps.output),
  },
  "keys create": {
    flags: ["data-dir", "config", "kind", "name", "owner", "group", "expires", "models"],
    run: (flags, _subject, deps) => withKeys(flags, deps, (keys) => createKey(keys, flags, deps.output)),
  },
  "keys list": {
    flags: ["data-dir", "config", "json", "limit", "owner"],
    run: (flags, _subject, deps) => withKeys(flags, deps, (keys) => listKeys(keys, flags, deps.output)),
  },
  "keys rotate": {
    flags: ["data-dir", "config", "overlap"],
    subject: "ID|NAME",
    run: (flags, subject, deps) => withKeys(flags, deps, (keys) => rotateKey(keys, subject, flags, deps.output)),
  },
  "keys revoke": {
    flags: ["data-dir", "config"],
    subject: "ID|NAME",
    run: (flags, subject, deps) => withKeys(flags, deps, (keys) => revokeKey(keys, subject, deps.output)),
  },
};

/**
 * Runs one command to its end; `serve` ends with the hub.
 *
 * @throws UsageError, ConfigError, CommandError or StoreError with text for people; anything else is a fault of ours.
 */
export async function runCli(argv: readonly string[], deps: CliDeps): Promise<void> {
  const { flags, words } = parse(argv);
  if (flags.help === true) return deps.output.stdout(HELP);
  if (flags.version === true) return deps.output.stdout(`${packageJson.version}\n`);

  const name = words[0] === "keys" ? words.slice(0, 2).join(" ") : (words[0] ?? "serve");
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) throw new UsageError(unknownCommand(name));
  const wrong = Object.keys(flags).find((flag) => !command.flags.some((each) => each === flag));
  if (wrong !== undefined) throw new UsageError(`--${wrong} does not belong to tokilake ${name}`);
  const subject = subjectOf(name, command, words.slice(name.split(" ").length));
  await command.run(flags, subject, deps);
}

function subjectOf(name: string, command: Command, words: readonly string[]): string {
  const [subject = ""] = words;
  if (command.subject !== undefined && subject === "") {
    throw new UsageError(`Which one? tokilake ${name} ${command.subject}`);
  }
  const tooMuch = words[command.subject === undefined ? 0 : 1];
  if (tooMuch !== undefined) throw new UsageError(`${JSON.stringify(tooMuch)} is one word too many`);
  return subject;
}

function unknownCommand(name: string): string {
  if (name === "keys") return "keys what? It is tokilake keys create, keys list, keys rotate or keys revoke";
  return `There is no command ${JSON.stringify(name)}`;
}

/** Loaded here: the other commands start in half the time without the hub's parts. */
async function start(config: HubConfig, flags: Flags, env: CliDeps["env"]): Promise<void> {
  if (flags.reloadable === true) {
    const { keepHubs } = await import("./keeper.ts");
    if ((await keepHubs(config)) === "kept") return;
  }
  const { serve } = await import("./serve-command.ts");
  limitYoungGeneration();
  await serve(config, { version: packageJson.version, env });
}

async function withKeys(flags: Flags, deps: CliDeps, act: (keys: KeysDeps) => Promise<void>): Promise<void> {
  await using store = await openStore(readConfig(deps.env, flags).databaseUrl);
  await act({ database: store.database, now: () => deps.now() });
}

function parse(argv: readonly string[]): { flags: Flags; words: readonly string[] } {
  try {
    const { values, positionals } = parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true });
    return { flags: values, words: positionals };
  } catch (thrown) {
    // Node's own text goes on with advice about `--`, which has no use here.
    const [sentence] = thrown instanceof Error ? thrown.message.split(". ") : [String(thrown)];
    throw new UsageError(sentence ?? "", { cause: thrown });
  }
}
