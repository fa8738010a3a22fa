import type { RequestBody } from "../channels/channel.ts";
import { AppError } from "../errors.ts";
import type { IncomingBody } from "../http/incoming-body.ts";
import { boundaryOf, FormScanner, MultipartError } from "./form-scanner.ts";
import { mediaTypeOf } from "./headers.ts";
import { type JsonField, JsonScanner, JsonSyntaxError } from "./json-scanner.ts";
import type { Operation } from "./operation.ts";
import type { Spool } from "./spool.ts";
import { isRecord, parseJson } from "./usage.ts";

/** Of an upload so much is kept in memory: to find its model, and to send it again on a retry. */
export const MAX_HELD_UPLOAD_BYTES = 1024 * 1024;
const MAX_MODEL_BYTES = 256;

/** What the hub knows of a request. The body stays the client's bytes. */
export interface RequestView {
  readonly model: string;
  readonly isStreamed: boolean;
  /** The most tokens the client lets the engine make; undefined when it did not say. */
  readonly maxTokens: number | undefined;
  /** We asked for the usage chunk, the client did not. */
  readonly hidesUsage: boolean;
  readonly body: RequestBody;
  /** What the worker is told the body is. */
  readonly contentType: string;
}

/** What is known of a body before its first byte. */
export interface BodyHints {
  readonly contentType: string | undefined;
  readonly contentLength: number | undefined;
  /** From the header `x-model` or the query's `model`: spares an upload with its file in front the way over the disk. */
  readonly model: string | undefined;
}

/** Where a body may stay while the hub finds out where it goes. Whoever gives it takes back what was used. */
export interface BodyStorage {
  /** Counts bytes that will be held in memory. @throws AppError `overloaded` when all requests together hold too many. */
  hold(bytes: number): void;
  openSpool(): Promise<Spool>;
}

/**
 * Reads as much of the body as it takes to route it: all of a JSON body; of a form the first `MAX_HELD_UPLOAD_BYTES`, and
 * where its model comes later (the official SDKs send the file first) all up to it, by way of the disk.
 *
 * @throws AppError for a body that is no JSON or form, or names no model.
 */
export function viewRequest(operation: Operation, incoming: IncomingBody, context: ViewContext): Promise<RequestView> {
  const isForm = mediaTypeOf(context.hints.contentType) === "multipart/form-data";
  return isForm ? viewForm(incoming, context) : viewJson(operation, incoming, context);
}

export interface ViewContext {
  readonly hints: BodyHints;
  readonly storage: BodyStorage;
}

/** @throws AppError `unsupported_media_type`, before a byte of the body is read. */
export function checkContentType(
  operation: Operation,
  contentType: string | undefined,
  encoding: string | undefined,
): void {
  if (encoding !== undefined && encoding !== "identity") {
    throw new AppError("unsupported_media_type", `Send the body without content-encoding (it has "${encoding}").`);
  }
  const type = mediaTypeOf(contentType);
  const isForm = type === "multipart/form-data";
  if (isForm && operation.body === "json") throw unsupported(operation, "application/json");
  if (!isForm && operation.body === "multipart") throw unsupported(operation, "multipart/form-data");
  if (!isForm && !isJsonLike(type)) throw unsupported(operation, "application/json");
}

/** `curl -d` and some libraries name no JSON type, or a wrong one, for what is JSON. */
function isJsonLike(type: string): boolean {
  return type === "" || type === "text/plain" || type === "application/x-www-form-urlencoded" || type.endsWith("json");
}

const WATCHED = new Set([
  "model",
  "stream",
  "stream_options",
  "max_tokens",
  "max_completion_tokens",
  "max_output_tokens",
]);

