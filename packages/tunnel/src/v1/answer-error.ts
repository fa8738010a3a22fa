import { TunnelError, type TunnelErrorCode } from "../tunnel-error.ts";

/** Errors that the original worker reports on a data stream, and which of them happen before its engine is asked. */
const BEFORE_ENGINE: Readonly<Record<string, TunnelErrorCode>> = {
  target_not_found: "model-not-found",
  invalid_target_url: "target-unreachable",
  rewrite_request_failed: "internal",
};
/** Go's words when no connection to the engine came about. Then the engine saw nothing. */
const NOT_CONNECTED = /\bdial\b|connection refused|no such host/i;
const MAX_TEXT = 256;

/** What an `error` of a v1 worker means. `hasHead`: its answer had begun. */
export function errorOfWorker(
  error: { readonly code: string; readonly message: string },
  options: { readonly hasHead: boolean },
): TunnelError {
  const { code } = error;
  const message = `${code}: ${error.message}`.slice(0, MAX_TEXT);
  const told = { message, isLocal: false };
  if (options.hasHead) return new TunnelError("target-reset", told);
  const early = Object.hasOwn(BEFORE_ENGINE, code) ? BEFORE_ENGINE[code] : undefined;
  if (early !== undefined) return new TunnelError(early, { ...told, retrySafe: true });
  // Any other failure of the call may have come after the engine had the request.
  if (code !== "local_request_failed") return new TunnelError("target-reset", told);
  const isUnseen = NOT_CONNECTED.test(error.message);
  return new TunnelError(isUnseen ? "target-unreachable" : "target-reset", { ...told, retrySafe: isUnseen });
}

/** The code that the original worker would use for what our worker reports. */
export function workerErrorCode(code: TunnelErrorCode, options: { readonly hasHead: boolean }): string {
  if (options.hasHead) return "read_local_response_failed";
  if (code === "model-not-found") return "target_not_found";
  return code === "forbidden" ? "invalid_target_url" : "local_request_failed";
}
