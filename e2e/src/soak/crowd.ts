// Many workers in one process, for tests that need more of them than this machine has room for programs.
//
// Reads one JSON object from the environment variable CROWD (`CrowdOptions`), and writes a JSON object a line
// (`CrowdLine`) each half second. SIGTERM lets all of them drain, then it ends.
import { setTimeout as sleep } from "node:timers/promises";

import { connectTunnel, type TunnelClient, type TunnelStream } from "@tokilake/tunnel";

import { chunksOf } from "./soak-answer.ts";

/** Read from the environment by the program, written by who starts it. */
export interface CrowdOptions {
  readonly url: string;
  readonly token: string;
  /** Their names begin so. */
  readonly prefix: string;
  readonly workers: number;
  readonly model: string;
  /** Requests that each of them says it takes at once. */
  readonly slots: number;
  /** How often one of them leaves and another one joins; 0: never. */
  readonly changeEveryMs: number;
  /** How they leave: running streams end first, or break. */
  readonly leave: "drain" | "close";
}

/** What the program writes. */
export interface CrowdLine {
  readonly connected: number;
  readonly left: number;
  readonly streams: number;
  /** Milliseconds since its start when each attempt to dial began, since the last line. */
  readonly dialsMs: readonly number[];
}

const TOLD_EVERY_MS = 500;
const DRAIN_MS = 60_000;
/** Dialing at once while the crowd gathers. */
const JOINING = 16;

class Crowd {
  readonly #options: CrowdOptions;
  readonly #clients = new Set<TunnelClient>();
  readonly #leaving = new Set<Promise<void>>();
  #dialsMs: number[] = [];
  #joined = 0;
  #left = 0;

  constructor(options: CrowdOptions) {
    this.#options = options;
  }

  async gather(): Promise<void> {
    while (this.#clients.size < this.#options.workers) {
      this.#join();
      while (this.#clients.size - this.#connected >= JOINING) await sleep(5);
    }
  }

  /** The one that has been here longest leaves, and a new one joins. */
  change(): void {
    const [oldest] = this.#clients;
    if (oldest !== undefined) this.#leave(oldest);
    this.#join();
  }

  tell(): CrowdLine {
    let streams = 0;
    for (const client of this.#clients) streams += client.streamCount;
    const dialsMs = this.#dialsMs;
    this.#dialsMs = [];
    return { connected: this.#connected, left: this.#left, streams, dialsMs };
  }

  async end(): Promise<void> {
    for (const client of this.#clients) this.#leave(client);
    await Promise.all(this.#leaving);
  }

  get #connected(): number {
    let count = 0;
    for (const client of this.#clients) if (client.state.is === "connected") count += 1;
    return count;
  }

  #join(): void {
    const { url, token, prefix, model, slots } = this.#options;
    this.#joined += 1;
    const target = { name: "crowd", engine: "crowd", slots, routes: ["POST /v1/chat/completions"] };
    const details = { kind: "models", targets: [target], models: [{ id: model, target: "crowd" }] };
    const client = connectTunnel({
      url,
      token,
      workerId: `${prefix}-${this.#joined}`,
      software: "tokiame/crowd",
      details: () => details,
      serve,
      onState: (state) => {
        if (state.is === "connecting") this.#dialsMs.push(Math.round(performance.now()));
      },
    });
    this.#clients.add(client);
  }

  #leave(client: TunnelClient): void {
    this.#clients.delete(client);
    const done = this.#options.leave === "drain" ? client.drain({ graceMs: DRAIN_MS }) : client.close();
    const leaving = Promise.resolve(done).then(() => {
      this.#left += 1;
      this.#leaving.delete(leaving);
    });
    this.#leaving.add(leaving);
  }
}

/** Answers with the chunks that the request's body asks for, at its pace. */
async function serve(stream: TunnelStream): Promise<void> {
  const pieces: Uint8Array[] = [];
  for await (const piece of stream.body) pieces.push(piece.slice());
  const chunks = chunksOf(Buffer.concat(pieces).toString("utf8"));
  stream.respond({ status: 200, headers: [["content-type", "text/event-stream"]] });
  for (const { text, waitMs } of chunks) {
    if (waitMs > 0) await sleep(waitMs);
    if (stream.signal.aborted) return;
    if (!stream.write(Buffer.from(text))) await stream.drained().catch(() => {});
  }
  stream.end();
}

// Written by who started this program, of the same version.
const crowd = new Crowd(JSON.parse(process.env["CROWD"] ?? "") as CrowdOptions);
const { changeEveryMs } = JSON.parse(process.env["CROWD"] ?? "") as CrowdOptions;
const tell = () => process.stdout.write(`${JSON.stringify(crowd.tell())}\n`);
const timers = [setInterval(tell, TOLD_EVERY_MS)];
process.once("SIGTERM", () => {
  for (const timer of timers) clearInterval(timer);
  void crowd.end().then(() => {
    tell();
    process.exit(0);
  });
});
await crowd.gather();
tell();
if (changeEveryMs > 0) timers.push(setInterval(() => crowd.change(), changeEveryMs));
