import type { TunnelLimits } from "../limits.ts";
import { encodePing } from "../wire/control-frame.ts";
import type { MuxEnvironment } from "./mux-carrier.ts";

/** Our clock stood still for longer: the machine was suspended, so the peer's silence proves nothing yet. */
const SUSPENDED_AFTER_MS = 30_000;
/** Answers to PINGs waiting behind a full socket. More PINGs are not answered. */
const MAX_WAITING_ANSWERS_BYTES = 4 * 1024;
const PING_SPREAD = 0.2;

/** Whether the peer lives: PINGs, silence and stalled writes. */
export class Liveness {
  /** Of the last answered PING. */
  roundTripMs: number | undefined;
  readonly #environment: MuxEnvironment;
  readonly #limits: TunnelLimits;
  readonly #send: (frame: Buffer) => void;
  #count = 0;
  #askedAtMs: number | undefined;
  #nextPingAtMs = 0;
  #receivedAtMs: number;
  #progressAtMs: number;
  #checkedAtMs: number;
  #judgeFromMs = 0;

  constructor(environment: MuxEnvironment, limits: TunnelLimits, send: (frame: Buffer) => void) {
    this.#environment = environment;
    this.#limits = limits;
    this.#send = send;
    const now = environment.now();
    this.#receivedAtMs = now;
    this.#progressAtMs = now;
    this.#checkedAtMs = now;
  }

  start(): void {
    this.#ping(this.#environment.now());
  }

  onReceived(nowMs: number): void {
    this.#receivedAtMs = nowMs;
  }

  /** Bytes left, or the first ones wait. */
  onProgress(nowMs: number): void {
    this.#progressAtMs = nowMs;
  }

  answer(payload: Buffer, waitingBytes: number): void {
    if (waitingBytes < MAX_WAITING_ANSWERS_BYTES) this.#send(encodePing(payload, { isAnswer: true }));
  }

  onAnswer(payload: Buffer, nowMs: number): void {
    if (this.#askedAtMs === undefined || payload.readUInt32BE(4) !== this.#count) return;
    this.roundTripMs = nowMs - this.#askedAtMs;
    this.#askedAtMs = undefined;
  }

  /** Why the connection is dead, or undefined. Sends a PING when one is due. */
  check(nowMs: number, isSending: boolean): string | undefined {
    if (nowMs - this.#checkedAtMs > SUSPENDED_AFTER_MS) {
      this.#judgeFromMs = nowMs + this.#limits.wakeGraceMs;
      this.#progressAtMs = nowMs;
      this.#nextPingAtMs = nowMs;
    }
    this.#checkedAtMs = nowMs;
    if (nowMs >= this.#judgeFromMs && nowMs - this.#receivedAtMs > this.#limits.deadAfterMs)
      return "the peer is silent";
    if (isSending && nowMs - this.#progressAtMs > this.#limits.writeStallMs) return "the connection takes no bytes";
    if (nowMs >= this.#nextPingAtMs) this.#ping(nowMs);
    return undefined;
  }

  #ping(nowMs: number): void {
    const payload = Buffer.alloc(8);
    this.#count = (this.#count + 1) % 2 ** 32;
    payload.writeUInt32BE(this.#count, 4);
    this.#askedAtMs = nowMs;
    const spread = 1 - PING_SPREAD + 2 * PING_SPREAD * this.#environment.random();
    this.#nextPingAtMs = nowMs + this.#limits.pingEveryMs * spread;
    this.#send(encodePing(payload, { isAnswer: false }));
  }
}
