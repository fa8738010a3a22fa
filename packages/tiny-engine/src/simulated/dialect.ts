import type { AnswerPlan, TokenPart } from "./answer-plan.ts";

/** One event of a streamed answer: JSON, and the name that some APIs give it. */
export interface StreamEvent {
  readonly name?: string;
  readonly json: string;
}

/** How one API writes an answer. Strings only: what is sent when is decided elsewhere. */
export interface Dialect {
  readonly name: string;
  readonly framing: "sse" | "ndjson";
  /** Whether a stream ends with `data: [DONE]`. */
  readonly hasDone: boolean;
  /** Events before the first token. */
  opening(plan: AnswerPlan): readonly StreamEvent[];
  /** The event of one token. Depends on nothing but its arguments, so that it can be kept. */
  token(model: string, part: TokenPart, index: number): StreamEvent;
  /** A shorter form of `token`, for events that must be smaller than the usual one. */
  shortToken?(part: TokenPart, index: number): StreamEvent;
  /** Events after the last token. */
  closing(plan: AnswerPlan): readonly StreamEvent[];
  /** The event of an error in the middle of a stream. */
  error(message: string): StreamEvent;
  /** The answer that is not streamed. */
  whole(plan: AnswerPlan): object;
}

/** The bytes of an event. `index` picks the oddity of an odd one. */
export function renderEvent(event: StreamEvent, framing: Dialect["framing"], oddIndex?: number): string {
  if (framing === "ndjson") return `${event.json}\n`;
  if (oddIndex !== undefined) return renderOddEvent(event, oddIndex);
  return event.name === undefined ? `data: ${event.json}\n\n` : `event: ${event.name}\ndata: ${event.json}\n\n`;
}

/** Unusual, but allowed by the event stream format (WHATWG HTML, "Server-sent events"). */
function renderOddEvent(event: StreamEvent, index: number): string {
  const name = event.name === undefined ? "" : `event:${event.name}\r\n`;
  switch (index % 4) {
    case 0:
      return `: keep-alive\r\n\r\n${name}data:${event.json}\r\n\r\n`;
    case 1:
      return `${name}${linesOf(event.json)}\r\n`;
    case 2:
      return `${name}id: ${index}\nretry: 1000\nunknown: field\ndata: ${event.json}\n\n`;
    default:
      return `:\n: comment\n${name}data:  ${event.json}\n\n`;
  }
}

/** JSON over several data lines: a line feed is white space to JSON after a comma that is outside of strings. */
function linesOf(json: string): string {
  const breaks = json.replaceAll(/,"(?=[a-z_]+":)/g, ',\n"').split("\n");
  return breaks.map((line) => `data: ${line}\r\n`).join("");
}
