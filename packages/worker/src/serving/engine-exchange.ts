import type { HeaderPairs, TunnelStream } from "@tokilake/tunnel";
import type { Dispatcher } from "undici";

import { LIMITS } from "../limits.ts";
import type { AnswerMeter } from "../targets/decode-speed.ts";
import type { UsedKey } from "../targets/key-ring.ts";
import type { Target } from "../targets/target.ts";
import { answerHeaders, engineRequestHeaders, headerOf } from "./headers.ts";
import type { RequestBody } from "./request-body.ts";
import { BodyProblem, ServeFailure } from "./serve-failure.ts";

export interface ExchangeOptions {
  readonly stream: TunnelStream;
  readonly target: Target;
  readonly body: RequestBody;
  /** Path and query at the engine. */
  readonly path: string;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
}

/** As many as the tunnel takes. */
const MAX_INTERIM_HEADS = 8;
/** Connections that turned out to be closed, of one request. */
const MAX_STALE = 3;
/** A connection that was closing when the request left ends in a round trip. An engine that worked before it died takes longer. */
const STALE_WITHIN_MS = 100;
const CONNECTION_ENDS = new Set<unknown>(["UND_ERR_SOCKET", "ECONNRESET", "EPIPE"]);

/** How an exchange came to its end, for the log and the owner's counters. */
export type ExchangeEnd = { readonly outcome: "answered"; readonly status: number } | { readonly outcome: "cancelled" };

/**
 * One request to an engine: the stream's bytes go up, the engine's bytes go down, each as fast as the other side takes
 * them. Works on undici's dispatcher directly; `fetch` costs several times as much and hides the socket.
 *
 * Ends in one of three ways: the whole answer went through; the stream ended early, then the engine's socket is closed at
 * once; or the engine failed, then `run` rejects and the stream must be reset, never ended.
 */
export class EngineExchange implements Dispatcher.DispatchHandler {
  readonly #options: ExchangeOptions;
  readonly #end = Promise.withResolvers<ExchangeEnd>();
  readonly #startedAtMs: number;
  #key: UsedKey | undefined;
  #controller: Dispatcher.DispatchController | undefined;
  #meter: AnswerMeter | undefined;
  #connectedAtMs: number | undefined;
  #headAtMs: number | undefined;
  #interimHeads = 0;
  #status = 0;
  #isOver = false;
  #isCancelled = false;
  #request: Dispatcher.DispatchOptions | undefined;
  /** The connection had served another request before. */
  #isReused = false;
  #sentAtMs = 0;
  #staleCount = 0;

  constructor(options: ExchangeOptions) {
    this.#options = options;
    this.#startedAtMs = options.now();
  }

