import { type CommandLine, parseCommandLine, USAGE } from "./command-line.ts";
import type { CommandContext } from "./commands/context.ts";
import { doctor } from "./commands/doctor.ts";
import { join } from "./commands/join.ts";
import { run } from "./commands/run.ts";
import { status } from "./commands/status.ts";
import { ConfigError } from "./config.ts";
import { EXIT_CODES, type ExitReason, Stop } from "./exit-code.ts";

/** Does what the owner typed. Resolves with the exit code; the only place that turns errors into lines for people. */
export async function tokiame(
  args: readonly string[],
  context: CommandContext,
  printError: (text: string) => void,
): Promise<number> {
  try {
    return EXIT_CODES[await obey(parseCommandLine(args), context)];
  } catch (error) {
    if (error instanceof ConfigError) {
      printError(`tokiame: the configuration has mistakes\n${error.mistakes.map((line) => `  ${line}\n`).join("")}`);
      return EXIT_CODES.config;
    }
    if (error instanceof Stop) {
      printError(`tokiame: ${error.message}\n`);
      return EXIT_CODES[error.reason];
    }
    printError(`tokiame: internal error, please report it\n${error instanceof Error ? error.stack : String(error)}\n`);
    return EXIT_CODES.internal;
  }
}

async function obey(line: CommandLine, context: CommandContext): Promise<ExitReason> {
  switch (line.command) {
    case "run":
      await run(line, context);
      return "ok";
    case "join":
      await join(line, context);
      return "ok";
    case "doctor":
      return doctor(line, context);
    case "status":
      await status(context);
      return "ok";
    case "version":
      context.print(`tokiame ${context.version}\n`);
      return "ok";
    case "help":
      context.print(USAGE);
      return "ok";
  }
}
