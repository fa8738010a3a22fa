import type { ServerResponse } from "node:http";

import { latin1Of } from "../latin1.ts";
import { dropBody, isStillSending } from "./early-answer.ts";
import type { SseDialect } from "./error-body.ts";

/** While a stream waits for its first content, a comment goes out this often, so that proxies keep the connection. */
export const KEEP_ALIVE_MS = 10_000;
const KEEP_ALIVE_COMMENT = ": keep-alive\n\n";

/**
 * A body up to this goes out as text of one character a byte: Node joins it with the head to one piece, where a buffer is
 * a piece more of a `writev`. 2 µs of 20 for 1 KB; above some KB the copy costs what it spares.
 */
const MAX_JOINED_BYTES = 16 * 1024;

/** What a failure can still look like to the client: depends on what was sent. */
export type ReplyForm =
  | { readonly is: "unsent" }
  | { readonly is: "sse"; readonly dialect: SseDialect }
  /** A status and length that promise something else. Only cutting the connection is honest. */
  | { readonly is: "opaque" };

/** The answer to one request: its head, its bytes, and what became of them. */
export class Reply {
  readonly requestId: string;
  /** The client waits to be asked for its body (`Expect: 100-continue`), so none of it is on the way. */
  isBodyHeldBack = false;
  readonly #response: ServerResponse;
  #common: readonly string[];
  #form: ReplyForm = { is: "unsent" };
  #bytes = 0;
  #keepAlive: NodeJS.Timeout | undefined;
  #wake: (() => void) | undefined;
  /** The answer overtakes the request's body, so the connection ends with it. */
  #isEarly = false;

  /** @param common Header names and values, in turn, that go with every head. */
  constructor(response: ServerResponse, requestId: string, common: readonly string[] = []) {
    this.#response = response;
    this.requestId = requestId;
    this.#common = common;
  }

  /** `headers`: names and values in turn, that go with the head, whichever it will be. */
  addHeaders(headers: readonly string[]): void {
    if (headers.length > 0) this.#common = [...this.#common, ...headers];
  }

  get form(): ReplyForm {
    return this.#form;
  }

  /** 0 before the head. */
  get status(): number {
    return this.#form.is === "unsent" ? 0 : this.#response.statusCode;
  }

  /** Body bytes given to the socket. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The connection is gone, whoever closed it. */
  get isGone(): boolean {
    return this.#response.destroyed || this.#response.writableFinished;
  }

  /** Somebody else sends a 101 and has the connection from now on: nothing can be answered any more. */
  handOver(): void {
    this.#form = { is: "opaque" };
    this.#response.statusCode = 101;
  }

  /** Calls `listener` once, when the connection closes before the answer is complete. */
  onGone(listener: () => void): void {
    this.#response.once("close", () => {
      clearInterval(this.#keepAlive);
      if (!this.#response.writableFinished) listener();
    });
  }

  /** The client is told that its connection ends with this answer, unless the head was sent. */
  endConnection(): void {
    this.#response.shouldKeepAlive = false;
  }

  /** Sends the head at once. `headers`: names and values in turn. Once only; a form other than "unsent" means it was sent. */
  head(status: number, headers: readonly string[], form: ReplyForm = { is: "opaque" }): void {
    this.stopKeepAlive();
    this.#form = form;
    this.#writeHead(status, headers);
  }

  /** The head alone goes out now, when the first bytes will take a while. */
  flushHead(): void {
    this.#response.flushHeaders();
  }

  /** False: wait for `drained()` before the next write. */
  write(bytes: Uint8Array | string): boolean {
    this.#bytes += bytes.length;
    return this.#response.write(bytes);
  }

  /** Resolves when the client took what was written, is gone, or somebody called `wake`. */
  drained(): Promise<void> {
    if (this.#response.destroyed || !this.#response.writableNeedDrain) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const done = (): void => {
      this.#response.off("drain", done);
      this.#response.off("close", done);
      this.#wake = undefined;
      resolve();
    };
    this.#response.on("drain", done);
    this.#response.on("close", done);
    this.#wake = done;
    return promise;
  }

  /** Ends a wait in `drained`, as there is news that cannot wait for a slow client. */
  wake(): void {
    this.#wake?.();
  }

  /** A clean end. */
  end(bytes?: Uint8Array | string): void {
    this.stopKeepAlive();
    if (bytes !== undefined) this.#bytes += bytes.length;
    if (!this.#isEarly) {
      if (bytes === undefined) this.#response.end();
      else if (typeof bytes === "string" || bytes.length > MAX_JOINED_BYTES) this.#response.end(bytes);
      else this.#response.end(latin1Of(bytes), "latin1");
      return;
    }
    if (bytes !== undefined) this.#response.write(bytes);
    if (this.isBodyHeldBack) this.#response.end();
    else void dropBody(this.#response.req).then(() => this.#response.end());
  }

  /** Breaks the connection, so that what was sent cannot be taken for a whole answer. */
  destroy(): void {
    this.stopKeepAlive();
    this.#response.destroy();
  }

  /**
   * From now until the head or `stopKeepAlive`: a comment every `KEEP_ALIVE_MS`. The first one sends the head, with status
   * 200, so a failure after it can only be told by an error event.
   */
  startKeepAlive(dialect: SseDialect, headers: readonly string[]): void {
    this.#keepAlive ??= setInterval(() => {
      if (this.isGone) return;
      if (this.#form.is === "unsent") {
        this.#form = { is: "sse", dialect };
        this.#writeHead(200, headers);
      }
      this.#response.write(KEEP_ALIVE_COMMENT);
    }, KEEP_ALIVE_MS);
  }

  stopKeepAlive(): void {
    clearInterval(this.#keepAlive);
    this.#keepAlive = undefined;
  }

  #writeHead(status: number, headers: readonly string[]): void {
    this.#isEarly = isStillSending(this.#response.req);
    const all = ["x-request-id", this.requestId, ...this.#common, ...headers];
    if (this.#isEarly) all.push("connection", "close");
    this.#response.writeHead(status, all);
  }
}