async function viewJson(
  operation: Operation,
  incoming: IncomingBody,
  { hints, storage }: ViewContext,
): Promise<RequestView> {
  const scanner = new JsonScanner(WATCHED);
  const held: Uint8Array[] = [];
  const fields = await readJson(incoming, scanner, (chunk) => {
    storage.hold(chunk.length);
    held.push(chunk);
  });
  const isStreamed = booleanOf(fields.get("stream"), "stream");
  const view = {
    model: checkModel(modelOf(fields.get("model"))),
    isStreamed,
    maxTokens: maxTokensOf(fields),
    contentType: isJsonType(hints.contentType) ? (hints.contentType ?? JSON_TYPE) : JSON_TYPE,
  };
  if (!isStreamed || !operation.asksUsage) return { ...view, hidesUsage: false, body: bodyOf(held, incoming.received) };
  return { ...view, ...askForUsage(held, incoming.received, fields.get("stream_options"), scanner.insertAt) };
}

const JSON_TYPE = "application/json";

function isJsonType(contentType: string | undefined): boolean {
  return mediaTypeOf(contentType).endsWith("json");
}

async function readJson(
  incoming: IncomingBody,
  scanner: JsonScanner,
  keep: (chunk: Uint8Array) => void,
): Promise<ReadonlyMap<string, JsonField>> {
  try {
    for (let chunk = await incoming.next(); chunk !== undefined; chunk = await incoming.next()) {
      scanner.push(chunk);
      keep(chunk);
    }
    return scanner.finish();
  } catch (thrown) {
    if (!(thrown instanceof JsonSyntaxError)) throw thrown;
    throw new AppError("invalid_json", `The request body is not valid JSON: ${thrown.message}.`, { cause: thrown });
  }
}

/** The same body with `include_usage` set, by changing the bytes of `stream_options` only. */
function askForUsage(
  held: readonly Uint8Array[],
  length: number,
  field: JsonField | undefined,
  insertAt: number,
): Pick<RequestView, "hidesUsage" | "body"> {
  const options = field === undefined ? null : parseJson(field.text);
  if (options !== null && !isRecord(options)) throw mistyped("stream_options", "an object");
  if (options?.["include_usage"] === true) return { hidesUsage: false, body: bodyOf(held, length) };
  const asked = JSON.stringify({ ...options, include_usage: true });
  const change =
    field === undefined
      ? { start: insertAt, end: insertAt, text: `"stream_options":${asked},` }
      : { start: field.start, end: field.end, text: asked };
  const inserted = Buffer.from(change.text);
  const changedLength = length + inserted.length - (change.end - change.start);
  return { hidesUsage: true, body: bodyOf(splice(held, change, inserted), changedLength) };
}

/** `chunks` with the bytes from `start` to `end` replaced. Chunks that are not touched stay the same objects. */
export function splice(
  chunks: readonly Uint8Array[],
  place: { readonly start: number; readonly end: number },
  inserted: Uint8Array,
): Uint8Array[] {
  const before: Uint8Array[] = [];
  const after: Uint8Array[] = [];
  let base = 0;
  for (const chunk of chunks) {
    if (base < place.start) before.push(chunk.subarray(0, place.start - base));
    if (base + chunk.length > place.end) after.push(chunk.subarray(Math.max(0, place.end - base)));
    base += chunk.length;
  }
  return [...before, inserted, ...after];
}

async function viewForm(incoming: IncomingBody, { hints, storage }: ViewContext): Promise<RequestView> {
  const contentType = hints.contentType ?? "";
  const boundary = boundaryOf(contentType);
  if (boundary === undefined) throw new AppError("invalid_request", "The multipart content type names no boundary.");
  const scanner = new FormScanner(boundary, FORM_FIELDS);
  const modelOfForm = (): string | undefined => scanner.fields.get("model") ?? hints.model;
  const { held, isComplete } = await holdForm(incoming, scanner, storage);
  const rest = isComplete
    ? undefined
    : modelOfForm() === undefined
      ? await spoolForm(incoming, scanner, storage)
      : () => incoming.next();
  return {
    model: checkModel(modelOfForm()),
    isStreamed: scanner.fields.get("stream")?.toLowerCase() === "true",
    maxTokens: undefined,
    hidesUsage: false,
    contentType,
    body: rest === undefined ? bodyOf(held, incoming.received) : { held, length: hints.contentLength, rest },
  };
}

