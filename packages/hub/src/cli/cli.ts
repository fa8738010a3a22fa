import { parseArgs } from "node:util";

import packageJson from "../../package.json" with { type: "json" };
import { type ConfigFlags, type HubConfig, readConfig } from "../config.ts";
import { openStore } from "../store/open-store.ts";
import { UsageError } from "./cli-error.ts";
import type { FlagTypes, FlagValues, Noun, Output } from "./command.ts";
import { runDoctor } from "./doctor-command.ts";
import { GROUPS } from "./groups-command.ts";
import { INVITES } from "./invites-command.ts";
import { KEYS } from "./keys-command.ts";
import { USERS } from "./users-command.ts";
import { limitYoungGeneration } from "./young-generation.ts";

/** What an operator can do something with, each in a file of its own: `tokilake NOUN VERB`. */
const NOUNS: Readonly<Record<string, Noun>> = { users: USERS, groups: GROUPS, invites: INVITES, keys: KEYS };

const HELP = `tokilake ${packageJson.version}: an OpenAI-compatible hub for the workers that dial in

  tokilake [serve]                     start the hub
${Object.values(NOUNS)
  .map(({ help }) => help)
  .join("")}  tokilake doctor                      can a hub run here?

  --host ADDRESS     where to listen, 0.0.0.0            TOKILAKE_HOST
  --port N           19981                               TOKILAKE_PORT
  --data-dir FOLDER  holds the database, ./data          TOKILAKE_DATA_DIR
  --config FILE      tokilake.json in the data folder    TOKILAKE_CONFIG
  --reloadable       serve: SIGHUP replaces the hub, and no request is lost
  -h, --help         -v, --version

All settings: docs/operating.md.
In a clone of the repository tokilake is: npm run -s hub --
`;

const COMMON_FLAGS = {
  "data-dir": { type: "string" },
  config: { type: "string" },
  help: { type: "boolean", short: "h" },
  version: { type: "boolean", short: "v" },
} as const;

const SERVE_FLAGS = { host: { type: "string" }, port: { type: "string" }, reloadable: { type: "boolean" } } as const;

type Flags = Readonly<Record<string, string | boolean | undefined>>;

/** What the program takes from outside. */
export interface CliDeps {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly output: Output;
  now(): number;
}

/** A command as it is run: by its whole name, `keys create`. */
interface NamedCommand {
  readonly flags: readonly string[];
  readonly words: readonly string[];
  run(flags: Flags, words: readonly string[], deps: CliDeps): Promise<void>;
}

const COMMANDS: ReadonlyMap<string, NamedCommand> = new Map([
  [
    "serve",
    {
      flags: ["host", "port", "reloadable"],
      words: [],
      run: (flags, _words, deps) => start(readConfig(deps.env, configFlagsOf(flags)), flags, deps.env),
    },
  ],
  [
    "doctor",
    {
      flags: ["host", "port"],
      words: [],
      run: (flags, _words, deps) => runDoctor(readConfig(deps.env, configFlagsOf(flags)), deps.output),
    },
  ],
  ...Object.entries(NOUNS).flatMap(([name, noun]) => commandsOf(name, noun)),
]);

/**
 * Runs one command to its end; `serve` ends with the hub.
 *
 * @throws UsageError, ConfigError, CommandError or StoreError with text for people; anything else is a fault of ours.
 */
export async function runCli(argv: readonly string[], deps: CliDeps): Promise<void> {
  const { flags, words } = parse(argv);
  if (flags["help"] === true) return deps.output.stdout(helpOn(words[0]));
  if (flags["version"] === true) return deps.output.stdout(`${packageJson.version}\n`);

  const isNoun = Object.hasOwn(NOUNS, words[0] ?? "");
  const name = isNoun ? words.slice(0, 2).join(" ") : (words[0] ?? "serve");
  const command = COMMANDS.get(name);
  if (command === undefined) throw new UsageError(unknownCommand(name, isNoun ? words[0] : undefined));
  const known = ["data-dir", "config", ...command.flags];
  const wrong = Object.keys(flags).find((flag) => !known.includes(flag));
  if (wrong !== undefined) throw new UsageError(`--${wrong} does not belong to tokilake ${name}`);
  await command.run(flags, wordsOf(name, command, words.slice(name.split(" ").length)), deps);
}

function commandsOf(name: string, noun: Noun): (readonly [string, NamedCommand])[] {
  return Object.entries(noun.commands).map(([verb, command]) => [
    `${name} ${verb}`,
    {
      flags: command.flags ?? [],
      words: command.words ?? [],
      run: async (given, words, deps) => {
        const config = readConfig(deps.env, configFlagsOf(given));
        await using store = await openStore(config.databaseUrl);
        // `node:util` made them of the very table that gives them their types.
        const values = given as FlagValues<FlagTypes>;
        await command.run({
          words,
          flags: values,
          database: store.database,
          config,
          now: () => deps.now(),
          output: deps.output,
        });
      },
    },
  ]);
}

function wordsOf(name: string, command: NamedCommand, words: readonly string[]): readonly string[] {
  const missing = command.words.slice(words.length);
  if (missing.length > 0) throw new UsageError(`Which one? tokilake ${name} ${command.words.join(" ")}`);
  const tooMuch = words[command.words.length];
  if (tooMuch !== undefined) throw new UsageError(`${JSON.stringify(tooMuch)} is one word too many`);
  return words;
}

/** All of it, or the part of one noun. */
function helpOn(word: string | undefined): string {
  const noun = word !== undefined && Object.hasOwn(NOUNS, word) ? NOUNS[word] : undefined;
  return noun?.help ?? HELP;
}

function unknownCommand(name: string, noun: string | undefined): string {
  if (noun === undefined) return `There is no command ${JSON.stringify(name)}`;
  const all = Object.keys(NOUNS[noun]?.commands ?? {}).map((verb) => `${noun} ${verb}`);
  return `${name} what? It is tokilake ${all.slice(0, -1).join(", ")} or ${all.at(-1) ?? ""}`;
}

/** Loaded here: the other commands start in half the time without the hub's parts. */
async function start(config: HubConfig, flags: Flags, env: CliDeps["env"]): Promise<void> {
  if (flags["reloadable"] === true) {
    const { keepHubs } = await import("./keeper.ts");
    if ((await keepHubs(config)) === "kept") return;
  }
  const { serve } = await import("./serve-command.ts");
  limitYoungGeneration();
  await serve(config, { version: packageJson.version, env });
}

function configFlagsOf(flags: Flags): ConfigFlags {
  const text = (name: string): string | undefined => flags[name]?.toString();
  return { host: text("host"), port: text("port"), "data-dir": text("data-dir"), config: text("config") };
}

function parse(argv: readonly string[]): { flags: Flags; words: readonly string[] } {
  const ofNouns: FlagTypes = Object.assign({}, ...Object.values(NOUNS).map(({ flags }) => flags));
  const options = { ...ofNouns, ...SERVE_FLAGS, ...COMMON_FLAGS };
  try {
    const { values, positionals } = parseArgs({ args: [...argv], options, allowPositionals: true });
    return { flags: values, words: positionals };
  } catch (thrown) {
    // Node's own text goes on with advice about `--`, which has no use here.
    const [sentence = ""] = thrown instanceof Error ? thrown.message.split(/\.\s/) : [String(thrown)];
    throw new UsageError(sentence.replace(/argument is ambiguous$/, "needs a value"), { cause: thrown });
  }
}
