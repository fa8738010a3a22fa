import type { WebSocket } from "ws";

import type { Hold } from "../billing/admission.ts";
import type { ChannelConnection, ChannelHandshake } from "../channels/channel.ts";
import { timeoutsFor } from "../config.ts";
import { AppError, type ErrorCode, toAppError } from "../errors.ts";
import { authenticate } from "../http/authenticate.ts";
import type { HandshakeExchange } from "../http/websocket-door.ts";
import { attemptConnection } from "./attempt.ts";
import { Deadline } from "./deadline.ts";
import { firstGoodAnswer } from "./first-good-answer.ts";
import { chooseProtocol, type Handshake, readHandshake } from "./handshake.ts";
import { headersForHandshake, headerOf } from "./headers.ts";
import { MessageMemory } from "./message-memory.ts";
import { pump, workerHeader } from "./pump.ts";
import { RealtimeMeter } from "./realtime-meter.ts";
import { admit, enter, type RelayDeps, settle } from "./relay.ts";
import { Run } from "./run.ts";

/** The engine's answer to a handshake. Its worker waits 10 s for it. */
const HANDSHAKE_MS = 15_000;
/** Without a message in either direction, or a ping of the client. */
export const WEBSOCKET_IDLE_MS = 10 * 60_000;
/** Keeps proxies from closing a quiet connection, and finds clients that vanished. */
const PING_EVERY_MS = 15_000;
/**
 * A client that is held back is not read, and its FIN stands behind what it sent. Only a write tells that it is gone: its
 * machine answers the first ping with a reset, so the second one fails.
 */
const PING_HELD_EVERY_MS = 100;

/**
 * One WebSocket's journey: identify, admit, route, attempt, commit (the 101), pass messages, settle.
 *
 * @throws AppError until the 101; the door answers it. After it the WebSocket's close tells the failure.
 */
export async function relayWebSocket(deps: RelayDeps, path: string, exchange: HandshakeExchange): Promise<void> {
  const run = new Run({ method: "GET", path, dialect: "plain" }, exchange.reply, deps.now());
  exchange.reply.onGone(() => run.cancel(new AppError("client_closed")));
  try {
    const handshake = readHandshake(exchange.request.headers);
    const principal = authenticate(deps, exchange.request, handshake.authorization);
    run.principal = principal;
    enter(deps, run);
    const model = modelOf(exchange.query);
    run.view = { ...NO_BODY, model };
    const hold = admit(deps, run, { principal, model, maxTokens: undefined });
    await connect(deps, { run, hold, handshake, exchange, model });
  } catch (thrown) {
    run.failed(toAppError(thrown));
    throw thrown;
  } finally {
    settle(deps, run);
  }
}

const NO_BODY = {
  isStreamed: true,
  maxTokens: undefined,
  hidesUsage: false,
  contentType: "",
  body: { held: [], length: 0 },
} as const;

interface Journey {
  readonly run: Run;
  readonly hold: Hold;
  readonly handshake: Handshake;
  readonly exchange: HandshakeExchange;
  readonly model: string;
}

async function connect(deps: RelayDeps, journey: Journey): Promise<void> {
  const { run, hold, exchange, handshake, model } = journey;
  const { connectMs, idleMs, totalMs } = timeoutsFor(deps.config, model);
  const deadline = new Deadline(totalMs, (error) =>
    error.code === "upstream_timeout" ? run.giveUp(error) : run.cancel(error),
  );
  const request: ChannelHandshake = {
    requestId: run.requestId,
    path: run.operation.path,
    query: exchange.query,
    headers: headersForHandshake(exchange.request.headers, handshake.protocols, run.requestId),
    model,
    connectMs,
  };
  try {
    const good = await firstGoodAnswer(deps, {
      run,
      hold,
      model,
      deadline,
      firstTokenMs: HANDSHAKE_MS,
      ask: (target, signal) => attemptConnection(target, request, signal),
      isBodySpent: () => false,
    });
    if (!("join" in good)) {
      if (!(await pump(good, { run, deadline, idleMs }))) run.giveUp(new AppError("client_closed"));
      return;
    }
    deadline.stop();
    await converse(deps, good, journey);
  } catch (thrown) {
    run.giveUp(toAppError(thrown));
    throw thrown;
  } finally {
    deadline.stop();
    run.releaseSlot(deps.dispatcher);
  }
}

