import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

import { type WebSocket, WebSocketServer } from "ws";

import { SUBPROTOCOL, V1_SUBPROTOCOL, WEBSOCKET_OPTIONS } from "../carrier/websocket-carrier.ts";
import type { TunnelLimits } from "../limits.ts";
import type { TunnelLog } from "../tunnel-log.ts";
import { TunnelRefusal, type TunnelRefusalOptions } from "../tunnel-refusal.ts";
import type { ConnectPlaces, Place } from "./connect-places.ts";
import { answerUpgrade, type UpgradeAnswer } from "./upgrade-answer.ts";
import { bearerToken, v1Token } from "./worker-token.ts";

export interface UpgradeGateOptions<I> {
  readonly limits: TunnelLimits;
  readonly log: TunnelLog;
  /** A client that offers nothing speaks version 1. */
  readonly allowNoSubprotocol: boolean;
  refusalHeaders(): Readonly<Record<string, string>>;
  authenticate(bearer: string | undefined, request: IncomingMessage): Promise<I> | I;
  readonly places: ConnectPlaces;
  networkOf(request: IncomingMessage): string;
  /** Undefined: nobody's in particular. */
  ownerOf(identity: I): string | undefined;
  sessionCount(): number;
  isClosed(): boolean;
  /** Owns `place` from here. */
  onSocket(socket: WebSocket, admitted: Admitted<I>): void;
}

export interface Admitted<I> {
  readonly identity: I;
  readonly request: IncomingMessage;
  readonly place: Place;
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

  constructor(options: UpgradeGateOptions<I>) {
    this.#options = options;
    // `ws` would answer in words of its own.
    this.#webSockets.on("wsClientError", (error, socket) =>
      this.#answer(socket, { status: 400, code: "bad-handshake", message: error.message }),
    );
  }

  /** Owns the socket from here, also its errors. */
  handle(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on("error", () => socket.destroy());
    const refusal = this.#refusalOf(request);
    if (refusal !== undefined) {
      this.#answer(socket, refusal);
      return;
    }
    let place: Place;
    try {
      place = this.#options.places.enter(this.#options.networkOf(request));
    } catch (error) {
      this.#answer(socket, this.#answerOf(error));
      return;
    }
    void this.#admit(request, socket, head, place);
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
    if (this.#options.sessionCount() >= limits.maxSessions) return busy("too-many-sessions", "the hub is full");
    return undefined;
  }

  // oxlint-disable-next-line max-params -- what `upgrade` gives, and the place for it
  async #admit(request: IncomingMessage, socket: Duplex, head: Buffer, place: Place): Promise<void> {
    let identity: I;
    try {
      identity = await this.#authenticate(request);
      if (this.#options.isClosed()) throw new TunnelRefusal(leaving());
      const owner = this.#options.ownerOf(identity);
      if (owner !== undefined) place.claim(owner, performance.now());
    } catch (error) {
      place.leave();
      this.#answer(socket, this.#answerOf(error));
      return;
    }
    let isTaken = false;
    // Calls back in this turn; never for a handshake that is wrong, which it answers, or a socket that is gone.
    this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      isTaken = true;
      this.#options.onSocket(webSocket, { identity, request, place });
    });
    if (!isTaken) place.leave();
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

  #answer(socket: Duplex, answer: UpgradeAnswer): void {
    answerUpgrade(socket, answer, this.#options.refusalHeaders());
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

function leaving(): TunnelRefusalOptions {
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
