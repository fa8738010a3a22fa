/** Ways of answering. "silent" gives one chunk and stays open, "bulk" never ends. */
export type AnswerKind = "whole" | "paced" | "flat-out" | "silent" | "bulk";

/** What an answer is asked for with. */
export interface AnswerRequest {
  readonly kind: AnswerKind;
  /** Chunks of a paced or flat out stream. */
  readonly chunks: number;
}

/** A request of 1 KB. */
export function answerBody(kind: AnswerKind, chunks = 500): string {
  const body = (text: string) => JSON.stringify({ kind, chunks, text } satisfies AnswerRequest & { text: string });
  return body("x".repeat(1024 - body("").length));
}

/** Where an answer goes: a stream of the tunnel, or an HTTP response. */
export interface AnswerSink {
  /** False: wait for `drained` before the next write. */
  write(bytes: Uint8Array): boolean;
  /** Rejects when nobody is there any more. */
  drained(): Promise<void>;
  end(): void;
  /** Nobody is there any more. */
  readonly isOver: boolean;
}

/** A whole answer of 1 KB. */
const WHOLE_ANSWER = Buffer.from(`{"answer":"${"The quick brown fox. ".repeat(60)}`.slice(0, 1022) + '"}');
/** One server-sent event of 100 bytes. */
const CHUNK = Buffer.from(`data: {"token":"0","text":"${"x".repeat(100)}`.slice(0, 96) + '"}\n\n');
/** Between two chunks of a paced stream. */
export const PACE_MS = 20;
/** One write of a bulk answer. */
const BULK_PIECE = Buffer.alloc(64 * 1024, "bulk");

/** Status is always 200. */
export function headersOf({ kind }: AnswerRequest): [name: string, value: string][] {
  if (kind === "whole") return [["content-length", String(WHOLE_ANSWER.length)]];
  return [["content-type", "text/event-stream"]];
}

/**
 * Answers without an engine, in whatever process it is called: the worker behind the tunnel and the server that the
 * tunnel is compared with give the same bytes in the same rhythm.
 */
export function answer(request: AnswerRequest, sink: AnswerSink): void {
  switch (request.kind) {
    case "whole":
      sink.write(WHOLE_ANSWER);
      sink.end();
      return;
    case "paced":
      return pace(request.chunks, sink);
    case "flat-out":
      return flatOut.add(sink, request.chunks);
    case "silent":
      sink.write(CHUNK);
      return;
    case "bulk":
      // Fails when the reader has enough.
      void pour(sink).catch(() => {});
  }
}

function pace(count: number, sink: AnswerSink): void {
  let left = count;
  const timer = setInterval(() => {
    if (!sink.isOver) sink.write(CHUNK);
    left -= 1;
    if (left > 0 && !sink.isOver) return;
    clearInterval(timer);
    sink.end();
  }, PACE_MS);
}

async function pour(sink: AnswerSink): Promise<void> {
  while (!sink.isOver) if (!sink.write(BULK_PIECE)) await sink.drained();
}

/** Streams that get a chunk whenever this process comes round, at most one in a millisecond, and none while they are full. */
class FlatOut {
  readonly #left = new Map<AnswerSink, number>();
  #isRunning = false;

  add(sink: AnswerSink, chunks: number): void {
    this.#left.set(sink, chunks);
    if (this.#isRunning) return;
    this.#isRunning = true;
    setTimeout(() => this.#round(), 1);
  }

  #round(): void {
    for (const [sink, left] of this.#left) this.#writeTo(sink, left);
    this.#isRunning = this.#left.size > 0;
    if (this.#isRunning) setTimeout(() => this.#round(), 1);
  }

  #writeTo(sink: AnswerSink, left: number): void {
    const isFull = !sink.isOver && !sink.write(CHUNK);
    if (left <= 1 || sink.isOver) {
      this.#left.delete(sink);
      sink.end();
    } else if (isFull) {
      this.#left.delete(sink);
      // Fails when nobody is there any more.
      sink.drained().then(
        () => this.add(sink, left - 1),
        () => {},
      );
    } else this.#left.set(sink, left - 1);
  }
}

const flatOut = new FlatOut();
