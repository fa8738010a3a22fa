import type { Hold } from "../billing/admission.ts";
import { type AppError, ERROR_KINDS } from "../errors.ts";
import type { FleetTarget } from "../fleet/fleet-target.ts";
import type { SseDialect } from "../http/error-body.ts";
import type { IncomingBody } from "../http/incoming-body.ts";
import type { Reply } from "../http/reply.ts";
import type { Principal } from "../identity/principal.ts";
import type { RequestOutcome, RequestRecord } from "../observe/request-log.ts";
import type { Place } from "../routing/slot-queue.ts";
import type { RequestView } from "./request-view.ts";
import type { Spool } from "./spool.ts";
import type { Usage } from "./usage.ts";

/** What a run needs of its route. */
export interface RunRoute {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly dialect: SseDialect;
}

/** One request from its first byte to its settlement: what is known of it, and the handle to stop it. */
export class Run {
  readonly requestId: string;
  readonly operation: RunRoute;
  readonly reply: Reply;
  readonly startedAtMs: number;
  readonly startedAt = performance.now();
  principal: Principal | undefined;
  hold: Hold | undefined;
  view: RequestView | undefined;
  body: IncomingBody | undefined;
  /** Of the request body, in memory. */
  heldBytes = 0;
  spool: Spool | undefined;
  usage: () => Usage | undefined = () => undefined;
  /** Counts instead of body and reply, after a WebSocket's handshake. */
  meter: { readonly received: number; readonly sent: number } | undefined;
  attempts = 0;
  /** The target that answers, or that failed last. */
  target: FleetTarget | undefined;
  /** Where it is answered, or failed last. */
  groupId: string | undefined;
  /** Monotonic time of the first content for the client. */
  firstByteAt: number | undefined;
  /** Milliseconds spent waiting for targets, to tell them from the hub's own. */
  upstreamMs = 0;

  /** The target whose slot is taken now. */
  #slot: FleetTarget | undefined;
  #failure: AppError | undefined;
  #cancelled: AppError | undefined;
  #attempt: AbortController | undefined;

  constructor(operation: RunRoute, reply: Reply, startedAtMs: number) {
    this.operation = operation;
    this.reply = reply;
    this.requestId = reply.requestId;
    this.startedAtMs = startedAtMs;
  }

  /** Stops the request for good, whatever it is waiting for. The first reason stays. */
  cancel(reason: AppError): void {
    this.#cancelled ??= reason;
    this.body?.cancel(this.#cancelled);
    this.#attempt?.abort(this.#cancelled);
    this.reply.wake();
  }

  /** @throws AppError the reason, when the request was cancelled. */
  throwIfCancelled(): void {
    if (this.#cancelled !== undefined) throw this.#cancelled;
  }

  /** The signal of the next attempt, which `giveUp` and `cancel` abort. */
  beginAttempt(): AbortSignal {
    this.#attempt = new AbortController();
    if (this.#cancelled !== undefined) this.#attempt.abort(this.#cancelled);
    return this.#attempt.signal;
  }

  /** Ends the attempt that runs now, and its engine's work. */
  giveUp(reason: AppError): void {
    this.#attempt?.abort(reason);
  }

  /** An attempt at `target` begins; its slot was taken for us. */
  take({ target, groupId }: Place<FleetTarget>): void {
    this.#slot = target;
    this.target = target;
    this.groupId = groupId;
    this.attempts += 1;
  }

  /** Gives back the slot of the attempt that ended, if there is one. */
  releaseSlot(slots: { release(target: FleetTarget): void }): void {
    const slot = this.#slot;
    this.#slot = undefined;
    if (slot !== undefined) slots.release(slot);
  }

  /** The request failed. The client learns it at the door, or has learned it. The first failure stays. */
  failed(error: AppError): void {
    this.#failure ??= error;
  }

  /** What is written down of it, at its end. */
  record(): RequestRecord {
    const endedAt = performance.now();
    return {
      requestId: this.requestId,
      startedAtMs: this.startedAtMs,
      keyId: this.principal?.keyId,
      keyName: this.principal?.name,
      model: this.view?.model,
      route: this.operation.path,
      method: this.operation.method,
      streamed: this.view?.isStreamed ?? false,
      status: this.#status(),
      outcome: this.#outcome(),
      errorCode: this.#failure?.code,
      workerId: this.target?.workerId,
      target: this.target?.name,
      attempts: this.attempts,
      ...this.#bytes(),
      ...this.usage(),
      firstByteMs: this.firstByteAt === undefined ? undefined : this.firstByteAt - this.startedAt,
      totalMs: endedAt - this.startedAt,
    };
  }

  #bytes(): Pick<RequestRecord, "requestBytes" | "responseBytes"> {
    if (this.meter !== undefined) return { requestBytes: this.meter.received, responseBytes: this.meter.sent };
    return { requestBytes: this.body?.received ?? 0, responseBytes: this.reply.bytes };
  }

  #status(): number {
    if (this.reply.status > 0) return this.reply.status;
    if (this.#failure === undefined || isClientGone(this.#failure)) return 0;
    return ERROR_KINDS[this.#failure.code].status;
  }

  #outcome(): RequestOutcome {
    if (this.#failure === undefined) return this.reply.status < 400 ? "complete" : "failed";
    if (isClientGone(this.#failure)) return "cancelled";
    if (this.firstByteAt !== undefined) return "cut";
    return this.attempts === 0 ? "refused" : "failed";
  }
}

/** The client is not there any more, so there is nobody to tell. */
function isClientGone(error: AppError): boolean {
  return error.code === "client_closed" || error.code === "slow_consumer";
}
