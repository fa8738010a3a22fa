import type { SseDialect } from "../http/error-body.ts";
import { type EventBlock, dataOf, eventsOf, SseEvents } from "./sse-events.ts";
import { isRecord, parseJson, type Usage, usageIn } from "./usage.ts";

/** What the client gets of what came. */
export interface Passed {
  readonly bytes: readonly Uint8Array[];
  /** There is content among it, so there is no way back. */
  readonly hasContent: boolean;
}

/** How the engine's stream stands, as far as its events tell. */
export type SseState = "waiting" | "answering" | "terminated" | "failed";

const NOTHING: Passed = { bytes: [], hasContent: false };

/**
 * Reads along a stream of server-sent events: passes its bytes on in whole events, and notices content, usage, the
 * terminal marker and an error.
 *
 * Until the first content each event is parsed, which is a few. After it a block is searched for the few words that
 * matter, and only an event that has one is parsed: parsing each delta costs more than the whole relay.
 */
export class SseReader {
  readonly #dialect: SseDialect;
  readonly #hidesUsage: boolean;
  readonly #events = new SseEvents();
  readonly #choices = new OpenChoices();
  #state: SseState = "waiting";
  #isDone = false;
  /** An answer of the images or audio API began, and its end event did not come. */
  #isOpen = false;
  #usage: Usage | undefined;
  #failure: string | undefined;
  /** The engine's error in the form that clients raise on; undefined when it came so. */
  #told: Uint8Array | undefined;

  /** @param options.hidesUsage The client did not ask for the usage chunk that we asked for, so it is taken out. */
  constructor(dialect: SseDialect, options: { readonly hidesUsage: boolean }) {
    this.#dialect = dialect;
    this.#hidesUsage = options.hidesUsage;
  }

  get state(): SseState {
    return this.#state;
  }

  get usage(): Usage | undefined {
    return this.#usage;
  }

