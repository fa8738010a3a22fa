import { type ChannelAnswer, ChannelError, type Retry } from "../channels/channel.ts";
import { AppError } from "../errors.ts";
import { errorBody, type SseDialect } from "../http/error-body.ts";
import { LongJsonReader, OpaqueReader, ParsedJsonReader } from "./answer-readers.ts";
import { headerOf, mediaTypeOf } from "./headers.ts";
import type { HeldAnswer } from "./held-answer.ts";
import { SseReader, tellsError } from "./sse-reader.ts";
import { isRecord, parseJson, usageIn } from "./usage.ts";

/** Of each answer so much is held back at most, while it may still be thrown away. */
export const MAX_HELD_BYTES = 64 * 1024;

/** How an attempt went. */
export type AttemptResult<A = HeldAnswer> =
  | { readonly outcome: "answered"; readonly answer: A }
  /** `answer`: what the engine did say, for the client if nobody else does better. */
  | { readonly outcome: "failed"; readonly failure: ChannelError; readonly answer?: HeldAnswer };

export interface WindowOptions {
  readonly dialect: SseDialect;
  readonly hidesUsage: boolean;
}

/**
 * Holds an answer back until it has real content, or is seen to have failed. Nothing reached the client yet, so a failure
 * can be hidden by asking another worker.
 *
 * @throws whatever the body throws; `answer.explain` tells what it means.
 */
export function holdUntilContent(answer: ChannelAnswer, options: WindowOptions): Promise<AttemptResult> {
  if (answer.status < 200 || answer.status >= 300) return holdFailure(answer);
  if (!NO_ENCODING.has(headerOf(answer.headers, "content-encoding") ?? "")) return holdOpaque(answer);
  const type = mediaTypeOf(headerOf(answer.headers, "content-type"));
  if (type === "text/event-stream") return holdEvents(answer, options);
  if (type.endsWith("json")) return holdJson(answer);
  return options.dialect === "plain" ? holdOpaque(answer) : holdUntyped(answer, options);
}

const NO_ENCODING: ReadonlySet<string> = new Set(["", "identity"]);

/**
 * A route that answers JSON or events alone, and an engine that does not say which. What is neither never ends an answer, so a
 * cut one is not taken for whole.
 */
async function holdUntyped(answer: ChannelAnswer, options: WindowOptions): Promise<AttemptResult> {
  const first = await answer.body.next();
  const isJson = first.done !== true && JSON_START.test(Buffer.from(first.value).toString("latin1", 0, 64));
  const again: ChannelAnswer = {
    status: answer.status,
    headers: answer.headers,
    body: startingWith(first, answer.body),
    trailers: () => answer.trailers(),
    explain: (thrown) => answer.explain(thrown),
  };
  return isJson ? holdJson(again) : holdEvents(again, options);
}

