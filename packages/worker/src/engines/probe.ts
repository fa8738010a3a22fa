import { Agent, type Dispatcher, request } from "undici";

export interface ProbeAnswer {
  readonly status: number;
  readonly text: string;
  header(name: string): string | undefined;
  /** The body as JSON; undefined when it is none. */
  readonly json: unknown;
}

export interface ProbeOptions {
  /** For one question, connect to last byte. */
  readonly timeoutMs: number;
  /** A longer body counts as no answer. */
  readonly maxBytes: number;
  /** An owner's headers and key, for engines that need them. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Lends its connections; the probe does not close it. */
  readonly dispatcher: Dispatcher;
}

/** Connections for questions to engines: short-lived, so that none keeps the process or the engine busy. */
export function openProbeDispatcher(): Agent {
  return new Agent({ keepAliveTimeout: 200, connections: 4, pipelining: 1 });
}

/**
 * Asks one server small questions, without side effects: GET, no redirects, bounded in time and size. Each path is asked
 * once in the life of a probe, so that every engine's recogniser may ask what it needs.
 */
export class EngineProbe {
  readonly baseUrl: URL;
  readonly #options: ProbeOptions;
  readonly #answers = new Map<string, Promise<ProbeAnswer | undefined>>();

  constructor(baseUrl: URL, options: ProbeOptions) {
    this.baseUrl = baseUrl;
    this.#options = options;
  }

  /** The answer to `GET path` at this server's root; undefined when there is none within the limits. */
  async get(path: string): Promise<ProbeAnswer | undefined> {
    const known = this.#answers.get(path);
    if (known !== undefined) return known;
    const answer = this.#ask(path, { method: "GET" });
    this.#answers.set(path, answer);
    return answer;
  }

  /** JSON of a successful `GET path`. */
  async getJson(path: string): Promise<unknown> {
    const answer = await this.get(path);
    return answer?.status === 200 ? answer.json : undefined;
  }

  /** JSON of a successful `POST path`. Only for questions that an engine takes as POST, such as Ollama's `/api/show`. */
  async postJson(path: string, body: object): Promise<unknown> {
    const answer = await this.#ask(path, { method: "POST", body: JSON.stringify(body) });
    return answer?.status === 200 ? answer.json : undefined;
  }

  async #ask(path: string, what: { method: "GET" | "POST"; body?: string }): Promise<ProbeAnswer | undefined> {
    const { timeoutMs, maxBytes, dispatcher, headers } = this.#options;
    try {
      const response = await request(new URL(path, this.baseUrl), {
        ...what,
        headers: { accept: "*/*", ...(what.body !== undefined && { "content-type": "application/json" }), ...headers },
        dispatcher,
        signal: AbortSignal.timeout(timeoutMs),
      });
      const text = await boundedText(response.body, maxBytes);
      const headerValue = (name: string): string | undefined => [response.headers[name]].flat()[0];
      return { status: response.statusCode, text, header: headerValue, json: jsonOf(text) };
    } catch {
      // No server, no HTTP, too slow, too long: all the same to someone who only looks.
      return undefined;
    }
  }
}

async function boundedText(body: AsyncIterable<Uint8Array>, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new Error("answer is too long");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function jsonOf(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch {
    // Many servers answer an unknown path with HTML.
    return undefined;
  }
}
