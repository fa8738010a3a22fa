import { randomUUID } from "node:crypto";

import { WebSocketCarrier } from "../carrier/websocket-carrier.ts";
import { TunnelError, type TunnelErrorCode } from "../tunnel-error.ts";
import type { TunnelLog } from "../tunnel-log.ts";
import { type V1HubEvents, V1HubSession } from "../v1/hub-session.ts";
import type { LinkOwner, ServerLink, ServerLinkOptions } from "./server-link.ts";
import { ServerSession } from "./server-session.ts";

/** v1 has no message for it. */
const SOFTWARE = "tokiame-go (v1)";

/** A connection that speaks version 1, the original's. */
export class V1ServerLink<I> implements ServerLink<I>, V1HubEvents {
  readonly identity: I;
  session: ServerSession<I> | undefined;
  readonly #options: ServerLinkOptions<I> & { readonly log: TunnelLog };
  readonly #owner: LinkOwner<I>;
  readonly #protocol: V1HubSession;

  constructor(options: ServerLinkOptions<I> & { readonly log: TunnelLog }) {
    this.#options = options;
    this.identity = options.identity;
    this.#owner = options.owner;
    const { socket, limits, pool, environment } = options;
    const carrier = new WebSocketCarrier(socket, {
      onMessage: (message) => this.#protocol.receive(message),
      // The original passes over it.
      onText: () => {},
      onClose: (error) => this.#protocol.close(error, { tells: false }),
    });
    this.#protocol = new V1HubSession({ limits, pool, environment, carrier, events: this });
  }

  /** Once a second. */
  tick(): void {
    this.#protocol.tick();
    this.session?.closeIfDone();
  }

  /** It stays until it is told to leave, which ends its connection. */
  move(): void {}

  close(code: TunnelErrorCode): void {
    this.#protocol.close(new TunnelError(code), { tells: true });
  }

  onRegister(workerId: string, details: unknown): number {
    // v1 does not tell processes apart, so each connection counts as one: a newer one takes the place of the older.
    const registration = { workerId, instanceId: randomUUID(), slot: 0, software: SOFTWARE, details };
    this.#owner.admit(this, registration);
    const session = new ServerSession({
      id: randomUUID(),
      version: 1,
      protocol: this.#protocol,
      identity: this.identity,
      registration,
      generation: this.#owner.nextGeneration(),
      remoteAddress: this.#options.remoteAddress,
      openedAtMs: Date.now(),
      notify: () => {},
    });
    this.session = session;
    this.#owner.onRegistered(this, session);
    return session.generation;
  }

  onUpdate(details: unknown): void {
    if (this.session !== undefined) this.#owner.onUpdate(this.session, details);
  }

  onWorkerError(code: string, message: string): void {
    const workerId = this.session?.registration.workerId;
    this.#options.log.warn({ workerId, code, cause: message.slice(0, 256) }, "a worker reports an error");
  }

  onIdle(): void {
    this.session?.closeIfDone();
  }

  onEnd(error: TunnelError): void {
    this.#owner.onEnd(this, error);
  }
}
