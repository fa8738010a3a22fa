/**
 * The one error type the hub raises on purpose, and the table that says what each kind means to a caller.
 *
 * Code throws `AppError` with a code; it never picks an HTTP status or writes an error body. `http/error-body.ts` is the
 * only reader of statuses and types. Codes are for ever: docs/errors.md has a row for each, and a test compares the two.
 * `retryable`: the same request may succeed when the caller sends it again.
 */
export const ERROR_KINDS = {
  invalid_request: kind(400, "invalid_request_error", "The request is not valid."),
  invalid_json: kind(400, "invalid_request_error", "The request body is not valid JSON."),
  missing_required_parameter: kind(400, "invalid_request_error", "A required field is missing."),
  invalid_api_key: kind(401, "invalid_request_error", "The API key is not valid."),
  account_deactivated: kind(401, "invalid_request_error", "The account that the key belongs to is disabled."),
  not_a_member: kind(401, "invalid_request_error", "The key's owner may not use its group."),
  ip_not_authorized: kind(401, "invalid_request_error", "The key may not be used from this address."),
  unauthenticated: kind(401, "invalid_request_error", "Sign in first, or send a personal access token."),
  confirmation_required: kind(403, "invalid_request_error", "Sign in afresh first: this needs a recent sign-in."),
  forbidden: kind(403, "invalid_request_error", "You may not do this."),
  not_allowed: kind(403, "invalid_request_error", "The worker's owner does not allow this request."),
  unknown_url: kind(404, "invalid_request_error", "There is no such route."),
  not_found: kind(404, "invalid_request_error", "There is no such object."),
  model_not_found: kind(404, "invalid_request_error", "The model does not exist."),
  method_not_allowed: kind(405, "invalid_request_error", "The route does not answer this method."),
  request_timeout: kind(408, "invalid_request_error", "The request body came too slowly.", { retryable: true }),
  conflict: kind(409, "invalid_request_error", "What is there already stands in the way."),
  invite_ended: kind(410, "invalid_request_error", "The invite can be used no more."),
  precondition_failed: kind(412, "invalid_request_error", "Somebody changed it meanwhile."),
  request_too_large: kind(413, "invalid_request_error", "The request body is too large."),
  unsupported_media_type: kind(415, "invalid_request_error", "The request body's content type is not supported."),
  idempotency_key_reused: kind(422, "invalid_request_error", "The Idempotency-Key was used for another request."),
  precondition_required: kind(428, "invalid_request_error", "The header If-Match is missing."),
  insufficient_quota: kind(429, "insufficient_quota", "The quota is used up."),
  rate_limit_exceeded: kind(429, "rate_limit_error", "Too many requests.", { retryable: true }),
  header_too_large: kind(431, "invalid_request_error", "The request's headers are too large."),
  client_closed: kind(499, "client_error", "The client went away before the answer was complete."),
  slow_consumer: kind(499, "client_error", "The client stopped reading the answer."),
  internal: kind(500, "server_error", "The server had an error while processing your request."),
  upstream_error: kind(502, "server_error", "The engine failed.", { retryable: true }),
  upstream_incomplete: kind(502, "server_error", "The engine's answer ended before it was complete.", {
    retryable: true,
  }),
  upstream_reset: kind(502, "server_error", "The engine broke off its answer.", { retryable: true }),
  upstream_unreachable: kind(502, "server_error", "The worker could not reach its engine.", { retryable: true }),
  tunnel_protocol: kind(502, "server_error", "The connection to the worker failed.", { retryable: true }),
  worker_lost: kind(502, "server_error", "The worker disconnected while it answered.", { retryable: true }),
  no_worker: kind(503, "server_error", "No worker is online for this model.", { retryable: true }),
  worker_busy: kind(503, "server_error", "All workers of this model are busy.", { retryable: true }),
  overloaded: kind(503, "server_error", "The hub serves as many requests as it may.", { retryable: true }),
  shutting_down: kind(503, "server_error", "The hub is shutting down.", { retryable: true }),
  deadline: kind(504, "server_error", "The request took longer than it may.", { retryable: true }),
  upstream_timeout: kind(504, "server_error", "The engine did not answer in time.", { retryable: true }),
} as const;

export type ErrorCode = keyof typeof ERROR_KINDS;

export interface ErrorKind {
  readonly status: number;
  /** OpenAI's `error.type`. */
  readonly type: string;
  /** For a caller, when the place that threw knows nothing better. */
  readonly message: string;
  readonly retryable: boolean;
}

export interface AppErrorOptions {
  /** The request field at fault, as a path: `messages.0.content`. */
  readonly param?: string | undefined;
  /** Seconds until a retry can succeed. Becomes the `retry-after` header. */
  readonly retryAfter?: number | undefined;
  /** Headers the status asks for, such as `allow`. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly cause?: unknown;
}

/** A failure that is the caller's or the world's fault, raised on purpose. */
export class AppError extends Error {
  override readonly name = "AppError";
  readonly code: ErrorCode;
  readonly param: string | undefined;
  readonly retryAfter: number | undefined;
  readonly headers: Readonly<Record<string, string>> | undefined;

  /** @param message Shown to the caller. Must not name a file, a host or a key. Default: the table's. */
  constructor(code: ErrorCode, message?: string, options: AppErrorOptions = {}) {
    super(message ?? ERROR_KINDS[code].message, { cause: options.cause });
    this.code = code;
    this.param = options.param;
    this.retryAfter = options.retryAfter;
    this.headers = options.headers;
  }
}

/** Anything thrown, as an `AppError`. What was not raised on purpose is `internal`, its text kept off the wire. */
export function toAppError(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  return new AppError("internal", undefined, { cause: thrown });
}

function kind(status: number, type: string, message: string, options: { retryable?: boolean } = {}): ErrorKind {
  return { status, type, message, retryable: options.retryable ?? false };
}