/** JSON, perhaps behind more white space than was looked at; no line of an event stream begins so. */
const JSON_START = /^\s*(?:[{[]|$)/;

function startingWith<T>(first: IteratorResult<T, unknown>, rest: AsyncIterator<T>): AsyncIterator<T> {
  let isFirst = true;
  return {
    next: () => {
      if (!isFirst) return rest.next();
      isFirst = false;
      return Promise.resolve(first);
    },
  };
}

async function holdEvents(answer: ChannelAnswer, options: WindowOptions): Promise<AttemptResult> {
  const reader = new SseReader(options.dialect, options);
  const held: Uint8Array[] = [];
  for (let size = 0; ;) {
    const next = await answer.body.next();
    const passed = next.done === true ? reader.end() : reader.push(next.value);
    held.push(...passed.bytes);
    size += next.done === true ? 0 : next.value.length;
    if (reader.state === "failed") return failed("upstream_error", "error-event");
    const rest = next.done === true ? undefined : answer;
    const isEnded = next.done === true;
    const events = { ...headOf(answer), form: "events", held, rest, reader, isEnded, length: undefined } as const;
    if (isEnded) return endOfEvents(events, passed.hasContent);
    if (passed.hasContent || size > MAX_HELD_BYTES) return { outcome: "answered", answer: events };
  }
}

/** The stream ended, and all of it is held. */
function endOfEvents(events: HeldAnswer, hasContent: boolean): AttemptResult {
  const { state } = events.reader;
  if (hasContent && state === "terminated") return { outcome: "answered", answer: events };
  const result = failed("upstream_incomplete", hasContent ? "cut" : "empty-answer");
  // A model may end its answer at once. If every worker says so, it is the answer.
  return state === "terminated" ? { ...result, answer: events } : result;
}

async function holdJson(answer: ChannelAnswer): Promise<AttemptResult> {
  const { held, isWhole } = await hold(answer);
  if (!isWhole) return { outcome: "answered", answer: longJson(answer, held) };
  const body = held.length === 1 && held[0] !== undefined ? held[0] : Buffer.concat(held);
  if (isWrongLength(answer, body.length)) return failed("upstream_incomplete", "wrong-length");
  const value = parseJson(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("utf8"));
  if (value === undefined) return failed("upstream_incomplete", body.length === 0 ? "empty-answer" : "cut");
  const whole = wholeAnswer(answer, answer.status, body, value);
  if (!isRecord(value) || !tellsError(value)) return { outcome: "answered", answer: whole };
  // An error under the status 200. No client would notice.
  return { ...failed("upstream_error", "error-in-200"), answer: { ...whole, status: 502 } };
}

async function holdOpaque(answer: ChannelAnswer): Promise<AttemptResult> {
  const reader = new OpaqueReader();
  for (;;) {
    const next = await answer.body.next();
    if (next.done === true)
      return answer.status === 204 ? emptyAnswer(answer) : failed("upstream_incomplete", "empty-answer");
    const passed = reader.push(next.value);
    if (!passed.hasContent) continue;
    const head = { ...headOf(answer), form: "opaque", isEnded: false, length: lengthOf(answer) } as const;
    return { outcome: "answered", answer: { ...head, held: passed.bytes, rest: answer, reader } };
  }
}

/** Another worker may do better than these; any other 4xx is the request's own fault. */
const RETRIED_STATUSES = new Set([408, 429]);

/** The engine refused, or failed in words. The client gets them as they are when they are JSON, else our own. */
async function holdFailure(answer: ChannelAnswer): Promise<AttemptResult> {
  const { status } = answer;
  // Not the client's credentials are wrong but those the worker has for its engine.
  const isOurs = status < 400 || status === 401 || status === 403 || status === 407;
  if (isOurs) return failed("upstream_error", `status-${status}`);
  const { held, isWhole } = await hold(answer);
  const body = Buffer.concat(held);
  const value = isWhole ? parseJson(body.toString("utf8")) : undefined;
  const said = isRecord(value)
    ? wholeAnswer(answer, status, body, value)
    : { ...wordedAnswer(status), isEnded: isWhole };
  const isModelMissing = status === 404 && /model/i.test(body.toString("latin1", 0, 1_024));
  if (status < 500 && !RETRIED_STATUSES.has(status) && !isModelMissing) return { outcome: "answered", answer: said };
  return { ...failed("upstream_error", `status-${status}`), answer: said };
}

async function hold(answer: ChannelAnswer): Promise<{ held: Uint8Array[]; isWhole: boolean }> {
  const held: Uint8Array[] = [];
  for (let size = 0; size <= MAX_HELD_BYTES;) {
    const next = await answer.body.next();
    if (next.done === true) return { held, isWhole: true };
    held.push(next.value);
    size += next.value.length;
  }
  return { held, isWhole: false };
}

function wholeAnswer(answer: ChannelAnswer, status: number, body: Uint8Array, value: unknown): HeldAnswer {
  const reader = new ParsedJsonReader(usageIn(value));
  const head = { ...headOf(answer), status, form: "opaque", isEnded: true, length: body.length } as const;
  return { ...head, held: [body], rest: undefined, reader };
}

function longJson(answer: ChannelAnswer, held: readonly Uint8Array[]): HeldAnswer {
  const reader = new LongJsonReader();
  reader.readHead(Buffer.concat(held));
  const head = { ...headOf(answer), form: "opaque", isEnded: false, length: lengthOf(answer) } as const;
  return { ...head, held, rest: answer, reader };
}

function emptyAnswer(answer: ChannelAnswer): AttemptResult {
  const reader = new ParsedJsonReader(undefined);
  const head = { ...headOf(answer), form: "opaque", isEnded: true, length: undefined } as const;
  return { outcome: "answered", answer: { ...head, held: [], rest: undefined, reader } };
}

/** Our words for an engine's. */
function wordedAnswer(status: number): Omit<HeldAnswer, "isEnded"> {
  const error = new AppError("upstream_error", `The engine answered with status ${status}.`);
  const body = Buffer.from(JSON.stringify(errorBody(error)));
  const headers = [["content-type", "application/json"]] as const;
  const reader = new ParsedJsonReader(undefined);
  return { status, headers, form: "opaque", held: [body], rest: undefined, reader, length: body.length };
}

function headOf(answer: ChannelAnswer): Pick<HeldAnswer, "status" | "headers"> {
  return { status: answer.status, headers: answer.headers };
}

function lengthOf(answer: ChannelAnswer): number | undefined {
  const length = Number(headerOf(answer.headers, "content-length") ?? Number.NaN);
  return Number.isSafeInteger(length) && length >= 0 ? length : undefined;
}

function isWrongLength(answer: ChannelAnswer, length: number): boolean {
  const announced = lengthOf(answer);
  return announced !== undefined && announced !== length;
}

function failed(
  code: "upstream_error" | "upstream_incomplete",
  reason: string,
): { outcome: "failed"; failure: ChannelError } {
  const retry: Retry = "unless-content";
  return { outcome: "failed", failure: new ChannelError(new AppError(code), { retry, reason }) };
}
