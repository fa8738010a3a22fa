import { type AppError, toAppError } from "../errors.ts";
import type { Log } from "../observe/log.ts";
import { errorBody, errorStatus, sseErrorEvent } from "./error-body.ts";
import type { Exchange, Handler } from "./exchange.ts";

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
    answerError(exchange, error);
  }
}

/** docs/api.md, "How a failure looks". */
function answerError({ reply, request }: Exchange, error: AppError): void {
  const { form } = reply;
  if (reply.isGone) return reply.destroy();
  if (form.is === "sse") return reply.end(sseErrorEvent(error, form.dialect));
  if (form.is === "opaque") return reply.destroy();
  const body = JSON.stringify(errorBody(error));
  const headers = ["content-type", "application/json", "content-length", String(Buffer.byteLength(body))];
  if (error.retryAfter !== undefined) headers.push("retry-after", String(error.retryAfter));
  for (const [name, value] of Object.entries(error.headers ?? {})) headers.push(name, value);
  reply.head(errorStatus(error), headers);
  reply.end(request.method === "HEAD" ? undefined : body);
}
