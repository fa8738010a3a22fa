import type { IncomingMessage } from "node:http";

/** After an answer that came before the end of the upload, so much is still read, so that the client sees the answer. */
export const EARLY_ANSWER = { maxDroppedBytes: 1024 * 1024, maxDropMs: 2_000 } as const;

/** Whether the client may still be sending its body. */
export function isStillSending(request: IncomingMessage): boolean {
  if (request.complete) return false;
  const { "content-length": length, "transfer-encoding": encoding } = request.headers;
  return encoding !== undefined || (length !== undefined && length !== "0");
}

/**
 * Reads and drops what the client still sends, until it stops, or for as long as `EARLY_ANSWER` allows.
 *
 * Node ends the socket with the answer. With unread bytes in it the kernel then sends a reset, which can overtake the answer
 * (nodejs/node#9085). So the answer's end waits for this.
 */
export function dropBody(request: IncomingMessage): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, EARLY_ANSWER.maxDropMs);
  let dropped = 0;
  // Whoever read before has no use for the rest, and would pause the socket again.
  request.removeAllListeners("data");
  request.on("data", (chunk: Uint8Array) => {
    dropped += chunk.length;
    if (dropped > EARLY_ANSWER.maxDroppedBytes) resolve();
  });
  request.on("end", resolve);
  request.on("close", resolve);
  request.resume();
  return promise.finally(() => clearTimeout(timer));
}
