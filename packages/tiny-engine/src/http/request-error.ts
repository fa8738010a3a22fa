import type { ServerResponse } from "node:http";

/** A request that an engine refuses, with what the caller is told. */
export class RequestError extends Error {
  override readonly name = "RequestError";
  readonly status: number;
  readonly code: string;

  /** @param message Shown to the caller. */
  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** The error object of the OpenAI API. */
export function openAiErrorBody(status: number, code: string, message: string): string {
  return JSON.stringify({ error: { message, type: typeOf(status), code, param: null } });
}

/** Answers with the OpenAI error shape. */
export function sendError(response: ServerResponse, error: RequestError): void {
  if (error.status === 429 || error.status === 503) response.setHeader("retry-after", "1");
  sendText(response, error.status, "application/json", openAiErrorBody(error.status, error.code, error.message));
}

/** Answers with JSON. */
export function sendJson(response: ServerResponse, value: unknown, status = 200): void {
  sendText(response, status, "application/json", JSON.stringify(value));
}

/** Answers with a whole body. */
export function sendText(
  response: ServerResponse,
  status: number,
  contentType: string,
  body: string | Uint8Array,
): void {
  response.writeHead(status, {
    "content-type": contentType,
    "content-length": String(typeof body === "string" ? Buffer.byteLength(body) : body.length),
  });
  response.end(body);
}

function typeOf(status: number): string {
  if (status === 401) return "authentication_error";
  if (status === 429) return "rate_limit_error";
  return status < 500 ? "invalid_request_error" : "server_error";
}
