import type { TunnelErrorCode } from "@tokilake/tunnel";

/** A stream cannot be served: it is reset with `code`. The message goes to logs, never to API clients. */
export class ServeFailure extends Error {
  override readonly name = "ServeFailure";
  readonly code: TunnelErrorCode;
  /** True only when it is certain that the engine saw nothing of the request. */
  readonly retrySafe: boolean;

  constructor(code: TunnelErrorCode, message: string, options: { retrySafe?: boolean; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.code = code;
    this.retrySafe = options.retrySafe ?? false;
  }
}

/** The client's body cannot be read far enough to know which model it names: answered with status 400. */
export class BodyProblem extends Error {
  override readonly name = "BodyProblem";
}
