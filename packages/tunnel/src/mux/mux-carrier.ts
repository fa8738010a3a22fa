import type { TunnelError } from "../tunnel-error.ts";
import type { Goaway } from "../wire/control-frame.ts";
import type { Hello } from "../wire/session-message.ts";
import type { MuxStream } from "./mux-stream.ts";

/** What carries the messages of one session: a WebSocket, or a link in memory. Keeps their borders and their order. */
export interface MuxCarrier {
  /** Sends one message. `onSent` once its memory may be written again. */
  send(message: Buffer, onSent: () => void): void;
  /** No more messages come: say goodbye after what was sent. */
  finish(error: TunnelError): void;
  /** The peer is dead: drop the connection now. */
  destroy(): void;
}

/** Time, randomness and the end of the event loop's turn, from outside. */
export interface MuxEnvironment {
  /** Milliseconds of a clock that never jumps. */
  now(): number;
  /** From 0 to 1, as Math.random. */
  random(): number;
  /** Runs `task` after all input of this turn was read: setImmediate. */
  schedule(task: () => void): void;
}

/** What a mux tells the program around it. */
export interface MuxEvents {
  onHello(hello: Hello): void;
  /** The peer opened a stream. */
  onStream(stream: MuxStream): void;
  /** One whole CONTROL message: a JSON text of at most 256 KiB, not parsed yet. A throw ends the session. */
  onControl(payload: Buffer): void;
  onGoaway(goaway: Goaway): void;
  /** No stream is left. */
  onIdle(): void;
  /** The session has ended, once. Every stream has been failed. */
  onEnd(error: TunnelError): void;
}
