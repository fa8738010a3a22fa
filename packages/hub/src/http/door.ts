import type { IncomingMessage } from "node:http";

import { type AppError, toAppError } from "../errors.ts";
import type { Log } from "../observe/log.ts";
import { errorBody, errorStatus, sseErrorEvent } from "./error-body.ts";
import type { Exchange, Handler } from "./exchange.ts";

/** After an answer that came before the end of the upload, so much is still read, so that the client sees the answer. */
export const EARLY_ANSWER = { maxDroppedBytes: 1024 * 1024, maxDropMs: 2_000 } as const;

/** The one door: runs a handler, and turns whatever it throws into an answer, in the form that what was sent still allows. */
export async function answering(handler: Handler, exchange: Exchange, log: Log): Promise<void> {
  try {
    await handler(exchange);
  } catch (thrown) {
    const error = toAppError(thrown);
    if (error.code === "internal") {
      log.error(
        { requestId: exchange.reply.requestId, path: exchange.path, err: error.cause },
        "request failed by our own fault",
      );
    }
    await answerError(exchange, error);
  }
}

/** docs/api.md, "How a failure looks". */
async function answerError({ reply, request }: Exchange, error: AppError): Promise<void> {
  const { form } = reply;
  if (reply.isGone) return reply.destroy();
  if (form.is === "sse") return reply.end(sseErrorEvent(error, form.dialect));
  if (form.is === "opaque") return reply.destroy();
  const body = JSON.stringify(errorBody(error));
  const headers = ["content-type", "application/json", "content-length", String(Buffer.byteLength(body))];
  if (error.retryAfter !== undefined) headers.push("retry-after", String(error.retryAfter));
  for (const [name, value] of Object.entries(error.headers ?? {})) headers.push(name, value);
  if (hasWholeBody(request)) {
    reply.head(errorStatus(error), headers);
    return reply.end(request.method === "HEAD" ? undefined : body);
  }
  reply.head(errorStatus(error), [...headers, "connection", "close"]);
  reply.write(body);
  // Node would end the socket with the answer. With unread bytes in it the kernel then sends a reset, which can overtake
  // the answer (nodejs/node#9085). So the end waits until the client has stopped sending, or had its time.
  await dropBody(request);
  reply.end();
}

function hasWholeBody(request: IncomingMessage): boolean {
  if (request.complete) return true;
  const { "content-length": length, "transfer-encoding": encoding } = request.headers;
  return encoding === undefined && (length === undefined || length === "0");
}

function dropBody(request: IncomingMessage): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, EARLY_ANSWER.maxDropMs);
  let dropped = 0;
  request.on("data", (chunk: Uint8Array) => {
    dropped += chunk.length;
    if (dropped > EARLY_ANSWER.maxDroppedBytes) resolve();
  });
  request.on("end", resolve);
  request.on("close", resolve);
  request.resume();
  return promise.finally(() => clearTimeout(timer));
}
