import type { LlamaContextSequence, Token } from "node-llama-cpp";

import { CONTEXT_LENGTH } from "./context-length.ts";
import { StopScanner } from "./stop-scanner.ts";
import type { TinyModel } from "./tiny-model.ts";

/** What to generate from what, and how. */
export interface GenerationRequest {
  readonly prompt: readonly Token[];
  /** Undefined: until the model ends or the context is full. */
  readonly maxTokens: number | undefined;
  readonly stops: readonly string[];
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  /** The same seed gives the same answer to the same prompt. */
  readonly seed: number;
  /** Goes on where the model would end; for long answers in tests. */
  readonly ignoresEnd: boolean;
  /** Whether white space at the beginning of the answer is left out. */
  readonly trimsStart: boolean;
}

/** How an answer ended. */
export interface GenerationEnd {
  readonly reason: "stop" | "length";
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Time for the prompt and the first token, and for the others. */
  readonly promptMs: number;
  readonly outputMs: number;
}

/**
 * Generates token by token, and hands out text as soon as it cannot be part of a stop string or of a cut character.
 *
 * @throws The signal's reason within a token of its abort.
 */
export async function generate(
  model: TinyModel,
  sequence: LlamaContextSequence,
  request: GenerationRequest,
  output: { onText(text: string): Promise<void> | void; readonly signal: AbortSignal },
): Promise<GenerationEnd> {
  const text = new TextOfTokens(model, request);
  const startedMs = performance.now();
  let firstMs: number | undefined;
  let outputTokens = 0;
  let reason: GenerationEnd["reason"] = "stop";
  const limit = Math.min(request.maxTokens ?? Infinity, CONTEXT_LENGTH - request.prompt.length - 1);
  for await (const token of sequence.evaluate([...request.prompt], samplingOf(request))) {
    output.signal.throwIfAborted();
    firstMs ??= performance.now();
    if (!request.ignoresEnd && model.isEnd(token)) break;
    outputTokens += 1;
    const { piece, isStopped } = text.push(token);
    if (piece !== "") await output.onText(piece);
    if (isStopped) break;
    if (outputTokens >= limit) {
      reason = "length";
      break;
    }
  }
  const rest = text.end();
  if (rest !== "") await output.onText(rest);
  const endedMs = performance.now();
  const promptMs = (firstMs ?? endedMs) - startedMs;
  const outputMs = endedMs - (firstMs ?? endedMs);
  return { reason, inputTokens: request.prompt.length, outputTokens, promptMs, outputMs };
}

function samplingOf(request: GenerationRequest) {
  const { temperature, topP, topK, seed } = request;
  return { temperature, topP, topK, seed, yieldEogToken: true };
}

/** Tokens that may still belong to one character. A character has four bytes at most. */
const MAX_HELD_TOKENS = 4;
/** Tokens before the new ones that the text of the new ones depends on (a leading space). */
const TOKENS_BEFORE = 8;

/** Makes text of tokens: whole characters only, up to a stop string. */
class TextOfTokens {
  readonly #model: TinyModel;
  readonly #scanner: StopScanner;
  readonly #before: Token[];
  #held: Token[] = [];
  #trimsNext: boolean;
  #isStopped = false;

  constructor(model: TinyModel, request: GenerationRequest) {
    this.#model = model;
    this.#scanner = new StopScanner(request.stops);
    this.#before = request.prompt.slice(-TOKENS_BEFORE);
    this.#trimsNext = request.trimsStart;
  }

  push(token: Token): { piece: string; isStopped: boolean } {
    this.#held.push(token);
    const text = this.#model.textOf(this.#held, this.#before);
    if (text.endsWith("\uFFFD") && this.#held.length < MAX_HELD_TOKENS) return { piece: "", isStopped: false };
    this.#before.push(...this.#held);
    this.#before.splice(0, this.#before.length - TOKENS_BEFORE);
    this.#held = [];
    const { text: piece, isStopped } = this.#scanner.push(this.#trimmed(text));
    this.#isStopped = isStopped;
    return { piece, isStopped };
  }

  end(): string {
    return this.#isStopped ? "" : this.#scanner.end();
  }

  #trimmed(text: string): string {
    if (!this.#trimsNext) return text;
    const trimmed = text.trimStart();
    this.#trimsNext = trimmed === "";
    return trimmed;
  }
}
