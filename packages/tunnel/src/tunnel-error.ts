/** Why a stream or a session ended early. Reasons and effects of each: docs/protocol.md, "Error codes". */
export type TunnelErrorCode =
  | "no-error"
  | "cancelled"
  | "refused"
  | "model-not-found"
  | "target-unreachable"
  | "target-timeout-head"
  | "target-timeout-idle"
  | "target-reset"
  | "too-large"
  | "flow-control"
  | "slow-consumer"
  | "forbidden"
  | "deadline"
  | "worker-lost"
  | "quota"
  | "revoked"
  | "protocol"
  | "internal"
  | "abuse"
  | "unsupported"
  | "id-exhausted"
  | "superseded"
  | "shutdown"
  | "idle"
  | "auth";

/** The numbers on the wire. Never reuse one. */
export const TUNNEL_ERROR_NUMBERS: Readonly<Record<TunnelErrorCode, number>> = {
  "no-error": 0,
  cancelled: 1,
  refused: 2,
  "model-not-found": 3,
  "target-unreachable": 4,
  "target-timeout-head": 5,
  "target-timeout-idle": 6,
  "target-reset": 7,
  "too-large": 8,
  "flow-control": 9,
  "slow-consumer": 10,
  forbidden: 11,
  deadline: 12,
  "worker-lost": 13,
  quota: 14,
  revoked: 15,
  protocol: 16,
  internal: 17,
  abuse: 18,
  unsupported: 19,
  "id-exhausted": 20,
  superseded: 21,
  shutdown: 22,
  idle: 23,
  auth: 24,
};

const CODES_BY_NUMBER = new Map<number, TunnelErrorCode>(
  // Object.entries widens the keys; the table's own type says that they are codes.
  Object.entries(TUNNEL_ERROR_NUMBERS).map(([code, number]) => [number, code as TunnelErrorCode]),
);

/** The code of a number read from the wire. A number that we do not know reads as "internal". */
export function tunnelErrorCodeOf(number: number): TunnelErrorCode {
  return CODES_BY_NUMBER.get(number) ?? "internal";
}

export interface TunnelErrorOptions {
  /** For logs only: it may hold names of the other side's machines. Never show it to an API client. */
  readonly message?: string;
  readonly retrySafe?: boolean;
  readonly backendCancelled?: boolean;
  /** True when this end made the error, false when the peer told it. Default true. */
  readonly isLocal?: boolean;
  /** What the peer sent broke a rule, so what was asked of it is not at fault. Default false. */
  readonly isPeersFault?: boolean;
}

/** A stream or a session that ended early, or could not be opened. */
export class TunnelError extends Error {
  override readonly name = "TunnelError";
  readonly code: TunnelErrorCode;
  /** Proven: nothing of the request reached the engine, so another worker may be asked. */
  readonly retrySafe: boolean;
  /** The peer says that it also stopped the engine's work. */
  readonly backendCancelled: boolean;
  readonly isLocal: boolean;
  /** This end ended it for what the peer sent. A "too-large" is then its answer; else it is the request. */
  readonly isPeersFault: boolean;
  /** The message without the code before it; "" when there was none. */
  readonly detail: string;

  constructor(code: TunnelErrorCode, options: TunnelErrorOptions = {}) {
    super(options.message === undefined || options.message === "" ? code : `${code}: ${options.message}`);
    this.code = code;
    this.retrySafe = options.retrySafe ?? false;
    this.backendCancelled = options.backendCancelled ?? false;
    this.isLocal = options.isLocal ?? true;
    this.isPeersFault = options.isPeersFault ?? false;
    this.detail = options.message ?? "";
  }
}
