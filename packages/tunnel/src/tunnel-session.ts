import type { TunnelErrorCode } from "./tunnel-error.ts";
import type { StreamOpening, TunnelStream } from "./tunnel-stream.ts";

/** Who a worker says it is. */
export interface Registration {
  /** Stable name, owned by whoever holds the token. */
  readonly workerId: string;
  /** Random for each process. */
  readonly instanceId: string;
  /** Number of this connection among those of one instance, from 0. */
  readonly slot: number;
  /** "tokiame/0.1.0" */
  readonly software: string;
  /** The embedding program's own. It must validate it. */
  readonly details: unknown;
}

/** One worker's connection, seen from the hub. `I` is whatever `authenticate` returned. */
export interface TunnelSession<I> {
  readonly id: string;
  readonly identity: I;
  /** Its `details` are there until `onSession` returned: a server would hold megabytes of them for nothing. */
  readonly registration: Registration;
  /** Grows with every session of a server. The higher one is the newer. */
  readonly generation: number;
  /** Of the protocol. 1: an original worker, without back-pressure, trailers and drain. */
  readonly version: 1 | 2;
  readonly remoteAddress: string;
  /** Unix time. */
  readonly openedAtMs: number;
  /** False once either side is draining or the session has closed. */
  readonly isAccepting: boolean;
  readonly streamCount: number;
  /** Of the last answered PING; undefined before the first, and always in version 1. */
  readonly roundTripMs: number | undefined;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  /** @throws TunnelError "refused", retry-safe, when full, draining or closed; "too-large" or "protocol" for a bad opening. */
  open(opening: StreamOpening): TunnelStream;
  /**
   * Tells the worker's program something, in JSON, by its `onNotice`. One that could not leave yet is replaced by the next, and a
   * session that is lost loses it. A worker takes 20 a second. Version 1 has no word for it: nothing is sent.
   *
   * @throws TunnelError "too-large"
   */
  notify(details: unknown): void;
  /** Tells the worker why, then drops the connection. Every stream ends with that code. */
  close(code: TunnelErrorCode, message?: string): void;
}
