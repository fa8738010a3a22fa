import type { Log } from "./log.ts";

/** A log for tests: shows nothing, keeps its messages. */
export class SilentLog implements Log {
  readonly messages: string[] = [];

  debug(_fields: object, message: string): void {
    this.messages.push(message);
  }

  info(_fields: object, message: string): void {
    this.messages.push(message);
  }

  warn(_fields: object, message: string): void {
    this.messages.push(message);
  }

  error(_fields: object, message: string): void {
    this.messages.push(message);
  }
}
