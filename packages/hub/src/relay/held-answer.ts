import type { ChannelError, Headers } from "../channels/channel.ts";
import type { Passed } from "./sse-reader.ts";
import type { Usage } from "./usage.ts";

/** Reads along a body that goes by. */
export interface AnswerReader {
  /** What of the chunk the client gets now. */
  push(chunk: Uint8Array): Passed;
  /** The body ended cleanly. */
  end(): Passed;
  /** `failed`: the engine told its failure in the body, and the client has it. */
  readonly state: "waiting" | "answering" | "terminated" | "failed";
  readonly usage: Usage | undefined;
}

/** An answer whose beginning is held back, ready to be given to the client. */
export interface HeldAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly form: "events" | "opaque";
  readonly held: readonly Uint8Array[];
  /** What still comes. Undefined: `held` is all that the client gets. */
  readonly rest: { readonly body: AsyncIterator<Uint8Array>; explain(thrown: unknown): ChannelError } | undefined;
  readonly reader: AnswerReader;
  /** The engine ended its answer. False: it still sends, as `rest` or for nobody. */
  readonly isEnded: boolean;
  /** What the engine said its length is. The client is told the same, so a short body is visible. */
  readonly length: number | undefined;
}
