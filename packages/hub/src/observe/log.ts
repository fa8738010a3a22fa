import { type DestinationStream, destination, pino, stdSerializers } from "pino";

import { humanLine } from "./human-line.ts";
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

/** Bytes of log kept while the reader of stdout does not read. Beyond it lines are lost: a stuck pipe must not stop the hub. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024;

/** The program's log on stdout. Disposing writes what is waiting. */
export function openLog(options: LogOptions): Log & Disposable {
  // Asynchronous: a terminal that is scrolled back, or a full pipe, would otherwise stop the event loop in the middle of a write.
  const stdout = destination({ dest: 1, sync: false, minLength: 0, maxLength: MAX_WAITING_BYTES });
  // The reader went away (`| head`). The hub goes on without its log.
  stdout.on("error", () => {});
  const isHuman = options.format === "human" || (options.format === "auto" && process.stdout.isTTY);
  // Knows NO_COLOR.
  const colour = process.stdout.isTTY && process.stdout.hasColors();
  const log = createLog(options.level, {
    write: isHuman ? (line) => stdout.write(humanLine(line, { colour })) : (line) => stdout.write(line),
  });
  return { ...log, [Symbol.dispose]: () => stdout.flushSync() };
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
