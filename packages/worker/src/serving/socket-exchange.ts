import type { IncomingMessage } from "node:http";

import { bridgeWebSocket, type HeaderPairs, type TunnelStream } from "@tokilake/tunnel";
import type { WebSocket } from "ws";

import { LIMITS } from "../limits.ts";
import type { Target } from "../targets/target.ts";
import type { ModelNames } from "./body-filter.ts";
import type { ExchangeEnd } from "./engine-exchange.ts";
import { openEngineSocket } from "./engine-socket.ts";
import { answerHeaders, engineRequestHeaders, headerOf } from "./headers.ts";
import { reviseRealtime } from "./realtime-model.ts";
import { ServeFailure } from "./serve-failure.ts";

export interface SocketExchangeOptions {
  readonly stream: TunnelStream;
  readonly target: Target;
  /** Path and query at the engine. */
  readonly path: string;
  readonly names: ModelNames;
}

/**
 * One WebSocket to an engine. The head with status 101 leaves only after the engine's own; any other answer of the engine
 * goes as it is. Settles when the engine's connection is closed.
 *
 * @throws ServeFailure
 */
export async function exchangeSocket(options: SocketExchangeOptions): Promise<ExchangeEnd> {
  const { stream, target, path } = options;
  const { opening, signal } = stream;
  const { settings } = target;
  const key = target.keys.next();
  const url = new URL(path, settings.baseUrl.origin);
  url.protocol = settings.baseUrl.protocol === "https:" ? "wss:" : "ws:";
  const ownConnectMs = settings.connectTimeoutMs ?? LIMITS.connectTimeoutMs;
  const opened = await openEngineSocket({
    url,
    headers: engineRequestHeaders(opening.headers, settings.headers, key?.header),
    protocols: offeredProtocols(opening.headers),
    connectTimeoutMs: Math.min(ownConnectMs, opening.connectTimeoutMs ?? Infinity),
    handshakeTimeoutMs: LIMITS.webSocketHandshakeMs,
    signal,
  });
  if (opened.is === "refused") {
    const { statusCode = 0, headers } = opened.response;
    key?.report(statusCode, headers["retry-after"]);
    return passAnswer(opened.response, stream);
  }
  key?.report(SWITCHING_PROTOCOLS, undefined);
  return passMessages(opened.socket, options);
}

const SWITCHING_PROTOCOLS = 101;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}$/;
const MAX_OFFERED = 16;
/** OpenAI's way to send a key from a browser. The hub takes it out; an engine's owner would not want a stranger's either. */
const CREDENTIALS = "openai-insecure-api-key.";

/** The subprotocols that the client offers, without doubles, which `ws` refuses to send. */
function offeredProtocols(headers: HeaderPairs): string[] {
  const offered = (headerOf(headers, "sec-websocket-protocol") ?? "").split(",").map((text) => text.trim());
  const wanted = offered.filter((name) => TOKEN.test(name) && !name.startsWith(CREDENTIALS));
  return [...new Set(wanted)].slice(0, MAX_OFFERED);
}

async function passMessages(socket: WebSocket, { stream, target, names }: SocketExchangeOptions): Promise<ExchangeEnd> {
  const headers: HeaderPairs = socket.protocol === "" ? [] : [["sec-websocket-protocol", socket.protocol]];
  stream.respond({ status: SWITCHING_PROTOCOLS, headers });
  const upstreamOf = (name: string): string => names.upstreamOf(name);
  const publishedOf = (name: string): string | undefined => target.models.get(name)?.upstream;
  const end = await bridgeWebSocket(socket, stream, {
    lostCode: "target-reset",
    revise: (message) => reviseRealtime(message, { upstreamOf, publishedOf }),
  });
  return end.is === "failed" ? { outcome: "cancelled" } : { outcome: "answered", status: SWITCHING_PROTOCOLS };
}

async function passAnswer(response: IncomingMessage, stream: TunnelStream): Promise<ExchangeEnd> {
  const { statusCode: status = 0 } = response;
  const cancel = (): void => void response.destroy();
  stream.signal.addEventListener("abort", cancel, { once: true });
  response.setTimeout(LIMITS.webSocketHandshakeMs, cancel);
  try {
    // A redirect may lead anywhere, also to where the owner allowed nothing: it is neither followed nor shown.
    if (status >= 300 && status < 400) throw new ServeFailure("target-reset", `engine answered with status ${status}`);
    stream.respond({ status, headers: answerHeaders(response.rawHeaders) });
    // Chunks of a response without an encoding are Buffers.
    for await (const chunk of response as AsyncIterable<Buffer>) {
      if (!stream.write(chunk)) await stream.drained();
    }
    stream.end();
    return { outcome: "answered", status };
  } catch (thrown) {
    if (stream.signal.aborted) return { outcome: "cancelled" };
    if (thrown instanceof ServeFailure) throw thrown;
    throw new ServeFailure("target-reset", "the engine broke its answer off", { cause: thrown });
  } finally {
    stream.signal.removeEventListener("abort", cancel);
    response.destroy();
  }
}
