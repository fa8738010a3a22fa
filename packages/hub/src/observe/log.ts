import { type DestinationStream, pino, stdSerializers } from "pino";

import { humanLine } from "./human-line.ts";
import { LineSink } from "./line-sink.ts";
import { redact } from "./redact.ts";

/** What every part of the hub writes its log to. Values go into `fields`, the message stays constant. Never a key, a prompt or a body. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface LogOptions {
  readonly level: "debug" | "info" | "warn" | "error";
  /** `auto`: human lines on a terminal, else JSON. */
  readonly format: "json" | "human" | "auto";
}

/** The program's log on stdout. Disposing waits until what was logged is written, at most a second. */
export function openLog(options: LogOptions): Log & AsyncDisposable {
  // Asking for process.stdout also makes a pipe non-blocking; a write that blocks would keep the process from ending.
  const { isTTY } = process.stdout;
  const sink = new LineSink(process.stdout.fd);
  const isHuman = options.format === "human" || (options.format === "auto" && isTTY);
  // Knows NO_COLOR.
  const colour = isTTY && process.stdout.hasColors();
  const log = createLog(options.level, {
    write: (line) => sink.write(isHuman ? humanLine(line, { colour }) : line),
  });
  return { ...log, [Symbol.asyncDispose]: () => sink[Symbol.asyncDispose]() };
}

/** A log that gives JSON lines to `stream`. Nothing that looks like a key gets there. */
export function createLog(level: LogOptions["level"], stream: DestinationStream): Log {
  const logger = pino(
    {
      level,
      // No process id and host name on each line: whoever collects logs of several programs adds them.
      base: null,
      serializers: { error: stdSerializers.err },
      formatters: { level: (label) => ({ level: label }) },
      messageKey: "message",
    },
    { write: (line) => stream.write(redact(line)) },
  );
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
  };
}
