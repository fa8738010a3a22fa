import type { TunnelErrorCode } from "./tunnel-error.ts";

/** Header names (lower-case tokens) and values (no CR, LF or NUL). Order and duplicates survive. Validated at both ends. */
export type HeaderPairs = readonly (readonly [name: string, value: string])[];

/** What the opener asks for: the head of one request. */
export interface StreamOpening {
  /**
   * "ws": a WebSocket handshake. After a head with status 101 both bodies are messages (`bridgeWebSocket`); after any other
   * it is an ordinary answer. Absent: "http".
   */
  readonly kind?: "http" | "ws";
  readonly requestId: string;
  /** Name of a target that the worker registered. Never a URL. */
  readonly target: string;
  readonly method: string;
  /** "/v1/chat/completions": starts with "/", no control characters. Which paths are allowed is the worker's decision. */
  readonly path: string;
  /** Without "?"; "" when there is none. */
  readonly query: string;
  readonly headers: HeaderPairs;
  /** Bytes of the request body, when known. */
  readonly bodyLength?: number;
  /** The model's public name. */
  readonly model?: string;
  readonly priority: "interactive" | "bulk";
  /** Milliseconds left for the whole request. A duration, as the two clocks differ. */
  readonly deadlineMs?: number;
  /** How long the acceptor may take to reach its backend, in milliseconds. */
  readonly connectTimeoutMs?: number;
  /** W3C traceparent. */
  readonly traceparent?: string;
}

export interface ResponseHead {
  readonly status: number;
  readonly headers: HeaderPairs;
}

export interface ResetOptions {
  /** Nothing of the request reached the engine. */
  readonly retrySafe?: boolean;
  readonly backendCancelled?: boolean;
  /** For the other side's logs, at most 256 bytes. */
  readonly message?: string;
}

/**
 * One request on a session, seen from either end. Body bytes count as consumed (and the peer may send more) when the
 * reader asks for the NEXT chunk.
 */
export interface TunnelStream {
  readonly id: number;
  readonly opening: StreamOpening;
  /** Opener: settles with the final response head, rejects with TunnelError. A rejection that nobody awaits does not crash. */
  readonly head: Promise<ResponseHead>;
  /**
   * The other side's bytes. Single use. Ends cleanly only when the peer ended its direction. `return()` while a `next()`
   * is pending settles both at once. A reset makes `next()` throw TunnelError at once and drops what was queued. After
   * `return()` further bytes are dropped and the peer is told to stop.
   */
  readonly body: AsyncIterable<Uint8Array>;
  /** JSON object of the peer's TRAILERS; known after `body` ended. */
  readonly trailers: Readonly<Record<string, unknown>> | undefined;
  /** Aborted with a TunnelError when the stream ends early for whatever reason. Created on first use. */
  readonly signal: AbortSignal;
  /** The peer does not want more of our bytes: `write` drops them. */
  readonly isStopped: boolean;
  /** Acceptor, once. @throws TunnelError when the head is invalid or came twice. After the stream's end it does nothing. */
  respond(head: ResponseHead): void;
  /** Takes over `bytes`: the caller must not change them afterwards. False: wait for `drained()` before the next write. */
  write(bytes: Uint8Array): boolean;
  /** Resolves when there is room again or the peer stopped us; rejects with TunnelError when the stream ended early. */
  drained(): Promise<void>;
  /** Our direction is complete. `trailers` is a small JSON object (16 KiB). */
  end(trailers?: Readonly<Record<string, unknown>>): void;
  /**
   * Tells the peer that we do not want more of its bytes. What waits and what still comes is dropped. `body` then ends
   * without an error: whoever stops must not take that for the peer's end.
   */
  stop(code: TunnelErrorCode): void;
  /** Ends both directions at once, and drops what `body` still holds. Does nothing when all is over and read. */
  reset(code: TunnelErrorCode, options?: ResetOptions): void;
}