async function holdForm(
  incoming: IncomingBody,
  scanner: FormScanner,
  storage: BodyStorage,
): Promise<{ held: Uint8Array[]; isComplete: boolean }> {
  const held: Uint8Array[] = [];
  while (incoming.received < MAX_HELD_UPLOAD_BYTES) {
    const chunk = await nextScanned(incoming, scanner);
    if (chunk === undefined) return { held, isComplete: true };
    storage.hold(chunk.length);
    held.push(chunk);
  }
  return { held, isComplete: false };
}

/** Puts the form on disk until its model is known. Returns what gives it back, and then what still comes. */
async function spoolForm(
  incoming: IncomingBody,
  scanner: FormScanner,
  storage: BodyStorage,
): Promise<() => Promise<Uint8Array | undefined>> {
  const spool = await storage.openSpool();
  while (!scanner.fields.has("model")) {
    const chunk = await nextScanned(incoming, scanner);
    if (chunk === undefined) break;
    await spool.write(chunk);
  }
  return async () => (await spool.next()) ?? incoming.next();
}

const FORM_FIELDS = new Set(["model", "stream"]);

/** The next chunk of the form, seen by the scanner; undefined at the end. */
async function nextScanned(incoming: IncomingBody, scanner: FormScanner): Promise<Uint8Array | undefined> {
  const chunk = await incoming.next();
  try {
    if (chunk === undefined) scanner.finish();
    else scanner.push(chunk);
  } catch (thrown) {
    if (!(thrown instanceof MultipartError)) throw thrown;
    throw new AppError("invalid_request", `The multipart body cannot be read: ${thrown.message}.`, { cause: thrown });
  }
  return chunk;
}

function bodyOf(held: readonly Uint8Array[], length: number): RequestBody {
  return { held, length };
}

function modelOf(field: JsonField | undefined): string | undefined {
  if (field === undefined) return undefined;
  const model = parseJson(field.text);
  if (typeof model !== "string") throw mistyped("model", "a string");
  return model;
}

// oxlint-disable-next-line no-control-regex -- refusing control characters is the point
const BAD_MODEL = /[\u0000-\u001f\u007f-\u009f\ufffd]/;

function checkModel(model: string | undefined): string {
  if (model === undefined || model === "") {
    throw new AppError("missing_required_parameter", 'You must provide a model: set the field "model".', {
      param: "model",
    });
  }
  if (Buffer.byteLength(model) > MAX_MODEL_BYTES || BAD_MODEL.test(model)) {
    throw new AppError("invalid_request", `The field "model" must be a name of at most ${MAX_MODEL_BYTES} bytes.`, {
      param: "model",
    });
  }
  return model;
}

function booleanOf(field: JsonField | undefined, name: string): boolean {
  if (field === undefined || field.text === "null" || field.text === "false") return false;
  if (field.text === "true") return true;
  throw mistyped(name, "true or false");
}

function maxTokensOf(fields: ReadonlyMap<string, JsonField>): number | undefined {
  let least: number | undefined;
  for (const name of ["max_tokens", "max_completion_tokens", "max_output_tokens"]) {
    const field = fields.get(name);
    if (field === undefined || field.text === "null") continue;
    const value = parseJson(field.text);
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0)
      throw mistyped(name, "a whole number, 0 or more");
    least = Math.min(least ?? value, value);
  }
  return least;
}

function mistyped(param: string, wanted: string): AppError {
  return new AppError("invalid_request", `The field "${param}" must be ${wanted}.`, { param });
}

function unsupported(operation: Operation, wanted: string): AppError {
  return new AppError("unsupported_media_type", `${operation.path} takes ${wanted}.`);
}
