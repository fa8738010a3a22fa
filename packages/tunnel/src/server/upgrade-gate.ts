import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

import { type WebSocket, WebSocketServer } from "ws";

import { SUBPROTOCOL, V1_SUBPROTOCOL, WEBSOCKET_OPTIONS } from "../carrier/websocket-carrier.ts";
import type { TunnelLimits } from "../limits.ts";
import type { TunnelLog } from "../tunnel-log.ts";
import { TunnelRefusal } from "../tunnel-refusal.ts";
import { answerUpgrade, type UpgradeAnswer } from "./upgrade-answer.ts";
import { bearerToken, v1Token } from "./worker-token.ts";

export interface UpgradeGateOptions<I> {
  readonly limits: TunnelLimits;
  readonly log: TunnelLog;
  /** A client that offers nothing speaks version 1. */
  readonly allowNoSubprotocol: boolean;
  authenticate(bearer: string | undefined, request: IncomingMessage): Promise<I> | I;
  /** Connections that exist already. */
  linkCounts(): { readonly sessions: number; readonly pending: number };
  isClosed(): boolean;
  onSocket(socket: WebSocket, identity: I, request: IncomingMessage): void;
}

/** The first that the client offers is spoken. */
const VERSIONS = [SUBPROTOCOL, V1_SUBPROTOCOL] as const;
const BUSY_RETRY_MS = 5000;
/** Its successor, if there is one, listens already. */
const LEAVING_RETRY_MS = 1000;

/** Everything before the 101: no stranger reaches the mux. */
export class UpgradeGate<I> {
  readonly #options: UpgradeGateOptions<I>;
  readonly #webSockets = new WebSocketServer({
    ...WEBSOCKET_OPTIONS,
    noServer: true,
    clientTracking: false,
    handleProtocols: (offered) => VERSIONS.find((version) => offered.has(version)) ?? false,
  });
  #authenticating = 0;

  constructor(options: UpgradeGateOptions<I>) {
    this.#options = options;
  }

  /** Owns the socket from here, also its errors. */
  handle(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on("error", () => socket.destroy());
    const refusal = this.#refusalOf(request);
    if (refusal !== undefined) {
      answerUpgrade(socket, refusal);
      return;
    }
    this.#authenticating += 1;
    void this.#admit(request, socket, head).finally(() => {
      this.#authenticating -= 1;
    });
  }

  #refusalOf(request: IncomingMessage): UpgradeAnswer | undefined {
    const { limits } = this.#options;
    if (this.#options.isClosed()) return leaving();
    // A browser always sends Origin; a worker never does. A page must not open tunnels with somebody's cookies.
    if (request.headers.origin !== undefined) {
      return { status: 403, code: "origin-not-allowed", message: "workers send no Origin header" };
    }
    if (this.#versionOf(request) === undefined) {
      const message = `offer a supported version in Sec-WebSocket-Protocol: ${VERSIONS.join(", ")}`;
      return { status: 400, code: "unsupported-version", message };
    }
    const { sessions, pending } = this.#options.linkCounts();
    if (sessions >= limits.maxSessions) return busy("too-many-sessions", "the hub is full");
    if (pending + this.#authenticating >= limits.maxPendingSessions) return busy("busy", "too many are connecting");
    return undefined;
  }

  async #admit(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    let identity: I;
    try {
      identity = await this.#authenticate(request);
    } catch (error) {
      answerUpgrade(socket, this.#answerOf(error));
      return;
    }
    if (socket.destroyed) return;
    if (this.#options.isClosed()) {
      answerUpgrade(socket, leaving());
      return;
    }
    this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      this.#options.onSocket(webSocket, identity, request);
    });
  }

  #authenticate(request: IncomingMessage): Promise<I> {
    const { promise, resolve, reject } = Promise.withResolvers<I>();
    const timer = setTimeout(() => reject(slowAuthentication()), this.#options.limits.handshakeMs);
    const bearer = this.#bearerOf(request);
    // Inside a promise, so that a synchronous throw is a rejection too.
    Promise.resolve()
      .then(() => this.#options.authenticate(bearer, request))
      .then(resolve, reject);
    return promise.finally(() => clearTimeout(timer));
  }

  /** What the client will be answered with, undefined when it offers nothing that we speak. */
  #versionOf(request: IncomingMessage): (typeof VERSIONS)[number] | undefined {
    const offered = offeredProtocols(request);
    if (offered.length === 0 && this.#options.allowNoSubprotocol) return V1_SUBPROTOCOL;
    return VERSIONS.find((version) => offered.includes(version));
  }

  #bearerOf(request: IncomingMessage): string | undefined {
    if (this.#versionOf(request) === SUBPROTOCOL) return bearerToken(request);
    const found = v1Token(request);
    if (found?.isInUrl === true) {
      this.#options.log.warn(
        { remoteAddress: request.socket.remoteAddress },
        "a worker sends its key in the URL, where proxies log it: let it send Authorization",
      );
    }
    return found?.token;
  }

  #answerOf(error: unknown): UpgradeAnswer {
    if (error instanceof TunnelRefusal) return error;
    this.#options.log.error({ err: error }, "authenticate failed");
    return { status: 500, code: "internal", message: "internal error" };
  }
}

function offeredProtocols(request: IncomingMessage): string[] {
  const names = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((name) => name.trim());
  return names.filter((name) => name !== "");
}

function leaving(): UpgradeAnswer {
  return { status: 503, code: "shutting-down", message: "the hub is going away", retryAfterMs: LEAVING_RETRY_MS };
}

function busy(code: string, message: string): UpgradeAnswer {
  return { status: 503, code, message, retryAfterMs: BUSY_RETRY_MS };
}

function slowAuthentication(): TunnelRefusal {
  return new TunnelRefusal({
    status: 503,
    code: "busy",
    message: "authentication took too long",
    retryAfterMs: BUSY_RETRY_MS,
  });
}
