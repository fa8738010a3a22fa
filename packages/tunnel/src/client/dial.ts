import type { IncomingMessage } from "node:http";
import { getCACertificates } from "node:tls";

import { WebSocket } from "ws";

import { SUBPROTOCOL, V1_SUBPROTOCOL, WEBSOCKET_OPTIONS } from "../carrier/websocket-carrier.ts";
import { retryAfterMs } from "./backoff.ts";

/** Why a dial failed. */
export interface DialFailure {
  /** "no-version": the hub agreed, and named no subprotocol. */
  readonly code: "auth" | "version" | "no-version" | "unreachable";
  /** For people. Never holds the token. */
  readonly message: string;
  readonly status?: number;
  readonly retryAfterMs?: number;
}

export interface DialOptions {
  readonly url: string;
  readonly token: string;
  /** From now to the hub's whole answer. */
  readonly timeoutMs: number;
  /** Name no subprotocol, and take none for version 1. */
  readonly offersNone?: boolean;
  /** Name version 2 alone. Goes before `offersNone`. */
  readonly offersV2Only?: boolean;
  readonly caCertificates?: string | readonly string[];
  /** Open. Nothing was read from it yet. */
  onOpen(socket: WebSocket): void;
  onFailure(failure: DialFailure): void;
}

/** The hub takes the first of its own list; an original one knows only the second. */
const OFFERED = [SUBPROTOCOL, V1_SUBPROTOCOL];
const CONNECT_PATH = "/api/tokilake/connect";
const MAX_ANSWER_BYTES = 16 * 1024;
/** `ws` has no error codes for them. */
const NO_SUBPROTOCOL = /no subprotocol/i;
const WRONG_SUBPROTOCOL = /subprotocol/i;

/** The WebSocket URL of a hub. @throws TypeError when it is none. */
export function connectUrl(base: string): URL {
  const url = new URL(base);
  if (url.protocol === "http:") url.protocol = "ws:";
  if (url.protocol === "https:") url.protocol = "wss:";
  if (url.protocol !== "ws:" && url.protocol !== "wss:") throw new TypeError(`not a hub's URL: ${url.protocol}`);
  if (url.username !== "" || url.password !== "") throw new TypeError("a hub's URL holds no credentials");
  if (url.pathname === "/" || url.pathname === "") url.pathname = CONNECT_PATH;
  url.hash = "";
  return url;
}

/** Dials a hub. Calls exactly one of `onOpen` and `onFailure`, unless the returned function was called before: it gives up. */
export function dial(options: DialOptions): () => void {
  const socket = new WebSocket(connectUrl(options.url), offered(options), {
    ...WEBSOCKET_OPTIONS,
    followRedirects: false,
    headers: { Authorization: `Bearer ${options.token}` },
    ...(options.caCertificates === undefined
      ? {}
      : { ca: [...getCACertificates("default"), ...[options.caCertificates].flat()] }),
  });
  let isDone = false;
  const finish = (report: () => void): void => {
    if (isDone) return;
    isDone = true;
    clearTimeout(timer);
    report();
  };
  // Not that of `ws`, which each byte of an answer sets back.
  const timer = setTimeout(() => {
    finish(() => options.onFailure({ code: "unreachable", message: "the hub did not answer in time" }));
    socket.terminate();
  }, options.timeoutMs);
  socket.on("unexpected-response", (_request, response) => {
    readAnswer(response, (text) => {
      socket.terminate();
      finish(() => options.onFailure(failureOfAnswer(response, text)));
    });
  });
  // Stays: an error after the hand-over must find a listener.
  socket.on("error", (error) => {
    finish(() => options.onFailure({ code: codeOfError(error), message: messageOf(error) }));
  });
  socket.on("open", () => finish(() => options.onOpen(socket)));
  return () => {
    finish(() => socket.terminate());
  };
}

function offered({ offersNone, offersV2Only }: DialOptions): string[] {
  if (offersV2Only === true) return [SUBPROTOCOL];
  return offersNone === true ? [] : OFFERED;
}

function codeOfError({ message }: Error): DialFailure["code"] {
  if (NO_SUBPROTOCOL.test(message)) return "no-version";
  return WRONG_SUBPROTOCOL.test(message) ? "version" : "unreachable";
}

function readAnswer(response: IncomingMessage, done: (text: string) => void): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  let isDone = false;
  const finish = (): void => {
    if (isDone) return;
    isDone = true;
    done(Buffer.concat(chunks).toString("utf8"));
  };
  response.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= MAX_ANSWER_BYTES) chunks.push(chunk);
    else finish();
  });
  response.on("end", finish);
  response.on("close", finish);
  response.on("error", finish);
}

function failureOfAnswer(response: IncomingMessage, text: string): DialFailure {
  const status = response.statusCode ?? 0;
  const error = errorOf(text);
  const message = error.message ?? `the hub answered with HTTP ${status}`;
  if (status === 401 || status === 403) return { code: "auth", message, status };
  if (error.code === "unsupported-version") return { code: "version", message, status };
  const waitMs = retryAfterMs(response.headers["retry-after"], Date.now());
  return { code: "unreachable", message, status, ...(waitMs === undefined ? {} : { retryAfterMs: waitMs }) };
}

function errorOf(text: string): { readonly code?: string; readonly message?: string } {
  try {
    const value: unknown = JSON.parse(text);
    if (!isRecord(value)) return {};
    // An original hub has its `message` at the top.
    const { code, message } = isRecord(value["error"]) ? value["error"] : value;
    return {
      ...(typeof code === "string" ? { code } : {}),
      ...(typeof message === "string" ? { message: message.slice(0, 1024) } : {}),
    };
  } catch {
    return {};
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** Node's message for several failed addresses is empty; its causes have the words. */
function messageOf(error: Error): string {
  if (error instanceof AggregateError) return error.errors.map(String).join("; ");
  return error.message;
}
