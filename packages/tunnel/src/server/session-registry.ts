import type { TunnelLimits } from "../limits.ts";
import { TunnelRefusal } from "../tunnel-refusal.ts";
import type { Registration } from "../tunnel-session.ts";

/** What the registry looks at. */
export interface RegisteredSession {
  readonly registration: Registration;
}

interface Worker<S> {
  readonly sessions: Map<number, S>;
  instanceId: string;
  /** When another instance took this worker id over, in the last minute. */
  takeOversMs: number[];
}

/**
 * Which session holds which worker id of which owner: two owners may use the same one. The newest wins: a worker whose old connection hangs half-open must get in at
 * once. Two processes with the same id would take over from each other for ever, so the newer is refused after a few.
 */
export class SessionRegistry<S extends RegisteredSession> {
  readonly #limits: TunnelLimits;
  readonly #ownerOf: (session: S) => string;
  readonly #workers = new Map<string, Worker<S>>();

  constructor(limits: TunnelLimits, ownerOf: (session: S) => string = () => "") {
    this.#limits = limits;
    this.#ownerOf = ownerOf;
  }

  /** @throws TunnelRefusal "duplicate-instance". Changes nothing. */
  check(registration: Registration, nowMs: number, owner = ""): void {
    const worker = this.#workers.get(nameOf(owner, registration));
    if (worker === undefined || worker.instanceId === registration.instanceId) return;
    if (worker.sessions.size === 0) return;
    const recent = worker.takeOversMs.filter((atMs) => nowMs - atMs < this.#limits.takeOverWindowMs);
    if (recent.length < this.#limits.maxTakeOvers) return;
    throw new TunnelRefusal({
      status: 409,
      code: "duplicate-instance",
      message: `two processes use the same worker id "${registration.workerId}": stop one, or give it another id`,
      retryAfterMs: this.#limits.duplicateInstanceRetryMs,
      fatal: false,
    });
  }

  /** Enters a session and returns those it takes the place of. */
  add(session: S, nowMs: number): S[] {
    const { instanceId, slot } = session.registration;
    const name = nameOf(this.#ownerOf(session), session.registration);
    const worker = this.#workers.get(name) ?? { sessions: new Map<number, S>(), instanceId, takeOversMs: [] };
    this.#workers.set(name, worker);
    const superseded = worker.instanceId === instanceId ? [worker.sessions.get(slot)] : [...worker.sessions.values()];
    if (worker.instanceId !== instanceId) {
      if (worker.sessions.size > 0) worker.takeOversMs.push(nowMs);
      worker.takeOversMs = worker.takeOversMs.filter((atMs) => nowMs - atMs < this.#limits.takeOverWindowMs);
      worker.sessions.clear();
      worker.instanceId = instanceId;
    }
    worker.sessions.set(slot, session);
    return superseded.filter((old) => old !== undefined);
  }

  /** Removes `session`, unless a newer one has already taken its place. */
  remove(session: S): void {
    const { slot } = session.registration;
    const worker = this.#workers.get(nameOf(this.#ownerOf(session), session.registration));
    if (worker?.sessions.get(slot) === session) worker.sessions.delete(slot);
  }

  /** Forgets workers that are gone for a while. Call it now and then. */
  prune(nowMs: number): void {
    for (const [name, worker] of this.#workers) {
      if (worker.sessions.size > 0) continue;
      const last = worker.takeOversMs.at(-1);
      if (last === undefined || nowMs - last >= this.#limits.takeOverWindowMs) this.#workers.delete(name);
    }
  }
}

function nameOf(owner: string, { workerId }: Registration): string {
  return JSON.stringify([owner, workerId]);
}
