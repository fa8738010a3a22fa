import { latin1Of } from "../latin1.ts";
import type { AnswerReader } from "./held-answer.ts";
import type { Passed } from "./sse-reader.ts";
import { isRecord, parseJson, type Usage, usageOf } from "./usage.ts";

const NOTHING: Passed = { bytes: [], hasContent: false };

/** A body that is not looked into: audio, images, anything encoded. */
export class OpaqueReader implements AnswerReader {
  readonly usage = undefined;
  #state: "waiting" | "answering" | "terminated" = "waiting";

  get state(): "waiting" | "answering" | "terminated" {
    return this.#state;
  }

  push(chunk: Uint8Array): Passed {
    this.#state = "answering";
    return { bytes: [chunk], hasContent: chunk.length > 0 };
  }

  end(): Passed {
    this.#state = "terminated";
    return NOTHING;
  }
}

/** Bytes at the end of a long JSON answer that are looked at for its usage. */
const TAIL_BYTES = 2 * 1024;

/** A JSON answer that is too long to be held: its usage stands at its beginning or end, and its last byte closes it. */
export class LongJsonReader implements AnswerReader {
  #tail = "";
  #usage: Usage | undefined;
  #state: "answering" | "terminated" = "answering";

  get usage(): Usage | undefined {
    return this.#usage;
  }

  get state(): "answering" | "terminated" {
    return this.#state;
  }

  push(chunk: Uint8Array): Passed {
    const text = latin1Of(chunk.length > TAIL_BYTES ? chunk.subarray(chunk.length - TAIL_BYTES) : chunk);
    this.#tail = (this.#tail + text).slice(-TAIL_BYTES);
    return { bytes: [chunk], hasContent: true };
  }

  /** Looks at the answer's beginning. */
  readHead(bytes: Uint8Array): void {
    this.#usage = usageInText(latin1Of(bytes));
    this.push(bytes);
  }

  end(): Passed {
    this.#usage = usageInText(this.#tail) ?? this.#usage;
    if (CLOSED.test(this.#tail)) this.#state = "terminated";
    return NOTHING;
  }
}

/** A whole JSON answer, parsed already. */
export class ParsedJsonReader implements AnswerReader {
  readonly state = "terminated";
  readonly usage: Usage | undefined;

  constructor(usage: Usage | undefined) {
    this.usage = usage;
  }

  push(chunk: Uint8Array): Passed {
    return { bytes: [chunk], hasContent: true };
  }

  end(): Passed {
    return NOTHING;
  }
}

const CLOSED = /[}\]]\s*$/;
/** A usage object with at most one level inside, as all of them are. */
const USAGE = /"usage"\s*:\s*(\{(?:[^{}]|\{[^{}]*\})*\})/;

function usageInText(text: string): Usage | undefined {
  const found = USAGE.exec(text);
  const usage = found?.[1] === undefined ? undefined : parseJson(found[1]);
  return isRecord(usage) ? usageOf(usage) : undefined;
}
