import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";

/** An HTTP answer instead of the 101. */
export interface UpgradeAnswer {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly retryAfterMs?: number | undefined;
}

const LINGER_MS = 2000;

/** Answers an upgrade with an error, and with `headers` of the embedding program, and closes the socket. */
export function answerUpgrade(
  socket: Duplex,
  answer: UpgradeAnswer,
  headers: Readonly<Record<string, string>> = {},
): void {
  const { status, code, message, retryAfterMs } = answer;
  const body = JSON.stringify({ error: { message, type: errorTypeOf(status), code } });
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Error"}`,
    "Connection: close",
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  if (retryAfterMs !== undefined) lines.push(`Retry-After: ${Math.ceil(retryAfterMs / 1000)}`);
  if (status === 401) lines.push('WWW-Authenticate: Bearer realm="tokilake"');
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
  socket.end(`${lines.join("\r\n")}\r\n\r\n${body}`);
  // A peer that never closes its side must not keep the socket.
  setTimeout(() => socket.destroy(), LINGER_MS).unref();
}

function errorTypeOf(status: number): string {
  if (status === 401) return "authentication_error";
  if (status === 403) return "permission_error";
  return status < 500 ? "invalid_request_error" : "server_error";
}