  /** @throws ServeFailure | BodyProblem */
  async run(): Promise<ExchangeEnd> {
    const { stream, target, body, path } = this.#options;
    const { opening, signal } = stream;
    if (signal.aborted) return { outcome: "cancelled" };
    const cancel = (): void => this.#cancel();
    signal.addEventListener("abort", cancel, { once: true });
    this.#key = target.keys.next();
    const headers = engineRequestHeaders(opening.headers, target.settings.headers, this.#key?.header);
    if (body.length !== undefined && body.whole === undefined) headers["content-length"] = String(body.length);
    const impatience = this.#watchConnecting(opening.connectTimeoutMs);
    this.#request = { path, method: methodOf(opening.method), headers, body: undiciBody(body) };
    try {
      target.dispatcher.dispatch(this.#request, this);
      return await this.#end.promise;
    } finally {
      this.#isOver = true;
      clearTimeout(impatience);
      signal.removeEventListener("abort", cancel);
      body.close();
    }
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#sentAtMs = this.#options.now();
    this.#connectedAtMs ??= this.#sentAtMs;
    this.#isReused = !this.#options.target.hasJustConnected;
    this.#controller = controller;
    if (this.#isCancelled) controller.abort(new Error("cancelled"));
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    const { stream, target, body } = this.#options;
    // "Processing" and "early hints" (RFC 9110 §15.2) come in front of the answer, and nobody asked for them.
    if (status > 101 && status < 200 && ++this.#interimHeads <= MAX_INTERIM_HEADS) return;
    this.#headAtMs = this.#options.now();
    this.#status = status;
    const headers = answerHeaders(rawHeaders(controller));
    this.#key?.report(status, headerOf(headers, "retry-after"));
    // A redirect may lead anywhere, also to where the owner allowed nothing: it is neither followed nor shown.
    if (status < 200 || (status >= 300 && status < 400)) {
      controller.abort(new ServeFailure("target-reset", `engine answered with status ${status}`));
      return;
    }
    if (status >= 400 && !body.isFinished) this.#stopUpload();
    if (isEventStream(headers)) this.#meter = target.speed.start();
    stream.respond({ status, headers });
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const { stream } = this.#options;
    this.#meter?.count(chunk);
    if (stream.isStopped) {
      this.#cancel();
      stream.reset("cancelled", { backendCancelled: true });
      return;
    }
    if (stream.write(chunk)) return;
    controller.pause();
    // A stream that ends while we wait fires its signal too, which closes the engine's socket.
    stream.drained().then(
      () => controller.resume(),
      () => this.#cancel(),
    );
  }

  onResponseEnd(): void {
    const { stream, body, target } = this.#options;
    this.#meter?.end();
    if (!body.isFinished && body.whole === undefined) this.#stopUpload();
    stream.end({ engineMs: this.#timings(), engine: target.settings.engine });
    this.#settle({ outcome: "answered", status: this.#status });
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#isCancelled || this.#options.stream.signal.aborted) this.#settle({ outcome: "cancelled" });
    else if (this.#request !== undefined && this.#wasStale(error)) this.#askAgain(this.#request);
    else this.#end.reject(this.#failure(error));
  }

  /**
   * An idle connection may be closed by its engine in the moment in which a request leaves. Engines do so without a word,
   * some right behind each answer. Whoever keeps connections sends the request again on another one, as browsers do.
   */
  #wasStale(error: Error): boolean {
    const { body, now } = this.#options;
    if (!this.#isReused || this.#staleCount >= MAX_STALE || body.whole === undefined) return false;
    if (this.#headAtMs !== undefined || this.#interimHeads > 0 || now() - this.#sentAtMs > STALE_WITHIN_MS)
      return false;
    return "code" in error && CONNECTION_ENDS.has(error.code);
  }

  #askAgain(request: Dispatcher.DispatchOptions): void {
    this.#staleCount += 1;
    this.#controller = undefined;
    this.#options.target.dispatcher.dispatch(request, this);
  }

  /** The engine's answer does not depend on the rest of the body: the client may stop sending it. */
  #stopUpload(): void {
    this.#options.body.halt();
    this.#options.stream.stop("no-error");
  }

  #cancel(): void {
    if (this.#isOver) return;
    this.#isCancelled = true;
    this.#controller?.abort(new Error("cancelled"));
    // Without a controller the request still waits for its connection; it is aborted as soon as it has one.
    this.#settle({ outcome: "cancelled" });
  }

  /** The hub may be less patient than the owner's limit, which holds for every connection. */
  #watchConnecting(timeoutMs: number | undefined): NodeJS.Timeout | undefined {
    const ownMs = this.#options.target.settings.connectTimeoutMs ?? LIMITS.connectTimeoutMs;
    if (timeoutMs === undefined || timeoutMs >= ownMs) return undefined;
    return setTimeout(() => {
      if (this.#connectedAtMs !== undefined) return;
      this.#isCancelled = true;
      this.#end.reject(unreachable(new Error(`no connection in ${timeoutMs} ms`)));
    }, timeoutMs);
  }

  #settle(end: ExchangeEnd): void {
    this.#end.resolve(end);
  }

  #failure(error: Error): Error {
    const options = { cause: error };
    if (error instanceof ServeFailure) return error;
    // Once the engine's head has gone out, no other answer can.
    if (error instanceof BodyProblem)
      return this.#headAtMs === undefined ? error : new ServeFailure("protocol", error.message);
    if (this.#connectedAtMs === undefined) return unreachable(error);
    const code = "code" in error ? error.code : undefined;
    if (code === "UND_ERR_HEADERS_TIMEOUT") return new ServeFailure("target-timeout-head", "no head in time", options);
    if (code === "UND_ERR_BODY_TIMEOUT") return new ServeFailure("target-timeout-idle", "the answer stalled", options);
    return new ServeFailure("target-reset", "the engine broke its answer off", options);
  }

  #timings(): Record<string, number> {
    const since = (atMs: number | undefined): number | undefined =>
      atMs === undefined ? undefined : Math.round((atMs - this.#startedAtMs) * 10) / 10;
    const all = {
      connect: since(this.#connectedAtMs),
      firstByte: since(this.#headAtMs),
      total: since(this.#options.now()),
    };
    return Object.fromEntries(Object.entries(all).flatMap(([name, ms]) => (ms === undefined ? [] : [[name, ms]])));
  }
}

function unreachable(cause: Error): ServeFailure {
  return new ServeFailure("target-unreachable", "cannot connect to the engine", { cause, retrySafe: true });
}

type UndiciBody = Exclude<Dispatcher.DispatchOptions["body"], undefined>;

function undiciBody(body: RequestBody): UndiciBody {
  if (body.whole !== undefined) return body.whole.length === 0 ? null : body.whole;
  // undici reads any async iterable one chunk at a time, though its types name only streams (lib/core/request.js).
  return body as unknown as UndiciBody;
}

function rawHeaders(controller: Dispatcher.DispatchController): readonly (Buffer | string)[] {
  return Array.isArray(controller.rawHeaders) ? controller.rawHeaders : [];
}

function methodOf(method: string): Dispatcher.HttpMethod {
  switch (method) {
    case "GET":
    case "POST":
    case "PUT":
    case "PATCH":
    case "DELETE":
      return method;
    default:
      throw new ServeFailure("forbidden", `method ${method}`);
  }
}

function isEventStream(headers: HeaderPairs): boolean {
  return headerOf(headers, "content-type")?.startsWith("text/event-stream") ?? false;
}
