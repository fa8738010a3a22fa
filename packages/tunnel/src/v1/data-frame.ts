import { TunnelError } from "../tunnel-error.ts";
import type { HeaderPairs, ResponseHead, StreamOpening } from "../tunnel-stream.ts";
import {
  bytesField,
  encodeLine,
  fieldOf,
  numberField,
  objectField,
  parseLine,
  textField,
  withoutEmpty,
} from "./json-lines.ts";
import { decodeHeaders, encodeHeaders } from "./v1-headers.ts";
import { routeKindOf } from "./v1-routes.ts";

/** A request as a worker reads it. */
export interface V1Request {
  readonly requestId: string;
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly model: string;
  readonly headers: HeaderPairs;
  /** Undefined: none. */
  readonly body: Buffer | undefined;
}

/** One line of an answer. A worker may put all of it into one line. */
export interface V1Answer {
  /** 0: not in this line. */
  readonly status: number;
  readonly headers: HeaderPairs;
  readonly chunk: Buffer | undefined;
  readonly isEnd: boolean;
  readonly error: { readonly code: string; readonly message: string } | undefined;
}

/**
 * The line of a request up to its body, which follows as {@link REQUEST_BODY}, base64 and {@link REQUEST_BODY_END}; the
 * last thing is {@link REQUEST_END}. v1 has no place for the query, the priority and the deadline.
 *
 * @throws TunnelError "unsupported", retry-safe, for a route that v1 does not know.
 */
export function requestStart(opening: StreamOpening): string {
  const { requestId, method, path, model, headers } = opening;
  const routeKind = routeKindOf(method, path);
  if (routeKind === undefined) {
    throw new TunnelError("unsupported", { message: "protocol v1 does not know this route", retrySafe: true });
  }
  const isStream = headers.some(([name, value]) => name === "accept" && value.includes("text/event-stream"));
  const head = { request_id: requestId, route_kind: routeKind, method, path };
  const rest = withoutEmpty({ model, headers: encodeHeaders(headers), is_stream: isStream });
  return JSON.stringify({ ...head, ...rest }).slice(0, -1);
}

/** A longer line is long for what it carries in base64. */
const SHORT_BYTES = 64 * 1024;
/** A head of 128 headers has some 500 of them. */
const MAX_SIGNS = 4096;
const QUOTE = 0x22;
const OPENING_SIGNS = [QUOTE, 0x5b, 0x7b];

export const REQUEST_BODY = ',"body":"';
export const REQUEST_BODY_END = '"';
export const REQUEST_END = "}\n";

/** @throws TunnelError "protocol". */
export function decodeRequest(line: Buffer): V1Request {
  const wire = parseDataLine(line);
  const [path = "", ...query] = textField(wire, "path").split("?");
  return {
    requestId: textField(wire, "request_id"),
    method: textField(wire, "method").toUpperCase(),
    path,
    query: query.join("?"),
    model: textField(wire, "model"),
    headers: decodeHeaders(objectField(wire, "headers")),
    body: bytesField(wire, "body"),
  };
}

/** @throws TunnelError "protocol". */
export function decodeAnswer(line: Buffer): V1Answer {
  const wire = parseDataLine(line);
  const error = objectField(wire, "error");
  const code = error && textField(error, "code");
  const message = error && textField(error, "message");
  return {
    status: numberField(wire, "status_code"),
    headers: decodeHeaders(objectField(wire, "headers")),
    chunk: bytesField(wire, "body_chunk"),
    isEnd: fieldOf(wire, "eof") === true,
    // The original's hub takes an error without code and message for none.
    error: code || message ? { code: code ?? "", message: message ?? "" } : undefined,
  };
}

export function encodeAnswerHead(requestId: string, head: ResponseHead): Buffer {
  return encodeLine({ request_id: requestId, status_code: head.status, headers: encodeHeaders(head.headers) });
}

export function encodeAnswerChunk(requestId: string, chunk: Buffer): Buffer {
  return encodeLine({ request_id: requestId, body_chunk: chunk.toString("base64") });
}

export function encodeAnswerEnd(requestId: string): Buffer {
  return encodeLine({ request_id: requestId, eof: true });
}

export function encodeAnswerError(requestId: string, code: string, message: string): Buffer {
  return encodeLine({ request_id: requestId, error: { code, message } });
}

/** Lines are long, and 8 MiB of fields take two seconds to parse where as much base64 takes 18 ms. */
function parseDataLine(line: Buffer): Readonly<Record<string, unknown>> {
  if (line.length > SHORT_BYTES && hasManySigns(line)) {
    throw new TunnelError("protocol", { message: "a long line of many fields" });
  }
  return parseLine(line);
}

function hasManySigns(line: Buffer): boolean {
  let count = 0;
  for (const sign of OPENING_SIGNS) {
    for (let at = line.indexOf(sign); at !== -1 && count <= MAX_SIGNS; at = line.indexOf(sign, at + 1)) count += 1;
  }
  return count > MAX_SIGNS;
}
