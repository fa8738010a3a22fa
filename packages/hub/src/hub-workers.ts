import { createHash } from "node:crypto";

import type { HubEvent } from "./admin/event-hub.ts";
import type { ConnectedTarget, ConnectedWorker, ConnectedWorkers } from "./admin/workers-routes.ts";
import type { FleetTarget } from "./fleet/fleet-target.ts";
import type { FleetWorker } from "./fleet/fleet-worker.ts";
import type { Fleet } from "./fleet/fleet.ts";
import type { GroupFleet, GroupWorker } from "./groups/group-workers.ts";

/** The fleet as the admin API and the groups look at it: from memory, and only for reading. */
export function workersOf(fleet: Pick<Fleet, "workers">): ConnectedWorkers & GroupFleet {
  return {
    all: () => [...byId(fleet).values()].map(toConnected),
    find: (id) => {
      const processes = byId(fleet).get(id);
      return processes && toConnected(processes);
    },
    disconnect: (id) => {
      for (const process of byId(fleet).get(id) ?? []) {
        for (const session of process.sessions) session.close("shutdown", "disconnected by its owner or the hub's");
      }
    },
    workersIn: (groupId) =>
      [...byId(fleet).values()]
        .filter((processes) => processes.some(({ groupIds }) => groupIds.includes(groupId)))
        .map((processes) => toGroupWorker(processes, groupId)),
  };
}

/**
 * A worker that came or went, for those who may know of it: its owner, and whoever is in a group where it serves. Of the other
 * groups a member is not told that there are any.
 */
export function workerEvent(worker: FleetWorker, is: "connected" | "disconnected"): HubEvent {
  const { workerId, userId, groupIds } = worker;
  const about = { id: idOf(worker), name: workerId, owner_id: userId ?? null };
  return {
    type: `worker.${is}`,
    data: (viewer) => ({
      ...about,
      group_ids:
        viewer.seesAll || viewer.userId === userId ? groupIds : groupIds.filter((id) => viewer.groupIds.has(id)),
    }),
    userIds: [userId],
    groupIds,
  };
}

/** While one process takes over from another both are there. */
type Processes = readonly [FleetWorker, ...FleetWorker[]];

function byId(fleet: Pick<Fleet, "workers">): ReadonlyMap<string, Processes> {
  const found = new Map<string, Processes>();
  for (const worker of fleet.workers) {
    const id = idOf(worker);
    const known = found.get(id);
    found.set(id, known === undefined ? [worker] : [...known, worker]);
  }
  return found;
}

/** Names may hold anything, and two owners may choose the same one: ids are for addresses. */
function idOf({ userId, workerId }: FleetWorker): string {
  const digest = createHash("sha256")
    .update(JSON.stringify([userId ?? "", workerId]))
    .digest("base64url");
  return `worker_${digest.slice(0, 22)}`;
}

function toConnected(processes: Processes): ConnectedWorker {
  const [{ workerId, principal, userId }] = processes;
  const sessions = processes.flatMap((process) => [...process.sessions]);
  const sum = (of: (session: (typeof sessions)[number]) => number): number =>
    sessions.reduce((total, session) => total + of(session), 0);
  return {
    id: idOf(processes[0]),
    name: workerId,
    keyId: principal.keyId,
    ownerId: userId,
    connectedAtMs: connectedAtMs(processes),
    address: sessions[0]?.remoteAddress ?? "",
    software: sessions[0]?.registration.software ?? "",
    sessions: sessions.length,
    streams: sum((session) => session.streamCount),
    roundTripMs: sessions.find(({ roundTripMs }) => roundTripMs !== undefined)?.roundTripMs,
    bytesReceived: sum((session) => session.bytesReceived),
    bytesSent: sum((session) => session.bytesSent),
    groupIds: [...new Set(processes.flatMap(({ groupIds }) => groupIds))],
    targets: processes.flatMap((process) => [...process.targets.values()].map(toTarget)),
  };
}

function toTarget({ name, slots, inFlight, reported, announced }: FleetTarget): ConnectedTarget {
  const { running, waiting } = reported ?? {};
  return { name, slots, inFlight, running, waiting, models: [...announced] };
}

function toGroupWorker(processes: Processes, groupId: string): GroupWorker {
  const targets = processes.flatMap((process) => [...process.targets.values()]);
  const models = new Set(targets.flatMap((target) => [...(target.modelsIn(groupId) ?? [])]));
  const slots = targets.map((target) => target.slots);
  return {
    id: idOf(processes[0]),
    workerId: processes[0].workerId,
    ownerId: processes[0].userId,
    nodeName: undefined,
    connectedAtMs: connectedAtMs(processes),
    models: [...models].toSorted(),
    running: targets.reduce((total, target) => total + target.inFlight, 0),
    slots: slots.reduce<number | undefined>(
      (sum, each) => (sum === undefined || each === undefined ? undefined : sum + each),
      0,
    ),
  };
}

function connectedAtMs(processes: Processes): number {
  return Math.min(...processes.flatMap((process) => [...process.sessions].map(({ openedAtMs }) => openedAtMs)));
}
