import type { ClientRequest, IncomingMessage } from "node:http";

import { BRIDGED_WEBSOCKET_OPTIONS } from "@tokilake/tunnel";
import { WebSocket } from "ws";

import { ServeFailure } from "./serve-failure.ts";

export interface EngineSocketOptions {
  /** Scheme ws or wss. */
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** Subprotocols to offer. */
  readonly protocols: readonly string[];
  readonly connectTimeoutMs: number;
  /** From the connection to the engine's answer. */
  readonly handshakeTimeoutMs: number;
  readonly signal: AbortSignal;
}

/** `open` is paused: nothing is lost until somebody listens and resumes it. `refused`: any answer but 101. */
export type EngineSocket =
  | { readonly is: "open"; readonly socket: WebSocket }
  | { readonly is: "refused"; readonly response: IncomingMessage };

/**
 * Opens a WebSocket at an engine. An engine that takes none of the offered subprotocols is asked once more without them:
 * `ws` ends such a connection (RFC 6455 §4.1), and many engines ignore subprotocols.
 *
 * @throws ServeFailure, or the signal's reason.
 */
export async function openEngineSocket(options: EngineSocketOptions): Promise<EngineSocket> {
  const first = await new Dial(options).result;
  return first === "no-subprotocol" ? openEngineSocket({ ...options, protocols: [] }) : first;
}

/** `ws` has no error code for it. */
const NO_SUBPROTOCOL = "Server sent no subprotocol";

class Dial {
  readonly #options: EngineSocketOptions;
  readonly #socket: WebSocket;
  readonly #outcome = Promise.withResolvers<EngineSocket | "no-subprotocol">();
  #timer: NodeJS.Timeout | undefined;
  #isConnected = false;

  constructor(options: EngineSocketOptions) {
    this.#options = options;
    const { url, headers, protocols, signal } = options;
    signal.throwIfAborted();
    this.#socket = new WebSocket(url, [...protocols], {
      ...BRIDGED_WEBSOCKET_OPTIONS,
      followRedirects: false,
      headers,
      finishRequest: (request) => this.#watch(request),
    });
    this.#socket.on("error", (error) => this.#onError(error));
    this.#socket.on("unexpected-response", (_request, response) => this.#outcome.resolve({ is: "refused", response }));
    this.#socket.on("open", () => {
      this.#socket.pause();
      this.#outcome.resolve({ is: "open", socket: this.#socket });
    });
  }

  get result(): Promise<EngineSocket | "no-subprotocol"> {
    const { signal } = this.#options;
    const cancel = (): void => this.#giveUp(signal.reason);
    signal.addEventListener("abort", cancel, { once: true });
    return this.#outcome.promise.finally(() => {
      clearTimeout(this.#timer);
      signal.removeEventListener("abort", cancel);
    });
  }

  #watch(request: ClientRequest): void {
    this.#timer = setTimeout(() => this.#giveUp(unreachable("no connection in time")), this.#options.connectTimeoutMs);
    request.once("socket", (socket) => {
      socket.once(this.#options.url.protocol === "wss:" ? "secureConnect" : "connect", () => this.#onConnected());
    });
    request.end();
  }

  #onConnected(): void {
    this.#isConnected = true;
    clearTimeout(this.#timer);
    const late = new ServeFailure("target-timeout-head", "no answer to the WebSocket handshake in time");
    this.#timer = setTimeout(() => this.#giveUp(late), this.#options.handshakeTimeoutMs);
  }

  #onError(error: Error): void {
    if (error.message === NO_SUBPROTOCOL) this.#outcome.resolve("no-subprotocol");
    else if (!this.#isConnected) this.#outcome.reject(unreachable("cannot connect to the engine", error));
    else this.#outcome.reject(new ServeFailure("target-reset", "the WebSocket handshake failed", { cause: error }));
  }

  #giveUp(reason: unknown): void {
    this.#outcome.reject(reason);
    this.#socket.terminate();
  }
}

function unreachable(message: string, cause?: Error): ServeFailure {
  return new ServeFailure("target-unreachable", message, { cause, retrySafe: true });
}
