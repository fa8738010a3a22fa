import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";

import { type AnswerPlan, partOf } from "./answer-plan.ts";
import { type Dialect, renderEvent, type StreamEvent } from "./dialect.ts";
import type { Paced, Pacer } from "./pacer.ts";
import type { RecordedRequest } from "./request-record.ts";
import { type TokenChunkCache, type TokenChunks, toWireChunk, type WireChunk } from "./wire-chunk.ts";

/** What a streamed answer needs from the engine. */
export interface StreamedAnswerOptions {
  readonly response: ServerResponse;
  readonly dialect: Dialect;
  readonly plan: AnswerPlan;
  readonly chunks: TokenChunkCache;
  readonly pacer: Pacer;
  readonly record: RecordedRequest;
  /** Called before the engine itself breaks the answer off. */
  onCut(): void;
}

/** Tokens written in one go when there is no pace; then other streams have their turn. */
const BURST_TOKENS = 64;

/**
 * One streamed answer on its way: opening events, tokens at their pace, closing events, and the fault that was asked
 * for. Waits while the client does not read, so it never holds more than the socket's own buffer and one burst.
 *
 * Chunks are framed beforehand and written to the socket, past `response.write`: that halves the cost of a token.
 * The head, the end of the body and the connection's next request stay with `response`.
 */
export class StreamedAnswer implements Paced {
  dueMs = 0;
  nextPaced: Paced | undefined;
  readonly #options: StreamedAnswerOptions;
  readonly #socket: Socket;
  readonly #isChunked: boolean;
  readonly #intervalMs: number;
  /** Number of tokens after which something other than a token happens. */
  readonly #lastToken: number;
  readonly #tokens: TokenChunks;
  readonly #reasoning: TokenChunks;
  #next = 0;
  #isHeadSent = false;
  #isOver = false;
  /** Bytes of the current piece that still go out one by one. */
  #singles: Buffer | undefined;

