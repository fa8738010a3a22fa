import { TunnelError, type TunnelErrorCode } from "../tunnel-error.ts";
import type { Registration, TunnelSession } from "../tunnel-session.ts";
import type { StreamOpening, TunnelStream } from "../tunnel-stream.ts";

/** What a session needs of the protocol below, whichever version it is: `Mux` and `V1HubSession` have it. */
export interface SessionProtocol {
  readonly nowMs: number;
  readonly ended: TunnelError | undefined;
  readonly isAccepting: boolean;
  readonly streams: ReadonlyMap<number, TunnelStream>;
  readonly streamCount: number;
  readonly roundTripMs: number | undefined;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  open(opening: StreamOpening): TunnelStream;
  /** No new streams; the worker is told as far as the protocol can. */
  goaway(options: Leave): void;
  close(error: TunnelError, options: { readonly tells: boolean }): void;
}

export interface Leave {
  readonly code: TunnelErrorCode;
  readonly graceMs: number;
  readonly reconnectAfterMs: number;
  readonly message: string;
}

export interface ServerSessionOptions<I> {
  readonly id: string;
  readonly version: 1 | 2;
  readonly protocol: SessionProtocol;
  readonly identity: I;
  readonly registration: Registration;
  readonly generation: number;
  readonly remoteAddress: string;
  readonly openedAtMs: number;
  /** See `TunnelSession.notify`. */
  readonly notify: (details: unknown) => void;
}

/** A registered worker's session at the hub. */
export class ServerSession<I> implements TunnelSession<I> {
  readonly id: string;
  readonly identity: I;
  readonly generation: number;
  readonly version: 1 | 2;
  readonly remoteAddress: string;
  readonly openedAtMs: number;
  #registration: Registration;
  readonly #protocol: SessionProtocol;
  readonly #notify: (details: unknown) => void;
  /** On the protocol's clock: not before and not after when a draining session is closed, with what code. */
  #leaving: { readonly fromMs: number; readonly atMs: number; readonly code: TunnelErrorCode } | undefined;

  constructor(options: ServerSessionOptions<I>) {
    this.id = options.id;
    this.identity = options.identity;
    this.#registration = options.registration;
    this.generation = options.generation;
    this.remoteAddress = options.remoteAddress;
    this.openedAtMs = options.openedAtMs;
    this.version = options.version;
    this.#protocol = options.protocol;
    this.#notify = options.notify;
  }

  get registration(): Registration {
    return this.#registration;
  }

  get isAccepting(): boolean {
    return this.#protocol.isAccepting;
  }

  get streamCount(): number {
    return this.#protocol.streamCount;
  }

  get roundTripMs(): number | undefined {
    return this.#protocol.roundTripMs;
  }

  get bytesReceived(): number {
    return this.#protocol.bytesReceived;
  }

  get bytesSent(): number {
    return this.#protocol.bytesSent;
  }

  open(opening: StreamOpening): TunnelStream {
    return this.#protocol.open(opening);
  }

  notify(details: unknown): void {
    this.#notify(details);
  }

  close(code: TunnelErrorCode, message?: string): void {
    this.#protocol.close(new TunnelError(code, message === undefined ? {} : { message }), { tells: true });
  }

  /** What a worker registered with may be megabytes of objects, and was read. */
  forgetDetails(): void {
    this.#registration = { ...this.#registration, details: undefined };
  }

  /** GOAWAY now; closed when the last stream ended, or at the deadline. */
  leave(options: Leave): void {
    if (this.#protocol.ended !== undefined) return;
    this.#protocol.goaway(options);
    // A v1 worker cannot be told when to come back: it dials again when we close. So the closes are spread.
    const stayMs = this.version === 1 ? options.reconnectAfterMs : 0;
    const { nowMs } = this.#protocol;
    this.#leaving = { fromMs: nowMs + stayMs, atMs: nowMs + options.graceMs, code: options.code };
    this.closeIfDone();
  }

  /** Closes a session that leaves, when it has no stream or no time left. */
  closeIfDone(): void {
    const { nowMs, streams, streamCount } = this.#protocol;
    if (this.#leaving === undefined) return;
    const { fromMs, atMs, code } = this.#leaving;
    const isLate = nowMs >= atMs;
    if (isLate) for (const stream of streams.values()) stream.reset(code);
    if (isLate || (streamCount === 0 && nowMs >= fromMs)) this.close(code);
  }
}
