import type { IncomingMessage } from "node:http";

import { RequestError } from "./request-error.ts";

/** Bytes of a JSON body; a chat that fills the model's context has a hundredth of it. */
const MAX_BODY_BYTES = 4 * 1024 * 1024;

/** The request's JSON body. @throws RequestError 413 when it is too long, 400 when it is not JSON. */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const announced = Number(request.headers["content-length"] ?? 0);
  if (announced > MAX_BODY_BYTES) throw tooLong();
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw tooLong();
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch {
    throw new RequestError(400, "invalid_json", "The body is not JSON.");
  }
}

function tooLong(): RequestError {
  return new RequestError(413, "body_too_large", `The body is longer than ${MAX_BODY_BYTES} bytes.`);
}
