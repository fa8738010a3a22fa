import { WebSocketCarrier } from "../carrier/websocket-carrier.ts";
import { TunnelError, type TunnelErrorCode } from "../tunnel-error.ts";
import type { TunnelStream } from "../tunnel-stream.ts";
import type { V1Error } from "../v1/control-message.ts";
import { type V1WorkerEvents, V1WorkerSession } from "../v1/worker-session.ts";
import type { ClientLink, ClientLinkOptions, ClientLinkOwner } from "./client-link.ts";

/** v1 tells neither a session's id nor its generation. */
const UNTOLD_SESSION = { sessionId: "v1", generation: 0 };

/** A connection to an original hub, in version 1. */
export class V1ClientLink implements ClientLink, V1WorkerEvents {
  readonly version = 1;
  /** v1 does not tell it. */
  readonly hubId = "";
  readonly #owner: ClientLinkOwner;
  readonly #protocol: V1WorkerSession;
  /** It is closed when the last stream ended, or at the deadline. */
  #leaving: { readonly atMs: number; readonly code: TunnelErrorCode } | undefined;

  /** @throws TunnelError "too-large" when the registration is. */
  constructor(options: ClientLinkOptions) {
    const { registration, limits, pool, environment } = options;
    this.#owner = options.owner;
    const carrier = new WebSocketCarrier(options.socket, {
      onMessage: (message) => this.#protocol.receive(message),
      // The original passes over it.
      onText: () => {},
      onClose: (error) => this.#protocol.close(error, { tells: false }),
    });
    const namespace = registration.workerId;
    this.#protocol = new V1WorkerSession({ namespace, limits, pool, environment, carrier, events: this });
    this.#protocol.start(registration.details);
  }

  get isRegistered(): boolean {
    return this.#protocol.isRegistered;
  }

  get streamCount(): number {
    return this.#protocol.streamCount;
  }

  tick(): void {
    this.#protocol.tick();
    this.#closeIfDone();
  }

  /** v1 has no word for it: the hub learns it from each stream that it still opens. */
  leave(options: { code: TunnelErrorCode; graceMs: number }): void {
    if (this.#protocol.ended !== undefined || this.#leaving !== undefined) return;
    this.#leaving = { atMs: this.#protocol.nowMs + options.graceMs, code: options.code };
    this.#closeIfDone();
  }

  /** Always true: a line is queued in full. */
  update(details: unknown): boolean {
    this.#protocol.update(details);
    return true;
  }

  close(code: TunnelErrorCode): void {
    this.#protocol.close(new TunnelError(code), { tells: true });
  }

  onRegistered(): void {
    this.#owner.onRegistered(this, UNTOLD_SESSION);
  }

  onStream(stream: TunnelStream): void {
    if (this.#leaving === undefined) this.#owner.serve(stream);
    else stream.reset("refused", { retrySafe: true, message: "the worker is going away" });
  }

  onRefused({ code, message }: V1Error): void {
    // v1 does not say whether dialing again can help: an old session of ours may hold the name for some seconds.
    this.#owner.onRefused(this, { type: "refused", code, message, isFatal: false });
  }

  onIdle(): void {
    this.#closeIfDone();
  }

  onEnd(error: TunnelError): void {
    this.#owner.onEnd(this, error);
  }

  #closeIfDone(): void {
    const leaving = this.#leaving;
    if (leaving === undefined || this.#protocol.ended !== undefined) return;
    const isLate = this.#protocol.nowMs >= leaving.atMs;
    if (isLate) for (const stream of this.#protocol.streams.values()) stream.reset(leaving.code);
    if (isLate || this.#protocol.streamCount === 0) this.close(leaving.code);
  }
}
