/** What every part of the hub writes its log to. Values go into `fields`, the message stays constant. Never a key, a prompt or a body. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
