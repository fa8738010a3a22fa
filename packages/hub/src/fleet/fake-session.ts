import { type StreamOpening, TunnelError, type TunnelStream } from "@tokilake/tunnel";

import { testPrincipal } from "../identity/test-principal.ts";
import type { WorkerSession } from "./fleet-worker.ts";

/** For tests: a session that takes streams and never answers. */
export class FakeSession implements WorkerSession {
  readonly id = "s";
  readonly identity = testPrincipal("k", { kind: "worker" });
  readonly registration;
  readonly generation = 1;
  readonly version: 1 | 2 = 2;
  readonly remoteAddress = "";
  readonly openedAtMs = 0;
  readonly roundTripMs = undefined;
  readonly bytesReceived = 0;
  readonly bytesSent = 0;
  isAccepting = true;
  isFull = false;
  streamCount = 0;
  readonly opened: StreamOpening[] = [];
  /** What its worker was told. */
  readonly notices: unknown[] = [];

  constructor(
    slot: number,
    options: { workerId?: string; instanceId?: string; models?: readonly string[]; slots?: number } = {},
  ) {
    const { workerId = "w", instanceId = "i", models = ["m"], slots = 2 } = options;
    const details = announced(models, slots);
    this.registration = { workerId, instanceId, slot, software: "test/0", details };
  }

  open(opening: StreamOpening): TunnelStream {
    if (this.isFull) throw new TunnelError("refused", { retrySafe: true });
    this.opened.push(opening);
    this.streamCount += 1;
    // What the channel then does with the stream is not looked at.
    throw new TunnelError("internal");
  }

  notify(details: unknown): void {
    this.notices.push(details);
  }

  close(): void {}
}

/** What a worker with one engine announces. */
export function announced(models: readonly string[], slots = 2): object {
  return { kind: "models", targets: [{ name: "e", slots }], models: models.map((id) => ({ id, target: "e" })) };
}
