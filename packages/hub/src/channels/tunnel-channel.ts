import {
  bridgeWebSocket,
  type HeaderPairs,
  type ResponseHead,
  type StreamOpening,
  TunnelError,
  type TunnelErrorCode,
  type TunnelStream,
} from "@tokilake/tunnel";
import type { WebSocket } from "ws";

import { AppError, type ErrorCode } from "../errors.ts";
import {
  type Channel,
  type ChannelAnswer,
  type ChannelConnection,
  ChannelError,
  type ChannelHandshake,
  type ChannelRequest,
  type JoinEnd,
  type JoinOptions,
  type RequestBody,
  type Retry,
  type SameAgain,
} from "./channel.ts";

/** A body above this is an upload: it gives way to interactive streams, and keeps off their session when it can. */
const BULK_BYTES = 1024 * 1024;

/** What the channel needs of a worker's sessions. */
export interface StreamOpener {
  open(opening: StreamOpening): TunnelStream;
}

/** Requests to one target of one connected worker. */
export class TunnelChannel implements Channel {
  readonly #session: StreamOpener;
  readonly #target: string;

  constructor(session: StreamOpener, target: string) {
    this.#session = session;
    this.#target = target;
  }

  async send(request: ChannelRequest, signal: AbortSignal): Promise<ChannelAnswer> {
    const exchange = new TunnelExchange(signal);
    try {
      const stream = this.#session.open(openingOf(request, this.#target));
      exchange.start(stream, request.body);
      return new TunnelAnswer(stream, await stream.head, exchange);
    } catch (thrown) {
      throw exchange.explain(thrown);
    }
  }

  async connect(request: ChannelHandshake, signal: AbortSignal): Promise<ChannelConnection> {
    const exchange = new TunnelExchange(signal);
    try {
      const stream = this.#session.open(handshakeOf(request, this.#target));
      exchange.watch(stream);
      const answer = new TunnelAnswer(stream, await stream.head, exchange);
      if (answer.status !== SWITCHING_PROTOCOLS) stream.end();
      return { answer, join: (socket, options) => join(stream, exchange, socket, options) };
    } catch (thrown) {
      throw exchange.explain(thrown);
    }
  }
}

const SWITCHING_PROTOCOLS = 101;

/** A class, as an object literal with a getter and three closures costs 0.5 µs. */
class TunnelAnswer implements ChannelAnswer {
  readonly status: number;
  readonly headers: HeaderPairs;
  readonly #stream: TunnelStream;
  readonly #exchange: TunnelExchange;
  #body: AsyncIterator<Uint8Array> | undefined;

  constructor(stream: TunnelStream, head: ResponseHead, exchange: TunnelExchange) {
    this.status = head.status;
    this.headers = head.headers;
    this.#stream = stream;
    this.#exchange = exchange;
  }

