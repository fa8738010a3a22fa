import { once } from "node:events";
import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from "node:http";

import type { Access } from "./system.ts";

export interface ExchangeOptions {
  /** Under `/v1`; default "/chat/completions". */
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON, unless it is bytes. */
  readonly body?: unknown;
  readonly method?: string;
  /** Closes the connection, also before the head; `open` then throws its reason. */
  readonly signal?: AbortSignal;
  /** Which connections to use. Default: one of its own. */
  readonly agent?: Agent;
}

/** `clean`: the body ended as HTTP says it does. `cut`: the connection ended before. */
export type BodyEnd = "clean" | "cut";

/** One request, most often on a connection of its own, read as bytes: nothing of an SDK between the test and what was sent. */
export class HttpExchange implements Disposable {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Settles when nothing more comes. Never rejects. */
  readonly ended: Promise<BodyEnd>;
  readonly #response: IncomingMessage;
  readonly #chunks: Buffer[] = [];
  readonly #readers = new Set<() => void>();

  private constructor(response: IncomingMessage) {
    this.#response = response;
    this.status = response.statusCode ?? 0;
    this.headers = response.headers;
    response.on("data", (chunk: Buffer) => {
      this.#chunks.push(chunk);
      for (const read of this.#readers) read();
    });
    // A connection that breaks is an error and then a close; only the latter is looked at.
    response.on("error", () => {});
    this.ended = once(response, "close").then(
      () => this.#end(),
      () => this.#end(),
    );
  }

  /** Resolves with the answer's head. @throws Error when the connection ends before it. */
  static async open(access: Access, options: ExchangeOptions): Promise<HttpExchange> {
    const { path = "/chat/completions", body, method = "POST", agent = new Agent({ keepAlive: false }) } = options;
    const bytes = body === undefined || body instanceof Uint8Array ? body : Buffer.from(JSON.stringify(body));
    const outgoing = request(`${access.baseURL}${path}`, {
      method,
      ...(options.signal && { signal: options.signal }),
      agent,
      headers: {
        authorization: `Bearer ${access.apiKey}`,
        ...(bytes !== undefined && { "content-type": "application/json", "content-length": bytes.length }),
        ...options.headers,
      },
    });
    outgoing.end(bytes);
    const [response] = (await once(outgoing, "response")) as [IncomingMessage];
    // From here on the response tells of failures; the request repeats them.
    outgoing.on("error", () => {});
    return new HttpExchange(response);
  }

  /** Opens, and reads to the end. */
  static async whole(access: Access, options: ExchangeOptions): Promise<HttpExchange> {
    const exchange = await HttpExchange.open(access, options);
    await exchange.ended;
    return exchange;
  }

  /** Everything that came so far. */
  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  get text(): string {
    return this.bytes.toString("utf8");
  }

  get json(): unknown {
    return JSON.parse(this.text);
  }

  /** Resolves when `text` has come. @throws Error when the body ends without it. */
  async until(text: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const read = () => {
      if (this.text.includes(text)) resolve();
    };
    this.#readers.add(read);
    void this.ended.then((end) => {
      read();
      reject(new Error(`The body ended (${end}) without ${JSON.stringify(text)}: ${this.text.slice(-2000)}`));
    });
    read();
    return promise.finally(() => this.#readers.delete(read));
  }

  /** Calls `read` whenever more has come. */
  onData(read: () => void): void {
    this.#readers.add(read);
  }

  /** Closes the connection, as a client that goes away does. */
  hangUp(): void {
    this.#response.destroy();
  }

  [Symbol.dispose](): void {
    this.hangUp();
  }

  #end(): BodyEnd {
    return this.#response.complete ? "clean" : "cut";
  }
}

/** The data of each server-sent event (WHATWG HTML, "Server-sent events"): enough for what engines and hub send. */
export function sseData(text: string): string[] {
  return text
    .split(/\r?\n\r?\n/)
    .map((event) => event.split(/\r?\n/).filter((line) => line.startsWith("data:")))
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.map((line) => line.slice("data:".length).replace(/^ /, "")).join("\n"));
}

/** The answer's text in the chunks of a chat stream. */
export function chatText(text: string): string {
  return sseData(text)
    .filter((data) => data !== "[DONE]")
    .map((data) => JSON.parse(data) as { choices?: { delta?: { content?: string | null } }[] })
    .map((chunk) => chunk.choices?.[0]?.delta?.content ?? "")
    .join("");
}

/** The text of a simulated answer of so many tokens. */
export function simulatedText(tokens: number): string {
  return Array.from({ length: tokens }, (_, index) => `token-${index}`).join(" ");
}

/** The body of a chat request to a simulated model; `simulate` says how the engine is to answer. */
export function chatBody(simulate: object = {}, fields: object = {}): object {
  return { model: "simulated", messages: [{ role: "user", content: "Tell me." }], simulate, ...fields };
}
