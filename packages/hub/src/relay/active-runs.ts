import { AppError } from "../errors.ts";
import type { FleetTarget } from "../fleet/fleet-target.ts";
import type { Run } from "./run.ts";

/** The requests that run now, by the key they belong to. */
export class ActiveRuns {
  readonly #byKey = new Map<string, Set<Run>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(keyId: string, run: Run): void {
    const runs = this.#byKey.get(keyId);
    if (runs === undefined) this.#byKey.set(keyId, new Set([run]));
    else runs.add(run);
    this.#size += 1;
  }

  remove(keyId: string, run: Run): void {
    const runs = this.#byKey.get(keyId);
    if (runs?.delete(run) !== true) return;
    if (runs.size === 0) this.#byKey.delete(keyId);
    this.#size -= 1;
  }

  /** @param isMeant Left out: all of the key's requests. */
  cancelKey(keyId: string, reason: () => AppError, isMeant: (run: Run) => boolean = () => true): void {
    for (const run of this.#byKey.get(keyId) ?? []) if (isMeant(run)) run.cancel(reason());
  }

  /** `target` answers no more for the group: what waits for its first content is asked elsewhere, what has begun fails. */
  endAt(target: FleetTarget, groupId: string): void {
    const gone = new AppError("worker_lost", "The worker that answered may not serve this group any more.");
    for (const runs of this.#byKey.values()) {
      for (const run of runs) if (run.target === target && run.groupId === groupId) run.giveUp(gone);
    }
  }

  cancelAll(reason: () => AppError): void {
    for (const keyId of this.#byKey.keys()) this.cancelKey(keyId, reason);
  }

  /** Answers that have not begun tell their clients to send nothing more on their connections. */
  endConnections(): void {
    for (const runs of this.#byKey.values()) for (const run of runs) run.reply.endConnection();
  }
}
