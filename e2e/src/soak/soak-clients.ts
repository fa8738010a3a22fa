import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

import { chatBody, chatText, simulatedText, sseData } from "../http-exchange.ts";
import type { Access } from "../system.ts";
import { answerOf, soakBody } from "./soak-answer.ts";

/** What the streams ask for, in turns. */
export const MODELS = {
  /** Workers of a crowd that leave as they should. */
  steady: "steady",
  /** Workers of a crowd that vanish. Their streams may fail, if they do so visibly. */
  fragile: "fragile",
  /** Real workers in front of an engine. */
  real: "simulated",
} as const;

export interface SoakCounts {
  readonly complete: number;
  /** Of the fragile ones. */
  readonly failedVisibly: number;
  readonly hungUp: number;
}

export interface SoakClientsOptions {
  readonly access: Access;
  readonly streams: number;
  readonly tokens: number;
  readonly everyMs: number;
}

/** Of a hundred streams so many go to fragile and to real workers, and so many steady ones hang up in the middle. */
const SHARE = { fragile: 5, real: 5, hangsUp: 3 } as const;
/** Problems kept; one is already a failure. */
const MAX_PROBLEMS = 20;

/** Keeps a number of streams running, one after the other, and checks each answer to the byte. */
export class SoakClients {
  readonly #options: SoakClientsOptions;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #running: Promise<void>[] = [];
  #isStopping = false;
  #number = 0;
  #counts = { complete: 0, failedVisibly: 0, hungUp: 0 };
  /** Answers that were not as they must be. */
  readonly problems: string[] = [];

  constructor(options: SoakClientsOptions) {
    this.#options = options;
    // Spread over the length of an answer, so that the load is even.
    const lengthMs = options.tokens * options.everyMs;
    for (let index = 0; index < options.streams; index += 1) {
      this.#running.push(this.#keepAsking((index / options.streams) * lengthMs));
    }
  }

  get counts(): SoakCounts {
    return { ...this.#counts };
  }

  /** Resolves when each running stream has ended by itself. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#running);
    this.#agent.destroy();
  }

  async #keepAsking(startMs: number): Promise<void> {
    await sleep(startMs);
    while (!this.#isStopping) {
      this.#number += 1;
      await this.#ask(this.#number).catch((thrown: unknown) =>
        this.#problem(`stream ${this.#number}: ${String(thrown)}`),
      );
      // A hub that refuses everything at once must not be asked in a circle.
      if (this.problems.length > 0) await sleep(100);
    }
  }

  async #ask(number: number): Promise<void> {
    const { tokens, everyMs } = this.#options;
    const turn = number % 100;
    if (turn < SHARE.real) {
      const text = await this.#read(JSON.stringify(chatBody({ tokens, intervalMs: everyMs }, { stream: true })));
      const isWhole = text.status === 200 && chatText(text.body) === simulatedText(tokens);
      this.#judge(number, isWhole && sseData(text.body).at(-1) === "[DONE]", text);
      return;
    }
    const isFragile = turn < SHARE.real + SHARE.fragile;
    const soak = { tag: `stream-${number}`, tokens, everyMs };
    const body = JSON.stringify(soakBody(isFragile ? MODELS.fragile : MODELS.steady, soak));
    if (turn >= 100 - SHARE.hangsUp) {
      await this.#read(body, (tokens * everyMs) / 2);
      this.#counts.hungUp += 1;
      return;
    }
    const answer = await this.#read(body);
    const isWhole = answer.status === 200 && answer.body === answerOf(body);
    if (isFragile && !isWhole && isVisiblyFailed(answer)) this.#counts.failedVisibly += 1;
    else this.#judge(number, isWhole, answer);
  }

  #judge(number: number, isWhole: boolean, answer: Answer): void {
    if (isWhole) this.#counts.complete += 1;
    else
      this.#problem(
        `stream ${number}: ${answer.status}, ${answer.isCut ? "cut" : "ended"}: ${answer.body.slice(-300)}`,
      );
  }

  #problem(text: string): void {
    if (this.problems.length < MAX_PROBLEMS) this.problems.push(text);
  }

  async #read(body: string, hangUpAfterMs?: number): Promise<Answer> {
    const { baseURL, apiKey } = this.#options.access;
    const outgoing = request(`${baseURL}/chat/completions`, {
      method: "POST",
      agent: this.#agent,
      headers: {
        authorization: `Bearer ${apiKey}`,
        "content-type": "application/json",
        "content-length": Buffer.byteLength(body),
      },
    });
    outgoing.end(body);
    const [response] = (await once(outgoing, "response")) as [IncomingMessage];
    outgoing.on("error", () => {});
    response.on("error", () => {});
    const chunks: Buffer[] = [];
    response.on("data", (chunk: Buffer) => chunks.push(chunk));
    const timer = hangUpAfterMs === undefined ? undefined : setTimeout(() => response.destroy(), hangUpAfterMs);
    await once(response, "close").catch(() => {});
    clearTimeout(timer);
    const text = Buffer.concat(chunks).toString("utf8");
    return { status: response.statusCode ?? 0, body: text, isCut: !response.complete };
  }
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly isCut: boolean;
}

function isVisiblyFailed({ status, body, isCut }: Answer): boolean {
  if (body.includes("[DONE]")) return false;
  return status >= 500 || isCut || sseData(body).at(-1)?.includes('"error"') === true;
}
