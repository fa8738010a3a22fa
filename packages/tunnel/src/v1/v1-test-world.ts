import type { MuxCarrier } from "../mux/mux-carrier.ts";
import type { TunnelError } from "../tunnel-error.ts";
import { SMUX, SMUX_MAX_PAYLOAD, smuxHeader, SmuxParser } from "./smux-frame.ts";
import type { V1Environment } from "./v1-environment.ts";

/** A clock, timers and a carrier that a test holds in its hands. */
export class V1TestWorld implements V1Environment, MuxCarrier {
  nowMs = 0;
  /** All messages that were sent. */
  readonly sent: Buffer[] = [];
  closed: { readonly how: "finished" | "destroyed"; readonly code?: string } | undefined;
  /** False: what is sent stays in the socket. */
  isTaking = true;
  readonly #tasks: (() => void)[] = [];
  #timers: { readonly atMs: number; readonly task: () => void }[] = [];
  readonly #stuck: (() => void)[] = [];
  readonly #told: string[] = [];
  readonly #lines = new Map<number, string>();
  readonly #parser = new SmuxParser({
    onOpen: (id) => this.#told.push(`${id} SYN`),
    onPush: (id, piece) => this.#onPush(id, piece.toString()),
    onClose: (id) => this.#told.push(`${id} FIN`),
  });

  now(): number {
    return this.nowMs;
  }

  random(): number {
    return 0.5;
  }

  schedule(task: () => void): void {
    this.#tasks.push(task);
  }

  after(ms: number, task: () => void): void {
    this.#timers.push({ atMs: this.nowMs + ms, task });
  }

  send(message: Buffer, onSent: () => void): void {
    this.sent.push(message);
    this.#parser.push(message);
    if (this.isTaking) this.schedule(onSent);
    else this.#stuck.push(onSent);
  }

  finish(error: TunnelError): void {
    this.closed = { how: "finished", code: error.code };
  }

  destroy(): void {
    this.closed = { how: "destroyed" };
  }

  /** The socket takes bytes again. */
  takeAll(): void {
    this.isTaking = true;
    for (const onSent of this.#stuck.splice(0)) onSent();
  }

  /** The rest of this turn of the event loop. */
  run(): void {
    for (let task = this.#tasks.shift(); task !== undefined; task = this.#tasks.shift()) task();
  }

  /** Moves the clock, and runs the timers that are due on the way. */
  pass(ms: number): void {
    this.run();
    const untilMs = this.nowMs + ms;
    for (;;) {
      const next = this.#timers.filter(({ atMs }) => atMs <= untilMs).toSorted((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.nowMs = next.atMs;
      next.task();
      this.run();
    }
    this.nowMs = untilMs;
  }

  /** What was sent since the last call: "2 SYN", "2 {…}" for a whole line, "2 FIN". */
  transcript(): string[] {
    this.run();
    return this.#told.splice(0);
  }

  #onPush(id: number, text: string): void {
    const lines = `${this.#lines.get(id) ?? ""}${text}`.split("\n");
    this.#lines.set(id, lines.pop() ?? "");
    for (const line of lines) this.#told.push(`${id} ${line}`);
  }
}

/** SYN of a peer. */
export function syn(id: number): Buffer {
  return smuxHeader(SMUX.open, id);
}

/** FIN of a peer. */
export function fin(id: number): Buffer {
  return smuxHeader(SMUX.close, id);
}

/** One line of a peer. */
export function line(id: number, value: object | string): Buffer {
  const text = Buffer.from(`${typeof value === "string" ? value : JSON.stringify(value)}\n`);
  const frames: Buffer[] = [];
  for (let at = 0; at < text.length; at += SMUX_MAX_PAYLOAD) {
    const payload = text.subarray(at, at + SMUX_MAX_PAYLOAD);
    frames.push(smuxHeader(SMUX.push, id, payload.length), payload);
  }
  return Buffer.concat(frames);
}
