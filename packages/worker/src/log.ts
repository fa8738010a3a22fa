import type { TunnelLog } from "@tokilake/tunnel";
import { pino } from "pino";

const LEVELS = { debug: 20, info: 30, warn: 40, error: 50 } as const;

type Level = keyof typeof LEVELS;

export interface LogOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly isTerminal: boolean;
  write(text: string): void;
  readonly now: () => Date;
}

/**
 * JSON lines for machines (`TOKIAME_LOG_FORMAT=json`, or when nobody watches), short lines for people. Never given a
 * token, a header's value or body bytes.
 */
export function createLog(options: LogOptions): TunnelLog {
  const level = levelOf(options.env);
  const format = options.env["TOKIAME_LOG_FORMAT"];
  const isJson = format === "json" || (format !== "human" && !options.isTerminal);
  if (!isJson) return humanLog(level, options);
  return pino({ level, base: null }, { write: (line) => options.write(line) });
}

/** The original's words: `crit` is an error, `trace` is debug, anything else info. */
function levelOf(env: NodeJS.ProcessEnv): Level {
  switch ((env["TOKIAME_LOG_LEVEL"] || env["LOG_LEVEL"] || "").toLowerCase()) {
    case "debug":
    case "trace":
      return "debug";
    case "warn":
      return "warn";
    case "error":
    case "crit":
      return "error";
    default:
      return "info";
  }
}

function humanLog(least: Level, options: LogOptions): TunnelLog {
  const at =
    (level: Level) =>
    (fields: object, message: string): void => {
      if (LEVELS[level] < LEVELS[least]) return;
      const time = options.now().toTimeString().slice(0, 8);
      const mark = level === "info" ? "" : `${level}: `;
      options.write(`${time}  ${mark}${message}${fieldsText(fields)}\n`);
    };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

function fieldsText(fields: object): string {
  const parts = Object.entries(fields).flatMap(([name, value]) =>
    value === undefined ? [] : `${name}=${short(value)}`,
  );
  return parts.length === 0 ? "" : `  (${parts.join(", ")})`;
}

function short(value: unknown): string {
  if (value instanceof Error) return value.message;
  return typeof value === "string" ? value : JSON.stringify(value);
}