  /** Asked for when it is read: a body has one reader, and with a 101 that is the bridge. */
  get body(): AsyncIterator<Uint8Array> {
    return (this.#body ??= this.#stream.body[Symbol.asyncIterator]());
  }

  trailers(): Readonly<Record<string, unknown>> | undefined {
    return this.#stream.trailers;
  }

  explain(thrown: unknown): ChannelError {
    return this.#exchange.explain(thrown);
  }
}

async function join(
  stream: TunnelStream,
  exchange: TunnelExchange,
  socket: WebSocket,
  options: JoinOptions,
): Promise<JoinEnd> {
  const end = await bridgeWebSocket(socket, stream, {
    lostCode: "cancelled",
    closeFor: (error) => options.closeFor(exchange.explain(error).error),
    onMessage: (message) => options.onMessage(message),
    onPing: () => options.onPing(),
    onHeld: (bytes) => options.onHeld(bytes),
    onPaused: () => options.onPaused(),
  });
  return end.is === "failed" ? { is: "failed", failure: exchange.explain(end.error) } : { is: end.is };
}

/** One stream, and the reason why our side ended it, if it did. */
class TunnelExchange {
  readonly #signal: AbortSignal;
  #uploadFailure: unknown;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** The signal ends the stream. False: it has. */
  watch(stream: TunnelStream): boolean {
    const cancel = (): void => stream.reset(resetCodeOf(this.#signal.reason));
    if (this.#signal.aborted) cancel();
    else this.#signal.addEventListener("abort", cancel, { once: true });
    return !this.#signal.aborted;
  }

  start(stream: TunnelStream, body: RequestBody): void {
    if (!this.watch(stream)) return;
    if (sendsAtOnce(stream, body)) return body.onSent?.();
    const sent = sendPatiently(stream, body).then(() => body.onSent?.());
    void sent.catch((thrown: unknown) => {
      // The stream's own end reaches the reader through `head` and `body`. Anything else failed on the client's side.
      if (!(thrown instanceof TunnelError)) this.#uploadFailure = thrown;
      stream.reset("cancelled");
    });
  }

  explain(thrown: unknown): ChannelError {
    const ours = this.#signal.aborted ? this.#signal.reason : this.#uploadFailure;
    if (ours instanceof AppError)
      return new ChannelError(ours, { retry: retryOfOurs(ours), reason: ours.code, cause: thrown });
    if (thrown instanceof TunnelError) return channelErrorOf(thrown);
    return new ChannelError(new AppError("internal"), { retry: "never", reason: "internal", cause: ours ?? thrown });
  }
}

function openingOf(request: ChannelRequest, target: string): StreamOpening {
  const headers: HeaderPairs = request.headers;
  const opening = {
    requestId: request.requestId,
    target,
    method: "POST",
    path: request.path,
    query: request.query,
    headers,
    model: request.model,
    priority: isUpload(request.body) ? "bulk" : "interactive",
    deadlineMs: request.deadlineMs,
    connectTimeoutMs: request.connectMs,
  } as const;
  return request.body.length === undefined ? opening : { ...opening, bodyLength: request.body.length };
}

function handshakeOf(request: ChannelHandshake, target: string): StreamOpening {
  const { requestId, path, query, headers, model } = request;
  return {
    kind: "ws",
    requestId,
    target,
    method: "GET",
    path,
    query,
    headers,
    model,
    priority: "interactive",
    connectTimeoutMs: request.connectMs,
  };
}

function isUpload({ rest, length }: RequestBody): boolean {
  return rest !== undefined || (length !== undefined && length > BULK_BYTES);
}

/** The usual request: small and held in full. True when all of it was taken, so that no promise is needed. */
function sendsAtOnce(stream: TunnelStream, body: RequestBody): boolean {
  const only = body.held[0];
  if (body.rest !== undefined || body.held.length > 1) return false;
  // One chunk always fits: `write` takes it, and its answer speaks of the next one.
  if (only !== undefined) stream.write(only);
  stream.end();
  return true;
}

async function sendPatiently(stream: TunnelStream, body: RequestBody): Promise<void> {
  for (const chunk of body.held) await sendChunk(stream, chunk);
  for (;;) {
    if (stream.isStopped) return;
    const chunk = await body.rest?.();
    if (chunk === undefined) break;
    await sendChunk(stream, chunk);
  }
  stream.end();
}

async function sendChunk(stream: TunnelStream, chunk: Uint8Array): Promise<void> {
  if (!stream.write(chunk)) await stream.drained();
}

interface Meaning {
  readonly code: ErrorCode;
  readonly retry: Retry;
}

/** What each way a stream can end means to the client and to the relay. docs/errors.md has the same in words. */
const MEANINGS: Readonly<Record<TunnelErrorCode, Meaning>> = {
  "no-error": { code: "upstream_incomplete", retry: "unless-content" },
  cancelled: { code: "upstream_reset", retry: "unless-content" },
  refused: { code: "worker_busy", retry: "always" },
  "model-not-found": { code: "model_not_found", retry: "always" },
  "target-unreachable": { code: "upstream_unreachable", retry: "always" },
  "target-timeout-head": { code: "upstream_timeout", retry: "unless-content" },
  "target-timeout-idle": { code: "upstream_timeout", retry: "unless-content" },
  "target-reset": { code: "upstream_reset", retry: "unless-content" },
  "too-large": { code: "request_too_large", retry: "never" },
  "flow-control": { code: "tunnel_protocol", retry: "unless-content" },
  "slow-consumer": { code: "slow_consumer", retry: "never" },
  // Another owner may allow what this one does not, and nothing reached an engine.
  forbidden: { code: "not_allowed", retry: "always" },
  deadline: { code: "deadline", retry: "never" },
  "worker-lost": { code: "worker_lost", retry: "unless-content" },
  quota: { code: "insufficient_quota", retry: "never" },
  revoked: { code: "worker_lost", retry: "unless-content" },
  protocol: { code: "tunnel_protocol", retry: "unless-content" },
  internal: { code: "tunnel_protocol", retry: "unless-content" },
  abuse: { code: "tunnel_protocol", retry: "unless-content" },
  unsupported: { code: "tunnel_protocol", retry: "always" },
  "id-exhausted": { code: "tunnel_protocol", retry: "unless-content" },
  superseded: { code: "worker_lost", retry: "unless-content" },
  shutdown: { code: "worker_lost", retry: "unless-content" },
  idle: { code: "worker_lost", retry: "unless-content" },
  auth: { code: "worker_lost", retry: "unless-content" },
};

/** The worker sent a head or trailers over the limits. */
const ANSWER_TOO_LARGE: Meaning = { code: "upstream_error", retry: "unless-content" };

/** What the same words mean when the worker says them. */
const SAID_BY_WORKER: { readonly [code in TunnelErrorCode]?: Meaning } = {
  // Not our client: the engine took nothing of the request.
  "slow-consumer": { code: "upstream_timeout", retry: "unless-content" },
  // Only the hub knows of it, and a client must not believe that its money is gone.
  quota: { code: "tunnel_protocol", retry: "unless-content" },
};

/** A worker has several sessions, and slots that others take, too. */
const SAME_AGAIN: { readonly [code in TunnelErrorCode]?: SameAgain } = {
  "worker-lost": "another-way",
  superseded: "another-way",
  refused: "later",
};

/** Seconds a client should wait when a worker had no room. Slots free up with every finished answer. */
const BUSY_RETRY_AFTER_S = 2;

function channelErrorOf(error: TunnelError): ChannelError {
  const { code, retry } = meaningOf(error);
  const options = code === "worker_busy" ? { retryAfter: BUSY_RETRY_AFTER_S, cause: error } : { cause: error };
  const sameAgain = SAME_AGAIN[error.code];
  return new ChannelError(new AppError(code, undefined, options), {
    retry: error.retrySafe && retry !== "never" ? "always" : retry,
    reason: error.code,
    sameAgain,
    cause: error,
  });
}

function meaningOf(error: TunnelError): Meaning {
  if (error.code === "too-large" && error.isPeersFault) return ANSWER_TOO_LARGE;
  return (error.isLocal ? undefined : SAID_BY_WORKER[error.code]) ?? MEANINGS[error.code];
}

/** An attempt that the hub itself gave up. */
function retryOfOurs(error: AppError): Retry {
  return error.code === "upstream_timeout" || error.code === "worker_lost" ? "unless-content" : "never";
}

function resetCodeOf(reason: unknown): TunnelErrorCode {
  if (!(reason instanceof AppError)) return "cancelled";
  if (reason.code === "deadline" || reason.code === "upstream_timeout") return "deadline";
  if (reason.code === "slow_consumer") return "slow-consumer";
  if (reason.code === "invalid_api_key") return "revoked";
  return reason.code === "shutting_down" ? "shutdown" : "cancelled";
}