  /** @param socket The response's own, now that the response is the first in line on its connection. */
  constructor(options: StreamedAnswerOptions, socket: Socket) {
    this.#options = options;
    this.#socket = socket;
    const { dialect, plan, chunks, response } = options;
    const { behaviour, model } = plan;
    this.#isChunked = response.req.httpVersion === "1.1";
    this.#intervalMs = behaviour.intervalMs ?? 0;
    this.#lastToken = lastTokenOf(plan);
    const kind = { dialect, model, chunkBytes: behaviour.chunkBytes, isOdd: behaviour.oddSse === true };
    this.#tokens = chunks.of({ ...kind, part: partOf(plan, plan.reasoningTokens) });
    this.#reasoning = plan.reasoningTokens > 0 ? chunks.of({ ...kind, part: "reasoning" }) : this.#tokens;
    response.on("close", () => {
      this.#isOver = true;
    });
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Starts, or waits for its head's time. */
  start(): void {
    const headMs = this.#options.plan.behaviour.headMs ?? 0;
    if (headMs > 0) this.#options.pacer.schedule(this, this.#options.pacer.now() + headMs);
    else this.step();
  }

  /** Does what is due: the head, a token, the end. */
  step(): void {
    if (!this.#isHeadSent) this.#sendHead();
    else if (this.#next >= this.#lastToken) this.#finish();
    else if (this.#intervalMs > 0) this.#sendPacedToken();
    else this.#sendBurst();
  }

  #sendHead(): void {
    const { response, plan, dialect, pacer } = this.#options;
    const { behaviour } = plan;
    if (this.#faultPlace() === -1) return this.#breakOff();
    const contentType = dialect.framing === "sse" ? "text/event-stream; charset=utf-8" : "application/x-ndjson";
    this.#isHeadSent = true;
    this.#socket.cork();
    response.writeHead(behaviour.status ?? 200, { "content-type": contentType, "cache-control": "no-cache" });
    response.flushHeaders();
    const opening = this.#render(dialect.opening(plan), 0);
    if (opening !== undefined) this.#write(opening);
    this.#socket.uncork();
    if ((behaviour.firstTokenMs ?? 0) > 0) pacer.schedule(this, pacer.now() + (behaviour.firstTokenMs ?? 0));
    else this.#sendFirstToken(pacer.now());
  }

  /** At once, not at the pacer's next tick: the time to the first token is measured through this engine. */
  #sendFirstToken(nowMs: number): void {
    this.dueMs = nowMs;
    if (this.#singles === undefined) this.step();
    else this.#continue(nowMs);
  }

  #sendPacedToken(): void {
    this.#sendToken();
    const due = this.dueMs + this.#intervalMs;
    const now = this.#options.pacer.now();
    // A stream that fell behind goes on from now: catching up would send tokens in one burst, which is no pace.
    this.#continue(due < now - this.#intervalMs ? now : due);
  }

  #sendBurst(): void {
    this.#socket.cork();
    const end = Math.min(this.#lastToken, this.#next + BURST_TOKENS);
    while (this.#next < end && this.#singles === undefined && !this.#socket.writableNeedDrain) this.#sendToken();
    this.#socket.uncork();
    this.#continue(0);
  }

  #sendToken(): void {
    const index = this.#next;
    this.#next = index + 1;
    this.#options.record.tokensSent = this.#next;
    this.#write((index < this.#options.plan.reasoningTokens ? this.#reasoning : this.#tokens).at(index));
  }

  #write(chunk: WireChunk): void {
    if (this.#options.plan.behaviour.byteAtATime === true) {
      this.#singles = this.#singles === undefined ? chunk.payload : Buffer.concat([this.#singles, chunk.payload]);
      return;
    }
    this.#socket.write(this.#isChunked ? chunk.wire : chunk.payload);
  }

  /** Goes on with `step` at `dueMs` (0: at once), but not before the client has taken what was written. */
  #continue(dueMs: number): void {
    if (this.#singles !== undefined) return this.#sendSingles(() => this.#continue(dueMs));
    if (this.#socket.writableNeedDrain) {
      this.#socket.once("drain", () => this.#continue(dueMs));
      return;
    }
    if (this.#isOver) return;
    if (this.#next >= this.#lastToken) return this.#finish();
    if (this.#intervalMs > 0) this.#options.pacer.schedule(this, dueMs);
    else setImmediate(() => this.#isOver || this.step());
  }

  #sendSingles(then: () => void): void {
    const bytes = this.#singles;
    if (bytes === undefined) return then();
    let sent = 0;
    const sendOne = () => {
      if (this.#isOver) return;
      const byte = bytes.subarray(sent, sent + 1);
      this.#socket.write(this.#isChunked ? Buffer.concat([ONE_BYTE, byte, CRLF]) : byte);
      sent += 1;
      if (sent < bytes.length) {
        setImmediate(sendOne);
        return;
      }
      this.#singles = undefined;
      then();
    };
    sendOne();
  }

  #finish(): void {
    if (this.#faultPlace() !== undefined) return this.#breakOff();
    const { dialect, plan, response } = this.#options;
    const { behaviour } = plan;
    if (this.#next < plan.tokens || behaviour.errorMidStream === plan.tokens) {
      const event = this.#render([dialect.error("The engine failed in the middle of the answer.")], this.#next);
      if (event !== undefined) this.#write(event);
    } else {
      const done = dialect.hasDone && behaviour.noDone !== true ? "data: [DONE]\n\n" : "";
      const closing = this.#render(dialect.closing(plan), this.#next, done);
      if (closing !== undefined) this.#write(closing);
    }
    this.#sendSingles(() => response.end());
  }

  /** Silence, the end of the connection or its reset. */
  #breakOff(): void {
    const { behaviour } = this.#options.plan;
    const isAt = (place: number | undefined) => place !== undefined && place === this.#faultPlace();
    if (isAt(behaviour.stallAfter)) {
      // The head of a stalled answer has been sent; what follows is nothing, until the client goes away.
      return;
    }
    this.#options.onCut();
    this.#isOver = true;
    if (isAt(behaviour.resetAfter)) this.#socket.resetAndDestroy();
    else this.#socket.destroySoon();
  }

  /** Where the connection breaks or falls silent; undefined when it does not, or an error event comes first. */
  #faultPlace(): number | undefined {
    const place = firstFault(this.#options.plan);
    return place === undefined || place > this.#lastToken ? undefined : place;
  }

  #render(events: readonly StreamEvent[], oddIndex: number, last = ""): WireChunk | undefined {
    const { dialect, plan } = this.#options;
    const odd = (offset: number) => (plan.behaviour.oddSse === true ? oddIndex + offset : undefined);
    const text = events.map((event, offset) => renderEvent(event, dialect.framing, odd(offset))).join("") + last;
    // A chunk of no bytes would be the end of a chunked body.
    return text === "" ? undefined : toWireChunk(text);
  }
}

const ONE_BYTE = Buffer.from("1\r\n");
const CRLF = Buffer.from("\r\n");

/** Tokens after which an answer breaks off, falls silent or is reset; -1: before the head. */
export function firstFault(plan: AnswerPlan): number | undefined {
  const { cutAfter, resetAfter, stallAfter } = plan.behaviour;
  const places = [cutAfter, resetAfter, stallAfter].filter((place) => place !== undefined);
  return places.length === 0 ? undefined : Math.min(...places);
}

function lastTokenOf(plan: AnswerPlan): number {
  const error = plan.behaviour.errorMidStream ?? plan.tokens;
  return Math.max(0, Math.min(plan.tokens, error, firstFault(plan) ?? plan.tokens));
}
