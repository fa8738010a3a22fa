import type { NotServed } from "../identity/not-served.ts";
import type { Principal } from "../identity/principal.ts";
import type { Log } from "../observe/log.ts";
import type { FleetWorker } from "./fleet-worker.ts";
import { NOTICE_LIMITS, type NoticeGroup, servedNotice } from "./served-notice.ts";

export interface TellServedDeps {
  readonly log: Log;
  /** `KeyRing.notServed` */
  readonly notServed: (worker: Principal, named: readonly string[] | undefined) => readonly NotServed[];
  /** `KeyRing.slugOf` */
  readonly slugOf: (groupId: string) => string | undefined;
}

/**
 * Tells a worker what it serves where, when it does not know that already. One that speaks version 1 is told nothing, but the log is.
 *
 * @returns Milliseconds after which it is to be told, as the last notice is too young; 0: nothing is left to do.
 */
export function tellServed(worker: FleetWorker, deps: TellServedDeps): number {
  const notice = servedNotice(standingOf(worker, deps));
  const text = JSON.stringify(notice);
  const before = worker.notice;
  const isNew = before?.text !== text;
  const session = [...worker.sessions].find(({ isAccepting, version }) => isAccepting && version === 2);
  if (!isNew && (before.toldOn !== undefined || session === undefined)) return 0;
  const nowMs = performance.now();
  const waitMs = before === undefined ? 0 : before.atMs + NOTICE_LIMITS.spacingMs - nowMs;
  if (waitMs > 0) return waitMs;
  worker.notice = { text, atMs: nowMs, toldOn: session };
  const { workerId, refused } = worker;
  const isRefused = [...refused.values()].some((lists) => lists.some(({ models }) => models.length > 0));
  if (isNew && isRefused) deps.log.warn({ workerId, notice }, "a worker offers models that it may not serve there");
  session?.notify(notice);
  return 0;
}

/** Its groups by the names that it gives them, else by those that people give them. */
function standingOf(worker: FleetWorker, deps: TellServedDeps): NoticeGroup[] {
  const { principal, named, groupIds, allowed, refused } = worker;
  const announced = new Set([...worker.targets.values()].flatMap((target) => [...target.announced]));
  const kept = [...announced].filter((model) => !principal.allowsModel(model));
  const served = groupIds.map((groupId) => ({
    group: named.nameOf(groupId) ?? deps.slugOf(groupId) ?? groupId,
    // Where no name has to be claimed, all that the key allows is served.
    served: allowed.get(groupId)?.size ?? announced.size - kept.length,
    refused: [...(refused.get(groupId) ?? []), { why: "not-allowed-by-key" as const, models: kept }],
  }));
  const notServed = deps.notServed(principal, named.wanted).map(({ group, slug, why }) => ({
    group: named.nameOf(group) ?? slug ?? group,
    why,
  }));
  return [...served, ...notServed];
}
