import type { TunnelLimits } from "../limits.ts";
import { Fifo } from "../mux/fifo.ts";
import type { MuxCarrier } from "../mux/mux-carrier.ts";
import { TunnelError } from "../tunnel-error.ts";
import { type SmuxFrameEvents, SmuxParser } from "./smux-frame.ts";
import { SmuxOutlet } from "./smux-outlet.ts";
import type { V1Environment } from "./v1-environment.ts";

export interface SmuxSessionOptions {
  readonly limits: TunnelLimits;
  readonly environment: V1Environment;
  readonly carrier: MuxCarrier;
  readonly events: SmuxSessionEvents;
}

export interface SmuxSessionEvents extends SmuxFrameEvents {
  /** The session has ended, once. */
  onEnd(error: TunnelError): void;
}

/** Bytes of one carrier message. Its borders mean nothing in v1. */
const MESSAGE_BYTES = 64 * 1024;
/** Our clock stood still for longer: the machine was suspended, so the peer's silence proves nothing yet. */
const SUSPENDED_AFTER_MS = 30_000;

/**
 * One smux connection at either end: bytes in, frames out, in turns. It always reads: a stream that nobody reads must
 * not stop the others, as the session-wide bucket of the original does.
 */
export class SmuxSession {
  bytesReceived = 0;
  bytesSent = 0;
  readonly #limits: TunnelLimits;
  readonly #environment: V1Environment;
  readonly #carrier: MuxCarrier;
  readonly #events: SmuxSessionEvents;
  readonly #parser: SmuxParser;
  readonly #ring = new Fifo<SmuxOutlet>();
  #control: SmuxOutlet | undefined;
  #nowMs: number;
  #inFlightBytes = 0;
  #isPumpPlanned = false;
  #receivedAtMs: number;
  #progressAtMs: number;
  #checkedAtMs: number;
  #ended: TunnelError | undefined;

  constructor(options: SmuxSessionOptions) {
    this.#limits = options.limits;
    this.#environment = options.environment;
    this.#carrier = options.carrier;
    this.#events = options.events;
    this.#parser = new SmuxParser(options.events);
    this.#nowMs = options.environment.now();
    this.#receivedAtMs = this.#nowMs;
    this.#progressAtMs = this.#nowMs;
    this.#checkedAtMs = this.#nowMs;
  }

  get ended(): TunnelError | undefined {
    return this.#ended;
  }

  /** Makes the stream whose bytes go before all others'. */
  openControl(id: number, options: { readonly opens: boolean }): SmuxOutlet {
    this.#control = new SmuxOutlet({ id, opens: options.opens, roomBytes: this.#limits.maxUrgentBytes });
    return this.#control;
  }

  /** Takes one message of the carrier. Never throws, never waits. */
  receive(message: Buffer): void {
    if (this.#ended !== undefined) return;
    this.#nowMs = this.#environment.now();
    this.bytesReceived += message.length;
    this.#receivedAtMs = this.#nowMs;
    try {
      this.#parser.push(message);
    } catch (error) {
      this.close(error instanceof TunnelError ? error : new TunnelError("internal", { message: String(error) }), {
        tells: true,
      });
    }
  }

  /** Once a second: silent peers, stalled writes. */
  tick(silenceMs: number): void {
    if (this.#ended !== undefined) return;
    this.#nowMs = this.#environment.now();
    if (this.#nowMs - this.#checkedAtMs > SUSPENDED_AFTER_MS) {
      this.#receivedAtMs = this.#nowMs;
      this.#progressAtMs = this.#nowMs;
    }
    this.#checkedAtMs = this.#nowMs;
    const isStalled = this.#inFlightBytes > 0 && this.#nowMs - this.#progressAtMs > this.#limits.writeStallMs;
    if (isStalled) this.#drop("the connection takes no bytes");
    else if (this.#nowMs - this.#receivedAtMs > silenceMs) this.#drop("the peer is silent");
  }

  /** Something of `outlet` may leave. */
  queue(outlet: SmuxOutlet): void {
    if (this.#ended !== undefined) return;
    if (outlet === this.#control) {
      if (!outlet.hasRoom)
        this.close(new TunnelError("abuse", { message: "control lines are not read" }), { tells: false });
    } else if (!outlet.isQueued && outlet.isReady) {
      outlet.isQueued = true;
      this.#ring.push(outlet);
    }
    this.#planPump();
  }

  /** `tells`: one more message goes out, control lines first, and the WebSocket is closed in order. */
  close(error: TunnelError, options: { readonly tells: boolean }): void {
    if (this.#ended !== undefined) return;
    if (options.tells) this.#sendOne();
    this.#ended = error;
    this.#ring.clear();
    if (options.tells) this.#carrier.finish(error);
    else this.#carrier.destroy();
    this.#events.onEnd(error);
  }

  #drop(message: string): void {
    this.close(new TunnelError("worker-lost", { message }), { tells: false });
  }

  #planPump(): void {
    if (this.#isPumpPlanned || this.#ended !== undefined) return;
    this.#isPumpPlanned = true;
    this.#environment.schedule(() => {
      this.#isPumpPlanned = false;
      this.#pump();
    });
  }

  #pump(): void {
    if (this.#ended !== undefined) return;
    this.#nowMs = this.#environment.now();
    while (this.#inFlightBytes < this.#limits.carrierBytes) {
      if (!this.#sendOne()) return;
    }
  }

  #sendOne(): boolean {
    const frames: Buffer[] = [];
    let bytes = 0;
    while (bytes < MESSAGE_BYTES && this.#control?.isReady === true) bytes += this.#control.takeTurn(frames);
    while (bytes < MESSAGE_BYTES) {
      const outlet = this.#ring.shift();
      if (outlet === undefined) break;
      outlet.isQueued = false;
      if (!outlet.isReady) continue;
      bytes += outlet.takeTurn(frames);
      // One turn each: a body of 64 MiB does not hold up a cancellation or another request.
      if (!outlet.isQueued && outlet.isReady) {
        outlet.isQueued = true;
        this.#ring.push(outlet);
      }
    }
    if (bytes === 0) return false;
    // The first bytes start the clock of a stall; more behind stuck ones must not set it back.
    if (this.#inFlightBytes === 0) this.#progressAtMs = this.#nowMs;
    this.#inFlightBytes += bytes;
    this.bytesSent += bytes;
    this.#carrier.send(Buffer.concat(frames, bytes), () => {
      this.#inFlightBytes -= bytes;
      this.#progressAtMs = this.#environment.now();
      this.#pump();
    });
    return true;
  }
}
