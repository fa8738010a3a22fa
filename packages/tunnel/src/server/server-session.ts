import type { Mux } from "../mux/mux.ts";
import { TunnelError, type TunnelErrorCode } from "../tunnel-error.ts";
import type { Registration, TunnelSession } from "../tunnel-session.ts";
import type { StreamOpening, TunnelStream } from "../tunnel-stream.ts";

export interface ServerSessionOptions<I> {
  readonly id: string;
  readonly mux: Mux;
  readonly identity: I;
  readonly registration: Registration;
  readonly generation: number;
  readonly remoteAddress: string;
  readonly openedAtMs: number;
}

/** A registered worker's session at the hub. */
export class ServerSession<I> implements TunnelSession<I> {
  readonly id: string;
  readonly identity: I;
  readonly registration: Registration;
  readonly generation: number;
  readonly version = 2;
  readonly remoteAddress: string;
  readonly openedAtMs: number;
  readonly #mux: Mux;
  /** On the mux's clock: when a draining session is closed, with what code. */
  #deadline: { readonly atMs: number; readonly code: TunnelErrorCode } | undefined;

  constructor(options: ServerSessionOptions<I>) {
    this.id = options.id;
    this.identity = options.identity;
    this.registration = options.registration;
    this.generation = options.generation;
    this.remoteAddress = options.remoteAddress;
    this.openedAtMs = options.openedAtMs;
    this.#mux = options.mux;
  }

  get isAccepting(): boolean {
    return this.#mux.isAccepting;
  }

  get streamCount(): number {
    return this.#mux.streamCount;
  }

  get roundTripMs(): number | undefined {
    return this.#mux.roundTripMs;
  }

  get bytesReceived(): number {
    return this.#mux.bytesReceived;
  }

  get bytesSent(): number {
    return this.#mux.bytesSent;
  }

  open(opening: StreamOpening): TunnelStream {
    return this.#mux.open(opening);
  }

  close(code: TunnelErrorCode, message?: string): void {
    this.#mux.close(new TunnelError(code, message === undefined ? {} : { message }), { tells: true });
  }

  /** GOAWAY now; closed when the last stream ended, or at the deadline. */
  leave(options: { code: TunnelErrorCode; graceMs: number; reconnectAfterMs: number; message: string }): void {
    if (this.#mux.ended !== undefined) return;
    this.#mux.goaway(options);
    this.#deadline = { atMs: this.#mux.nowMs + options.graceMs, code: options.code };
    this.closeIfDone();
  }

  /** Closes a session that leaves, when it has no stream or no time left. */
  closeIfDone(): void {
    if (this.#deadline === undefined) return;
    const isLate = this.#mux.nowMs >= this.#deadline.atMs;
    if (isLate) for (const stream of this.#mux.streams.values()) stream.reset(this.#deadline.code);
    if (isLate || this.#mux.streamCount === 0) this.close(this.#deadline.code);
  }
}
