import {
  type Registration,
  type StreamOpening,
  TunnelError,
  type TunnelSession,
  type TunnelStream,
} from "@tokilake/tunnel";

import type { StreamOpener } from "../channels/tunnel-channel.ts";
import type { Principal } from "../identity/principal.ts";
import type { FleetTarget, TargetOwner } from "./fleet-target.ts";
import { NamedGroups } from "./named-groups.ts";
import type { RefusedModels } from "./served-notice.ts";

export type WorkerSession = TunnelSession<Principal>;

/** One process of a worker: what it serves, and the sessions that lead there. A process of version 1 has one session. */
export class FleetWorker implements TargetOwner, StreamOpener {
  readonly workerId: string;
  /** Of its key. */
  readonly principal: Principal;
  readonly targets = new Map<string, FleetTarget>();
  /** In its last announcement. */
  modelCount = 0;
  /** The groups that it asks to serve. */
  readonly named = new NamedGroups();
  /** Where it serves. */
  groupIds: readonly string[] = [];
  /** By group: names of models that its owner may serve there, as far as that was found out. */
  readonly allowed = new Map<string, ReadonlySet<string>>();
  /** By group: what it offers and may not serve there, as far as that was found out. */
  readonly refused = new Map<string, readonly RefusedModels[]>();
  /** What it serves where, as it was last found out, and the session on which the worker was told, when it was. */
  notice: { readonly text: string; readonly atMs: number; toldOn: WorkerSession | undefined } | undefined;
  /** Grows with each decision about it, and with its end: what belongs to an older one is void. */
  decision = 0;
  /** Monotonic time from which its names may be claimed again, and the timer that waits for it. */
  claimsFrom = 0;
  nextClaim: NodeJS.Timeout | undefined;
  readonly #sessions = new Set<WorkerSession>();

  constructor(workerId: string, principal: Principal) {
    this.workerId = workerId;
    this.principal = principal;
  }

  get userId(): string | undefined {
    return this.principal.userId;
  }

  get sessions(): ReadonlySet<WorkerSession> {
    return this.#sessions;
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
export function processOf({ userId }: Principal, { workerId, instanceId }: Registration): string {
  return JSON.stringify([userId ?? "", workerId, instanceId]);
}

/** A worker's name among all: two owners may call their workers the same. */
export function nameOf({ userId }: Principal, { workerId }: Registration): string {
  return JSON.stringify([userId ?? "", workerId]);
}
