import type { PassingMessage, WebSocketClose } from "@tokilake/tunnel";
import type { WebSocket } from "ws";

import type { AppError } from "../errors.ts";

/** Lower-case names and values, in order. */
export type Headers = readonly (readonly [name: string, value: string])[];

/** A request's body: what is held in memory, then what is still to come from the client. */
export interface RequestBody {
  /** Held bytes, sent first, and again on every retry. Must not be changed; replaced by none when nobody needs them. */
  held: readonly Uint8Array[];
  /** All bytes, when known beforehand. */
  readonly length: number | undefined;
  /** The next chunk behind `held`, undefined at the end. Absent when `held` is everything. Throws AppError. */
  readonly rest?: () => Promise<Uint8Array | undefined>;
  /** Called when the upstream has all that it takes of it. */
  readonly onSent?: () => void;
}

/** One request as an upstream gets it. */
export interface ChannelRequest {
  readonly requestId: string;
  readonly path: string;
  /** Without "?". */
  readonly query: string;
  readonly headers: Headers;
  /** The model's public name. */
  readonly model: string;
  readonly body: RequestBody;
  /** Milliseconds left for the whole request. */
  readonly deadlineMs: number;
  /** How long the engine may take to accept the connection, in milliseconds. */
  readonly connectMs: number;
}

/** An upstream's answer, while its body still comes. */
export interface ChannelAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** Single use. Ends cleanly only when the upstream ended its answer; what it throws goes to `explain`. */
  readonly body: AsyncIterator<Uint8Array>;
  /** What the upstream said behind the body. Known after its end. */
  trailers(): Readonly<Record<string, unknown>> | undefined;
  /** What the body threw, as an error for the caller. */
  explain(thrown: unknown): ChannelError;
}

/**
 * Whether another upstream may be asked. `always`: it is proven that the engine saw nothing of the request. `unless-content`:
 * the engine may have worked on it, so asking again is a choice. `never`: the next one would say the same.
 */
export type Retry = "always" | "unless-content" | "never";

/** Why the same upstream may do better: `another-way`: one of several ways to it was lost; `later`: it had no room. */
export type SameAgain = "another-way" | "later";

/** An upstream that failed. `error` is for the client; the message is for the log and may name machines. */
export class ChannelError extends Error {
  override readonly name = "ChannelError";
  readonly error: AppError;
  readonly retry: Retry;
  /** For metrics: the upstream's own word, such as the tunnel's error code. */
  readonly reason: string;
  /** Undefined: asking the same upstream is of no use. */
  readonly sameAgain: SameAgain | undefined;

  constructor(error: AppError, options: ChannelErrorOptions) {
    super(`${options.reason}: ${error.message}`, { cause: options.cause });
    this.error = error;
    this.retry = options.retry;
    this.reason = options.reason;
    this.sameAgain = options.sameAgain;
  }
}

export interface ChannelErrorOptions {
  readonly retry: Retry;
  readonly reason: string;
  readonly sameAgain?: SameAgain | undefined;
  readonly cause?: unknown;
}

/** A WebSocket handshake as an upstream gets it. */
export type ChannelHandshake = Pick<ChannelRequest, "requestId" | "path" | "query" | "headers" | "model" | "connectMs">;

/** An upstream's answer to a handshake. With any status but 101 it is an ordinary one, and must not be joined. */
export interface ChannelConnection {
  readonly answer: ChannelAnswer;
  /** Passes messages between `socket` and the upstream until both are closed. Owns the socket from here. Never rejects. */
  join(socket: WebSocket, options: JoinOptions): Promise<JoinEnd>;
}

export interface JoinOptions {
  /** How the socket is closed when the upstream fails, or the signal ends it all. */
  closeFor(error: AppError): WebSocketClose;
  onMessage(message: PassingMessage): void;
  /** The socket's peer sent a ping. */
  onPing(): void;
  /** How many bytes of messages wait now, both ways. */
  onHeld(bytes: number): void;
  /** The socket is not read for now: the upstream takes no more. */
  onPaused(): void;
}

/** `closed`: in order, by either side. `lost`: the socket went without a close. `failed`: the upstream did. */
export type JoinEnd = { readonly is: "closed" | "lost" } | { readonly is: "failed"; readonly failure: ChannelError };

/** A way to reach one upstream. The only thing the relay knows of workers and providers. */
export interface Channel {
  /**
   * Asks the upstream. Resolves with the answer's head.
   *
   * Aborting `signal` frees the upstream at once, before and after the head; its reason must be an `AppError`.
   *
   * @throws ChannelError
   */
  send(request: ChannelRequest, signal: AbortSignal): Promise<ChannelAnswer>;

  /**
   * Opens a WebSocket at the upstream. `signal` as for `send`; after a 101 it also ends what was joined.
   *
   * @throws ChannelError
   */
  connect(request: ChannelHandshake, signal: AbortSignal): Promise<ChannelConnection>;
}
