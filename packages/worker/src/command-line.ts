import { parseArgs } from "node:util";

import { Stop } from "./exit-code.ts";

/** What the owner typed. */
export interface CommandLine {
  readonly command: "run" | "join" | "doctor" | "status" | "version" | "help";
  /** Of `join`: the invite's link. */
  readonly link: string | undefined;
  readonly config: string | undefined;
  readonly gatewayUrl: string | undefined;
  readonly namespace: string | undefined;
  readonly tokenFile: string | undefined;
  readonly yes: boolean;
  readonly wait: boolean;
}

export const USAGE = `tokiame: shares the inference engines of this machine through a Tokilake hub

  tokiame [run]    connect to the hub and serve until Ctrl-C
  tokiame join LINK
                   turn an invite into this machine's key
  tokiame doctor   explain what is found here, what would be published, and whether the hub answers
  tokiame status   show the workers that run on this machine

  -c, --config PATH     configuration (TOKIAME_CONFIG, else ~/.tokilake/tokiame.json)
      --gateway-url URL the hub, such as wss://hub.example.com
      --namespace NAME  this worker's name at the hub
      --token-file PATH the worker key, in a file (or TOKIAME_TOKEN; never an argument);
                        join: a personal access token (or TOKIAME_ACCESS_TOKEN)
      --yes             also share servers that are only known to be OpenAI-compatible
      --wait            wait for an engine instead of giving up when there is none
      --version, --help

Guide: docs/worker.md.
In a clone of the repository tokiame is: npm run -s worker --
`;

/** @throws Stop "config" for what is not understood. */
export function parseCommandLine(args: readonly string[]): CommandLine {
  const { values, positionals } = parse(args);
  const [word = "run", ...more] = positionals;
  const command = commandOf(word, values);
  const link = command === "join" ? more.shift() : undefined;
  if (command === "join" && link === undefined) throw new Stop("config", "join what? tokiame join LINK");
  const [extra] = more;
  if (extra !== undefined) throw new Stop("config", `unexpected "${extra}"; see tokiame --help`);
  return {
    command,
    link,
    config: values.config,
    gatewayUrl: values["gateway-url"],
    namespace: values.namespace,
    tokenFile: values["token-file"],
    yes: values.yes ?? false,
    wait: values.wait ?? false,
  };
}

function commandOf(word: string, values: { version?: boolean; help?: boolean }): CommandLine["command"] {
  if (values.help === true) return "help";
  if (values.version === true) return "version";
  switch (word) {
    case "run":
    case "join":
    case "doctor":
    case "status":
    case "version":
    case "help":
      return word;
    default:
      throw new Stop("config", `unknown command "${word}"; see tokiame --help`);
  }
}

// oxlint-disable-next-line typescript/explicit-function-return-type -- the type is parseArgs' own, of these options
function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        config: { type: "string", short: "c" },
        "gateway-url": { type: "string" },
        namespace: { type: "string" },
        "token-file": { type: "string" },
        yes: { type: "boolean" },
        wait: { type: "boolean" },
        version: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (error) {
    const [reason = ""] = error instanceof Error ? error.message.split(/\.\s/) : [String(error)];
    throw new Stop("config", `${reason.replace(/argument is ambiguous$/, "needs a value")}; see tokiame --help`);
  }
}