  /** What the engine's error event said, for the log. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** After "failed" nothing more is passed on: a `[DONE]` behind an error would make the answer look complete. */
  push(chunk: Uint8Array): Passed {
    if (this.#state === "failed") return NOTHING;
    const block = this.#events.push(chunk);
    return block === undefined ? NOTHING : this.#pass(block);
  }

  /** The body ended cleanly. A last event without its blank line is passed on when it ends the answer, else it is half of one. */
  end(): Passed {
    const block = this.#state === "failed" ? undefined : this.#events.end();
    const passed = block === undefined ? NOTHING : this.#pass(block);
    if (this.#dialect === "plain" && this.#state === "answering" && !this.#isOpen) this.#state = "terminated";
    return this.#dialect === "plain" || this.#state === "terminated" ? passed : NOTHING;
  }

  #pass(block: EventBlock): Passed {
    if (block.overlong > 0) return this.#passOverlong(block);
    if (this.#dialect === "plain") return this.#passUnread(block);
    // Behind a finish reason and before [DONE] little comes, but it may be another choice that still goes on.
    const mayGoOn = this.#state === "terminated" && !this.#isDone && this.#dialect === "chat";
    if (this.#state === "waiting" || mayGoOn || isNotable(block.text, this.#dialect)) return this.#passRead(block);
    return { bytes: [block.bytes], hasContent: true };
  }

  #passOverlong({ bytes, text, overlong }: EventBlock): Passed {
    if (this.#state === "waiting") this.#state = "answering";
    // It may have been the end: an image is one long event.
    this.#isOpen = false;
    const head = bytes.subarray(0, overlong);
    if (overlong === bytes.length) return { bytes: [head], hasContent: true };
    const rest = this.#pass({ bytes: bytes.subarray(overlong), text: text.slice(overlong), overlong: 0 });
    return { bytes: [head, ...rest.bytes], hasContent: true };
  }

  #passUnread(block: EventBlock): Passed {
    const isComment = this.#dialect === "plain" && this.#state === "waiting" && !DATA_LINE.test(block.text);
    if (!isComment && this.#state === "waiting") this.#state = "answering";
    if (OPENING.test(block.text)) this.#isOpen = true;
    if (CLOSING.test(block.text)) this.#isOpen = false;
    if (block.text.includes('"usage"')) this.#readUsage(block.text);
    return { bytes: [block.bytes], hasContent: !isComment };
  }

  #readUsage(text: string): void {
    for (const event of eventsOf(text)) {
      if (event.text.includes('"usage"'))
        this.#usage = usageIn(parseJson(dataOf(event.text)?.data ?? "")) ?? this.#usage;
    }
  }

  #passRead(block: EventBlock): Passed {
    const bytes: Uint8Array[] = [];
    let hasContent = this.#state !== "waiting";
    let from = 0;
    for (const event of eventsOf(block.text)) {
      const end = event.start + event.text.length;
      const kind = this.#kindOf(event.text);
      if (kind === "hidden") {
        if (event.start > from) bytes.push(block.bytes.subarray(from, event.start));
        from = end;
      }
      hasContent ||= kind === "content";
      if (kind === "error") {
        this.#state = "failed";
        if (event.start > from) bytes.push(block.bytes.subarray(from, event.start));
        bytes.push(this.#told ?? block.bytes.subarray(event.start, end));
        return { bytes, hasContent };
      }
    }
    if (hasContent && this.#state === "waiting") this.#state = "answering";
    if (from < block.bytes.length) bytes.push(from === 0 ? block.bytes : block.bytes.subarray(from));
    return { bytes, hasContent };
  }

  #noteError(value: Readonly<Record<string, unknown>>): void {
    this.#failure = errorTextOf(value);
    if (this.#dialect === "chat" && value["error"] === undefined) {
      this.#told = Buffer.from(`data: ${JSON.stringify({ error: value })}\n\n`);
    }
  }

  #noteEnd(kind: EventKind, choices: unknown): void {
    if (this.#dialect === "chat") this.#followChoices(choices);
    else if (kind === "last-content") this.#state = "terminated";
  }

  #followChoices(choices: unknown): void {
    if (this.#isDone || !Array.isArray(choices)) return;
    for (const choice of choices) if (isRecord(choice)) this.#choices.see(choice);
    if (this.#choices.areFinished) this.#state = "terminated";
    else if (this.#state === "terminated") this.#state = "answering";
  }

  #kindOf(event: string): "lifecycle" | "content" | "terminal" | "error" | "hidden" {
    const parsed = dataOf(event);
    if (parsed === undefined) return "lifecycle";
    if (parsed.data === "[DONE]") {
      this.#state = "terminated";
      this.#isDone = true;
      return "terminal";
    }
    const value = parseJson(parsed.data);
    // What we cannot read is content: it is not for us to hold back what we do not know.
    if (!isRecord(value)) return "content";
    this.#usage = usageIn(value) ?? this.#usage;
    const kind = this.#dialect === "responses" ? kindOfResponseEvent(parsed.type, value) : kindOfChunk(value);
    if (kind === "error") this.#noteError(value);
    this.#noteEnd(kind, value["choices"]);
    if (kind === "usage") return this.#hidesUsage ? "hidden" : "lifecycle";
    return kind === "last-content" ? "content" : kind;
  }
}

/** Choices that are told apart; those above count as the first. OpenAI's API allows 128. */
const MAX_CHOICES = 1_024;

/** Of an answer with several choices (`n`), or to several prompts: which ones began, and which have their finish reason. */
class OpenChoices {
  readonly #open = new Set<number>();
  readonly #finished = new Set<number>();

  /** Whether a choice has a finish reason and none is known to go on. */
  get areFinished(): boolean {
    return this.#finished.size > 0 && this.#open.size === 0;
  }

  see(choice: Readonly<Record<string, unknown>>): void {
    const told = choice["index"];
    const index = typeof told === "number" && Number.isInteger(told) && told > 0 && told < MAX_CHOICES ? told : 0;
    if (typeof choice["finish_reason"] === "string") {
      this.#open.delete(index);
      this.#finished.add(index);
    } else if (!this.#finished.has(index)) this.#open.add(index);
  }
}

type EventKind = "lifecycle" | "content" | "terminal" | "last-content" | "error" | "usage";

/** Whether an answer or chunk is an error: `{"error":…}`, or `{"object":"error","message":…}` of older vLLM. */
export function tellsError(value: Readonly<Record<string, unknown>>): boolean {
  return isRecord(value["error"]) || typeof value["error"] === "string" || value["object"] === "error";
}

/** A chunk of chat/completions or completions (OpenAI API reference, "The chat completion chunk object"). */
function kindOfChunk(chunk: Readonly<Record<string, unknown>>): EventKind {
  if (tellsError(chunk)) return "error";
  const choices = chunk["choices"];
  if (!Array.isArray(choices)) return "content";
  if (choices.length === 0) return isRecord(chunk["usage"]) ? "usage" : "lifecycle";
  let kind: EventKind = "lifecycle";
  for (const choice of choices) {
    if (!isRecord(choice)) return "content";
    const isLast = typeof choice["finish_reason"] === "string";
    if (hasContent(choice)) return isLast ? "last-content" : "content";
    if (isLast) kind = "terminal";
  }
  return kind;
}

/** Fields of a delta that mean something without being content. Any other field that is not empty is content. */
const NOT_CONTENT = new Set(["role", "name"]);

function hasContent(choice: Readonly<Record<string, unknown>>): boolean {
  if (isFilled(choice["text"])) return true;
  const delta = choice["delta"];
  if (!isRecord(delta)) return false;
  return Object.entries(delta).some(([name, value]) => !NOT_CONTENT.has(name) && isFilled(value));
}

function isFilled(value: unknown): boolean {
  if (value === undefined || value === null || value === "") return false;
  return Array.isArray(value) ? value.length > 0 : true;
}

const RESPONSE_LIFECYCLE = new Set([
  "response.created",
  "response.queued",
  "response.in_progress",
  "response.output_item.added",
  "response.content_part.added",
]);
const RESPONSE_TERMINAL = new Set(["response.completed", "response.incomplete"]);

/** An event of the Responses API (OpenAI API reference, "Streaming events"). */
function kindOfResponseEvent(type: string, event: Readonly<Record<string, unknown>>): EventKind {
  const name = typeof event["type"] === "string" ? event["type"] : type;
  if (name === "error" || name === "response.failed") return "error";
  if (RESPONSE_TERMINAL.has(name)) return "last-content";
  return RESPONSE_LIFECYCLE.has(name) ? "lifecycle" : "content";
}

function errorTextOf(event: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(event["error"] ?? event).slice(0, 500);
}

const DATA_LINE = /^data/m;
/** OpenAI API reference, "Streaming events" of images, speech and transcriptions. A quote inside a text stands behind "\". */
const OPENING =
  /(?:^event: ?|")(?:image_(?:generation|edit)\.partial_image|speech\.audio\.delta|transcript\.text\.(?:delta|segment))(?:"|$)/m;
const CLOSING =
  /(?:^event: ?|")(?:image_(?:generation|edit)\.completed|speech\.audio\.done|transcript\.text\.done)(?:"|$)|^data: ?\[DONE\]/m;
const CHAT_WORDS =
  /"finish_reason"\s*:\s*"|"usage"\s*:\s*\{|"error"\s*:\s*["{]|"object"\s*:\s*"error"|"index"\s*:\s*[1-9]/;
const RESPONSE_WORDS =
  /"response\.(?:completed|incomplete|failed)"|"type"\s*:\s*"error"|^event: ?(?:error|response\.(?:completed|incomplete|failed))/m;

/** Whether a block may hold an event that is more than content. */
function isNotable(text: string, dialect: SseDialect): boolean {
  if (dialect === "responses") return RESPONSE_WORDS.test(text);
  return text.includes("[DONE]") || CHAT_WORDS.test(text);
}
