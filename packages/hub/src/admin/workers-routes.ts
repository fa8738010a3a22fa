import * as z from "zod";

import { AppError } from "../errors.ts";
import type { UserActor } from "../identity/actor.ts";
import { audit } from "../store/audit-store.ts";
import type { Database } from "../store/database.ts";
import { listOf, PAGE_QUERY, pageOf, toPage } from "./paging.ts";
import { hasRole } from "./permission.ts";
import { route } from "./route.ts";

/** A worker that is connected now, over however many sessions. */
export interface ConnectedWorker {
  /** The same whenever it is connected. */
  readonly id: string;
  /** Under which it dialed in; no other worker of its owner has it. */
  readonly name: string;
  readonly keyId: string;
  /** undefined: the operator's. */
  readonly ownerId: string | undefined;
  /** Of its oldest session. */
  readonly connectedAtMs: number;
  readonly address: string;
  /** Such as `tokiame/0.1.0`. */
  readonly software: string;
  readonly sessions: number;
  /** Requests that run on it now. */
  readonly streams: number;
  readonly roundTripMs: number | undefined;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  /** Where it serves. */
  readonly groupIds: readonly string[];
  readonly targets: readonly ConnectedTarget[];
}

export interface ConnectedTarget {
  readonly name: string;
  readonly slots: number | undefined;
  /** The hub's own requests. */
  readonly inFlight: number;
  /** What the worker reported; undefined: it did not say. */
  readonly running: number | undefined;
  readonly waiting: number | undefined;
  readonly models: readonly string[];
}

/** The fleet, as the admin API sees it. */
export interface ConnectedWorkers {
  all(): readonly ConnectedWorker[];
  find(id: string): ConnectedWorker | undefined;
  /** Ends its sessions now. What keeps it from dialing again is its key. */
  disconnect(id: string): void;
}

export interface WorkerServices {
  readonly database: Database;
  readonly now: () => number;
  readonly workers: ConnectedWorkers;
}

const TARGET = z.object({
  name: z.string(),
  slots: z.int().nullable().describe("Requests at once; null: not said"),
  in_flight: z.int().describe("The hub's own requests"),
  running: z.int().nullable(),
  waiting: z.int().nullable(),
  models: z.array(z.string()),
});

const WORKER = z
  .object({
    object: z.literal("worker"),
    id: z.string().describe("The same whenever it is connected"),
    name: z.string().describe("Under which it dialed in"),
    key_id: z.string(),
    owner_id: z.string().nullable().describe("null: the operator's"),
    connected_at_ms: z.int(),
    address: z.string(),
    software: z.string(),
    sessions: z.int(),
    streams: z.int(),
    round_trip_ms: z.number().nullable(),
    received_bytes: z.int(),
    sent_bytes: z.int(),
    group_ids: z.array(z.string()),
    targets: z.array(TARGET),
  })
  .meta({ id: "Worker" });

const ID = z.strictObject({ id: z.string().max(64) });

export const WORKERS_ROUTES = [
  route({
    method: "GET",
    path: "/api/workers",
    permission: "signed-in",
    scope: "workers:read",
    summary: "Workers that are connected now: one's own, or all for those who see everything",
    query: z.strictObject(PAGE_QUERY),
    response: { 200: listOf(WORKER) },
    handler: async ({ actor, query }, { workers }: WorkerServices) => {
      const { limit, after = "" } = pageOf(query);
      const seen = workers
        .all()
        .filter((worker) => worker.id > after && maySee(actor, worker))
        .toSorted((one, other) => (one.id < other.id ? -1 : 1));
      return { body: toPage(seen.slice(0, limit), query, toWorker) };
    },
  }),
  route({
    method: "GET",
    path: "/api/workers/{id}",
    permission: "self",
    scope: "workers:read",
    summary: "A worker that is connected now",
    params: ID,
    response: { 200: WORKER },
    errors: ["not_found"],
    handler: async ({ actor, params }, services: WorkerServices) => ({
      body: toWorker(seenWorker(services, actor, params.id)),
    }),
  }),
  route({
    method: "DELETE",
    path: "/api/workers/{id}",
    permission: "self",
    scope: "sign-in-only",
    summary: "Disconnects a worker",
    description: "It may dial again at once: revoke or disable its key to keep it out.",
    params: ID,
    response: { 204: null },
    errors: ["not_found"],
    handler: async ({ actor, params }, services: WorkerServices) => {
      const worker = seenWorker(services, actor, params.id);
      if (worker.ownerId !== actor.user.id && !hasRole(actor, "admin")) throw new AppError("forbidden");
      const { database, now, workers } = services;
      const entry = { action: "worker.disconnect", objectType: "worker", objectId: worker.id };
      const before = {
        name: worker.name,
        key_id: worker.keyId,
        owner_id: worker.ownerId ?? null,
        address: worker.address,
      };
      await database.write(({ db }) => audit(db, actor, { ...entry, before }, now()));
      workers.disconnect(worker.id);
      return {};
    },
  }),
];

/** @throws AppError `not_found` also for one that is somebody else's. */
function seenWorker({ workers }: WorkerServices, actor: UserActor, id: string): ConnectedWorker {
  const worker = workers.find(id);
  if (worker !== undefined && maySee(actor, worker)) return worker;
  throw new AppError("not_found", "No such worker of yours is connected.");
}

function maySee(actor: UserActor, { ownerId }: ConnectedWorker): boolean {
  return ownerId === actor.user.id || hasRole(actor, "auditor");
}

function toWorker(worker: ConnectedWorker): z.input<typeof WORKER> {
  return {
    object: "worker",
    id: worker.id,
    name: worker.name,
    key_id: worker.keyId,
    owner_id: worker.ownerId ?? null,
    connected_at_ms: worker.connectedAtMs,
    address: worker.address,
    software: worker.software,
    sessions: worker.sessions,
    streams: worker.streams,
    round_trip_ms: worker.roundTripMs ?? null,
    received_bytes: worker.bytesReceived,
    sent_bytes: worker.bytesSent,
    group_ids: [...worker.groupIds],
    targets: worker.targets.map((target) => ({
      name: target.name,
      slots: target.slots ?? null,
      in_flight: target.inFlight,
      running: target.running ?? null,
      waiting: target.waiting ?? null,
      models: [...target.models],
    })),
  };
}
