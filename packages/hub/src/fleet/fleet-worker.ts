import {
  type Registration,
  type StreamOpening,
  TunnelError,
  type TunnelSession,
  type TunnelStream,
} from "@tokilake/tunnel";

import type { StreamOpener } from "../channels/tunnel-channel.ts";
import type { Principal } from "../identity/key-ring.ts";
import type { FleetTarget, TargetOwner } from "./fleet-target.ts";

export type WorkerSession = TunnelSession<Principal>;

/** One process of a worker: what it serves, and the sessions that lead there. A process of version 1 has one session. */
export class FleetWorker implements TargetOwner, StreamOpener {
  readonly workerId: string;
  readonly targets = new Map<string, FleetTarget>();
  /** In its last announcement. */
  modelCount = 0;
  readonly #sessions = new Set<WorkerSession>();

  constructor(workerId: string) {
    this.workerId = workerId;
  }

  get isAccepting(): boolean {
    for (const session of this.#sessions) if (session.isAccepting) return true;
    return false;
  }

  /** Nothing leads to it any more. */
  get isGone(): boolean {
    return this.#sessions.size === 0;
  }

  add(session: WorkerSession): void {
    this.#sessions.add(session);
  }

  remove(session: WorkerSession): void {
    this.#sessions.delete(session);
  }

  /**
   * Opens a stream on the session that suits it best, and on the next one when that is full.
   *
   * @throws TunnelError as `TunnelSession.open` does.
   */
  open(opening: StreamOpening): TunnelStream {
    let refusal: TunnelError | undefined;
    for (const session of this.#bestFirst(opening.priority === "bulk")) {
      try {
        return session.open(opening);
      } catch (thrown) {
        if (!(thrown instanceof TunnelError) || thrown.code !== "refused") throw thrown;
        refusal = thrown;
      }
    }
    throw refusal ?? new TunnelError("refused", { retrySafe: true, message: "no session takes new streams" });
  }

  /**
   * The highest slot is the one for uploads, as long as there is another: a lost packet holds up a whole connection, and
   * the one that moves most loses most. Among equals the one with the fewest streams comes first.
   */
  #bestFirst(isBulk: boolean): WorkerSession[] {
    const accepting = [...this.#sessions].filter((session) => session.isAccepting);
    if (accepting.length < 2) return accepting;
    const bulkSlot = Math.max(...accepting.map((session) => session.registration.slot));
    const suits = (session: WorkerSession): boolean => (session.registration.slot === bulkSlot) === isBulk;
    return accepting.toSorted(
      (one, other) => Number(suits(other)) - Number(suits(one)) || one.streamCount - other.streamCount,
    );
  }
}

/** Sessions of the same process have the same one. */
export function processOf({ workerId, instanceId }: Registration): string {
  return JSON.stringify([workerId, instanceId]);
}