/** From the 101 to the close. */
async function converse(
  deps: RelayDeps,
  connection: ChannelConnection,
  { run, exchange, handshake }: Journey,
): Promise<void> {
  run.throwIfCancelled();
  const chosen = headerOf(connection.answer.headers, "sec-websocket-protocol");
  const memory = new MessageMemory(deps.memory, {
    onFull: (error) => run.cancel(error),
    onSlow: (error) => run.cancel(error),
  });
  const socket = exchange.accept({
    protocol: chooseProtocol(handshake.protocols, chosen),
    headers: [`x-request-id: ${run.requestId}`, `x-tokilake-worker: ${workerHeader(run)}`],
    onBytes: (count) => memory.arrived(count),
  });
  run.firstByteAt = performance.now();
  const meter = new RealtimeMeter();
  run.meter = meter;
  run.usage = () => meter.usage;
  const idle = new Deadline(Infinity, (error) => run.cancel(error));
  idle.expect(WEBSOCKET_IDLE_MS, () => new AppError("request_timeout", "Nothing was said for 10 minutes."));
  const pings = new Pings(socket);
  socket.on("pong", (payload) => memory.passedControl(payload.length));
  socket.on("ping", (payload) => memory.passedControl(payload.length));
  const end = await connection.join(socket, {
    closeFor: (error) => ({ code: CLOSE_CODES[error.code] ?? INTERNAL_ERROR, reason: error.message }),
    onMessage: (message) => {
      idle.touch();
      if (message.isFromSocket) memory.completed();
      meter.count(message);
    },
    onPing: () => idle.touch(),
    onHeld: (bytes) => memory.waits(bytes),
    onPaused: () => pings.hurry(),
  });
  pings.stop();
  idle.stop();
  memory.release();
  if (end.is === "lost") run.failed(new AppError("client_closed"));
  if (end.is === "failed") run.failed(end.failure.error);
}

/** Asks now and then whether the client is there, and often while it is held back. */
class Pings {
  readonly #socket: WebSocket;
  readonly #usual: NodeJS.Timeout;
  #hurried: NodeJS.Timeout | undefined;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    this.#usual = setInterval(() => this.#ping(), PING_EVERY_MS);
  }

  /** Until the client is read again. */
  hurry(): void {
    this.#hurried ??= setInterval(() => {
      if (this.#socket.isPaused) return this.#ping();
      clearInterval(this.#hurried);
      this.#hurried = undefined;
    }, PING_HELD_EVERY_MS);
  }

  stop(): void {
    clearInterval(this.#usual);
    clearInterval(this.#hurried);
  }

  #ping(): void {
    // Behind bytes that wait, a ping would only wait, too. A client that goes away then resets the connection itself.
    if (this.#socket.bufferedAmount === 0) this.#socket.ping();
  }
}

/** RFC 6455 §7.4.1. Everything else is 1011: what failed must never look like a good end. */
const INTERNAL_ERROR = 1011;
const CLOSE_CODES: { readonly [code in ErrorCode]?: number } = {
  shutting_down: 1001,
  // "Try again later", of the IANA registry.
  overloaded: 1013,
  request_timeout: 1001,
  invalid_api_key: 1008,
  account_deactivated: 1008,
  not_a_member: 1008,
  insufficient_quota: 1008,
};

const MAX_MODEL_BYTES = 256;

function modelOf(query: string): string {
  const model = new URLSearchParams(query).get("model") ?? "";
  if (model === "") {
    throw new AppError("missing_required_parameter", "Name the model in the address: ?model=…", { param: "model" });
  }
  if (Buffer.byteLength(model) > MAX_MODEL_BYTES) {
    throw new AppError("invalid_request", `The model's name is longer than ${MAX_MODEL_BYTES} bytes.`, {
      param: "model",
    });
  }
  return model;
}
