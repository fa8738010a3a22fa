import type { CommandLine } from "../command-line.ts";
import { type Config, readConfig } from "../config.ts";

/** The process, as far as a command touches it. */
export interface CommandContext {
  readonly env: NodeJS.ProcessEnv;
  readonly home: string;
  readonly hostName: string;
  readonly pid: number;
  readonly userId: number | undefined;
  readonly isTerminal: boolean;
  /** "0.1.0" */
  readonly version: string;
  print(text: string): void;
  /** Settles at the first SIGINT or SIGTERM. */
  readonly stopAsked: Promise<void>;
  now(): Date;
  /** Milliseconds of a monotonic clock. */
  monotonicMs(): number;
}

/** @throws ConfigError */
export function configFrom(line: CommandLine, context: CommandContext): Config {
  const { config, gatewayUrl, namespace, tokenFile, yes } = line;
  const { env, home, hostName } = context;
  return readConfig({ env, home, hostName, flags: { config, gatewayUrl, namespace, tokenFile, yes } });
}
